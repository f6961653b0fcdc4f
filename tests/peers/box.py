"""The box of docker/ on this host, without a container: the Dockerfiles' own commands install and start everything.

Names and ports of services become free ports of loopback, folders of images become folders of the test; all else,
commands, variables and configuration files, is read from docker/.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from patchclip_node.ports.result_sender import Destination
from tests.peers.orthanc import Orthanc
from tests.peers.postgresql import PostgreSql
from tests.peers.processes import free_port, program
from tests.peers.redis import Redis
from tests.support.containers import FOLDER, ROOT, Stage, compose, dockerfile_of, final_stage, stages_of

_LEFT_OUT = ("patchclip", "_editable_impl_patchclip", "pip")
_NEVER_IN_AN_IMAGE = shutil.ignore_patterns("__pycache__", "*.pyc")
_FOLDERS_OF_IMAGES = r"(?<![\w./-])/(?:source|wheels|opt/patchclip|var/lib|tmp)(?=[/\s;]|$)"
_VIEWER = Path(sys.prefix) / "share" / "viewers" / "@ohif" / "app" / "dist"


@dataclass(frozen=True)
class Box:
    """A folder in which the images' folders lie, and a free port of loopback for each port of a service."""

    folder: Path
    redis: Redis
    postgresql: PostgreSql
    services: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: compose({"POSTGRES_PASSWORD": "of0the0tests"})["services"]
    )
    ports: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, service in self.services.items():
            dockerfile = dockerfile_of(service)
            for port in " ".join(final_stage(dockerfile).all("EXPOSE")).split() if dockerfile else ():
                self.ports[name, int(port)] = free_port()
        for folder in ("tmp", "wheels", "var/lib/orthanc", "var/lib/patchclip"):
            (self.folder / folder).mkdir(parents=True)
        self.ports.update({("redis", 6379): self.redis.port, ("postgres", 5432): self.postgresql.port})

    def install(self) -> None:
        """Run what builds the node's image: the wheel is made of what is copied, and installed from the lock.

        Nothing is fetched: dependencies are found where this Python has them, and their versions are held to the lock.
        """
        stages = stages_of(FOLDER / "node.Dockerfile")
        for name in ("wheel", "installed"):
            shutil.rmtree(self.folder / "source", ignore_errors=True)
            self._make(stages[name])

    def _make(self, stage: Stage) -> None:
        for instruction in stage.instructions:
            if instruction.word == "COPY" and "--from=" not in instruction.rest:
                *sources, target = instruction.rest.split()
                for source in sources:
                    _copy(ROOT / source, self._source / target if len(sources) == 1 else self._source / source)
            elif instruction.word == "RUN":
                command = self._on_host(instruction.rest)
                finished = subprocess.run(
                    ["sh", "-ec", command],
                    cwd=self._source,
                    env=self._installing,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"

    @property
    def _source(self) -> Path:
        folder = self.folder / "source"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def _installing(self) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in os.environ if not name.startswith(("PIP_", "PYTHON", "PATCHCLIP_"))},
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONPATH": str(self._dependencies),
            "LOCK": "requirements.lock" if distribution("torch").version.endswith("+cpu") else "requirements/cuda.lock",
        }

    @property
    def _dependencies(self) -> Path:
        """Links to this Python's packages but ours: pip sees them and, outside its environment, leaves them alone."""
        folder = self.folder / "dependencies"
        if not folder.exists():
            folder.mkdir()
            for entry in Path(sysconfig.get_path("purelib")).iterdir():
                if not entry.name.startswith(_LEFT_OUT) and entry.suffix != ".pth":
                    (folder / entry.name).symlink_to(entry)
        return folder

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start archive, node and viewer; redis and PostgreSQL are running already."""
        with ExitStack() as programs:
            for name in ("orthanc", "receiver", "worker", "deliver", "web", "ohif"):
                published = [int(port.rsplit(":", 1)[1]) for port in self.services[name].get("ports", [])]
                port = self.ports[name, published[0]] if published else None
                programs.enter_context(
                    program(
                        self._command(name),
                        self.folder / f"{name}.log",
                        port=port,
                        env=self._environment(name),
                        cwd=self.folder,
                    )
                )
            yield

    def run_once(self, name: str, words: list[str], answer: str) -> None:
        """Run another command in a service's container, as `docker compose run` does, and type `answer`."""
        finished = subprocess.run(
            [*self._command(name)[:1], *words],
            input=answer,
            env=self._environment(name),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr

    def is_healthy(self, name: str) -> bool:
        """Run a service's own health check."""
        service = self.services[name]
        words = service["healthcheck"]["test"][1:] if "healthcheck" in service else self._image(name).health_check
        command = [self._on_host(word, name) for word in words]
        return subprocess.run(command, env=self._environment(name), capture_output=True, check=False).returncode == 0

    @property
    def archive(self) -> Orthanc:
        """The archive, to be asked what it holds."""
        dicom = Destination("pacs", "ORTHANC", "127.0.0.1", self.ports["orthanc", 4242])
        return Orthanc(dicom, self.ports["orthanc", 8042])

    def url(self, name: str, port: int) -> str:
        """Where a service's pages are."""
        return f"http://127.0.0.1:{self.ports[name, port]}"

    def _image(self, name: str) -> Stage:
        dockerfile = dockerfile_of(self.services[name])
        assert dockerfile is not None
        return final_stage(dockerfile)

    def _command(self, name: str) -> list[str]:
        image = self._image(name)
        words = [*image.exec_form("ENTRYPOINT"), *self.services[name].get("command", image.exec_form("CMD"))]
        words = [str(self._configuration(Path(word))) if word.startswith("/etc/") else word for word in words]
        if words[0] == "nginx" and os.geteuid() == 0:
            words[-1] += " user root;"  # in the container it is not root, and needs no word for it
        found = shutil.which(words[0], path=self._environment(name)["PATH"])
        assert found, f"{words[0]} is not installed"
        return [found, *words[1:]]

    def _environment(self, name: str) -> dict[str, str]:
        given = {**self._image(name).environment, **self.services[name].get("environment", {})}
        variables = {key: self._on_host(value, name) for key, value in given.items()}
        if "PATCHCLIP_DESTINATIONS" in given:
            destinations = json.loads(given["PATCHCLIP_DESTINATIONS"])
            for one in destinations:
                one |= {"port": self.ports[one["host"], one["port"]], "host": "127.0.0.1"}
            # On one host the processes cannot all have the ports that each has in its own container.
            variables |= {
                "PATCHCLIP_DESTINATIONS": json.dumps(destinations),
                "PATCHCLIP_PORT": str(self.ports["receiver", 11112]),
                "PATCHCLIP_WEB__PORT": str(self.ports["web", 8042]),
                "PATCHCLIP_QUIET_S": "0.5",
                "PATCHCLIP_LIMITS__MIN_FREE_BYTES": "0",
                "PYTHONPATH": str(self._dependencies),
                "LOCK": "requirements.lock"
                if distribution("torch").version.endswith("+cpu")
                else "requirements/cuda.lock",
                "OMP_NUM_THREADS": "1",
            }
        installed = self.folder / "opt" / "patchclip" / "bin"
        return variables | {"PATH": f"{installed}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

    def _configuration(self, path: Path) -> Path:
        """Return the host's form of a configuration file that an image copies from docker/."""
        (source,) = FOLDER.glob(f"*/{path.name}")
        target = self.folder / path.name
        if source.suffix != ".json":
            target.write_text(self._on_host(source.read_text(), "ohif"))
            return target
        values = json.loads(source.read_text())
        values |= {name: self.ports["orthanc", values[name]] for name in ("DicomPort", "HttpPort")}
        values |= {name: self._on_host(values[name]) for name in ("StorageDirectory", "IndexDirectory")}
        values["LuaScripts"] = [str(FOLDER / "orthanc" / Path(script).name) for script in values["LuaScripts"]]
        for modality in values["DicomModalities"].values():
            modality[1:] = ["127.0.0.1", self.ports[modality[1], modality[2]]]
        target.write_text(json.dumps(values))
        return target

    def _on_host(self, text: str, own: str = "") -> str:
        """Replace folders of an image and addresses of services; of `own`, also its ports on its own loopback."""
        for (name, port), here in self.ports.items():
            text = text.replace(f"{name}:{port}", f"127.0.0.1:{here}")
            if name == own:
                text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{here}").replace(
                    f"listen {port};", f"listen {here};"
                )
                text = str(here) if text == str(port) else text
        # The checkout may lie below a folder that an image has too, such as /tmp: its paths are put in last.
        text = re.sub(_FOLDERS_OF_IMAGES, rf"{self.folder}\g<0>", text)
        return text.replace("/usr/share/ohif", str(_VIEWER)).replace("/etc/ohif/", f"{FOLDER}/ohif/")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=_NEVER_IN_AN_IMAGE)
    else:
        shutil.copy(source, target)
