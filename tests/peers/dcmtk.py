"""DCMTK's programs as peers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from patchclip_node.ports.result_sender import Destination
from tests.peers.processes import PEERS_PATH, free_port, program

_ENVIRONMENT = {**os.environ, "PATH": PEERS_PATH, "TCP_NODELAY": "1"}


def echoscu(port: int, called: str = "PATCHCLIP", calling: str = "ECHOSCU") -> subprocess.CompletedProcess[str]:
    """C-ECHO."""
    return _run("echoscu", "-to", "10", "-aet", calling, "-aec", called, "127.0.0.1", str(port))


def storescu(port: int, *paths: Path, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """C-STORE of files over one association; `options` as of storescu, such as -xs for JPEG Lossless."""
    arguments = ("-v", "-to", "10", "-aet", "STORESCU", "-aec", "PATCHCLIP", *options, "127.0.0.1", str(port))
    return _run("storescu", *arguments, *(str(path) for path in paths))


def compressed_with(tool: str, options: tuple[str, ...], source: Path, target: Path) -> Path:
    """Transcode with dcmcjpeg, dcmcjpls or dcmcrle."""
    finished = _run(tool, *options, str(source), str(target))
    assert finished.returncode == 0, finished.stderr
    return target


def presented(image: Path, state: Path, target: Path) -> Path:
    """Show an image as a presentation state asks for, without its annotations, as a PGM picture of P-Values."""
    finished = _run("dcmp2pgm", "-p", str(state), str(image), str(target))
    assert finished.returncode == 0, finished.stderr
    return target


@dataclass(frozen=True, slots=True)
class Storescp:
    """A running storescp, which writes each object into `folder` under its modality and SOP Instance UID."""

    destination: Destination
    folder: Path

    def files(self) -> list[Path]:
        """Return what has arrived completely enough to have a name."""
        return sorted(path for path in self.folder.iterdir() if not path.name.endswith(".tmp"))


@contextmanager
def storescp(folder: Path, *options: str, port: int | None = None) -> Iterator[Storescp]:
    """Run storescp as a destination."""
    folder.mkdir(exist_ok=True)
    port = port or free_port()
    command = ["storescp", "-aet", "STORESCP", "-od", str(folder), "-pdu", "131072", *options, str(port)]
    with program(command, folder.with_suffix(".log"), port=port, env=_ENVIRONMENT):
        yield Storescp(Destination("storescp", "STORESCP", "127.0.0.1", port), folder)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=_ENVIRONMENT)
