"""Write the lock files: the product and its development in the versions of this environment, each file by its digest.

    python tools/lock.py [--wheel FILE ...]

- requirements/common.lock: what the product needs to run, but for PyTorch, of which there are two builds;
- requirements.lock: this, and PyTorch's build for processors;
- requirements/cuda.lock: this, and the index's own build for Linux with what it needs of CUDA;
- requirements/build.lock: what makes the wheel;
- requirements/dev.lock: what tests and gates need beside these;
- requirements/base.lock: of the first what a receiver needs, the pages without images, and doctor;
- requirements/results.lock: of the first what every process but the worker needs;
- requirements/worker-onnx.lock: what a worker for exported models needs, without PyTorch.

Versions are those installed beside this interpreter. What only another version of Python or another system needs is not
installed here: of that the newest release that is allowed is taken. Digests come from the package index (PIP_INDEX_URL,
or PyPI), for CPython 3.11 to 3.14 on Linux and macOS, and stay while a version stays. PyTorch's build for processors is
not in the index: of a new version --wheel names the files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11.0", "3.11.7", "3.12.0", "3.13.0", "3.14.0")
"""Versions whose needs differ: redis asks for async-timeout below 3.11.3, for example."""

SYSTEMS = (
    {"sys_platform": "linux", "platform_system": "Linux"},
    {"sys_platform": "darwin", "platform_system": "Darwin"},
)
MACHINES = ("x86_64", "aarch64")
PRODUCT = ("results", "worker", "trainer")
"""Extras that belong to the whole product."""
EXTRAS = ("notebook", "onnx", "demo-model", "s3", "telemetry", "dev")
EDITABLE = "editables"  # what hatchling asks for when it installs a checkout
LOCKS = (
    ROOT / "requirements" / "common.lock",
    ROOT / "requirements.lock",
    ROOT / "requirements" / "cuda.lock",
    ROOT / "requirements" / "build.lock",
    ROOT / "requirements" / "dev.lock",
    ROOT / "requirements" / "base.lock",
    ROOT / "requirements" / "results.lock",
    ROOT / "requirements" / "worker-onnx.lock",
)
INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package in the one version that is installed, with the SHA-256 of each file that may be it."""

    name: str
    version: str
    digests: tuple[str, ...]
    marker: str = ""

    def __str__(self) -> str:
        head = f"{self.name}=={self.version}" + (f" ; {self.marker}" if self.marker else "")
        return " \\\n    ".join([head, *(f"--hash=sha256:{digest}" for digest in self.digests)])


Known = Mapping[tuple[str, str], Pin]
"""The pins of lock files, by canonical name and version."""


def environments(extra: str = "") -> Iterator[dict[str, str]]:
    """Yield the environments in which the locks have to hold, as packaging evaluates markers in them."""
    for python in PYTHONS:
        for system in SYSTEMS:
            for machine in MACHINES:
                version = {"python_version": python.rpartition(".")[0], "python_full_version": python}
                yield {
                    **version,
                    **system,
                    "platform_machine": machine,
                    "implementation_name": "cpython",
                    "extra": extra,
                }


def applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Whether a requirement counts in any environment of the locks, with these extras or none."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate(place) for extra in ["", *extras] for place in environments(extra))


def closure(roots: Iterable[str]) -> dict[str, list[Requirement]]:
    """Return all that requirements need, by canonical name, each with the requirements that asked for it.

    What is not installed here is in the result, but not what it needs in turn.
    """
    asked: dict[str, list[Requirement]] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        asked.setdefault(name, []).append(requirement)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        try:
            further = [Requirement(text) for text in distribution(name).requires or []]
        except PackageNotFoundError:
            continue
        waiting.extend(item for item in further if applies(item, requirement.extras))
    return asked


def of_the_product(project: Mapping[str, Any], extras: Iterable[str] = PRODUCT) -> list[str]:
    """Return what the product needs with these extras, by default all of it. project: of pyproject.toml."""
    more = [text for extra in extras for text in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *(text for text in more if Requirement(text).name != project["name"])]


def read_lock(path: Path) -> dict[tuple[str, str], Pin]:
    """Return the pins of one lock file, without those of the files that it includes; of no file, none."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ") if path.exists() else ""
    entries = re.findall(
        r"^([\w.-]+)==(\S+)(?: ; (.*?))?((?: +--hash=sha256:[0-9a-f]{64})+)$", text, flags=re.MULTILINE
    )
    pins = [Pin(name, version, tuple(re.findall(r":(\w+)", rest)), marker) for name, version, marker, rest in entries]
    return {(canonicalize_name(pin.name), pin.version): pin for pin in pins}


def is_for_the_locks(tag: Tag) -> bool:
    """Whether a wheel's tag fits CPython 3.11 to 3.14 on Linux or macOS."""
    stable_abi = tag.abi == "abi3" and int(tag.interpreter.removeprefix("cp3")) <= 14
    python = stable_abi or tag.interpreter in {"py3", "cp311", "cp312", "cp313", "cp314"}
    plain_abi = not tag.abi.endswith("t")  # no build without the global interpreter lock
    linux = re.fullmatch(r"(many)?linux.*_(x86_64|aarch64)", tag.platform)
    return python and plain_abi and bool(tag.platform == "any" or linux or tag.platform.startswith("macosx"))


def version_of(filename: str) -> Version | None:
    """Return the version that a file of the index holds, or None where the locks have no use for the file."""
    try:
        if filename.endswith(".whl"):
            _, version, _, tags = parse_wheel_filename(filename)
            return version if any(is_for_the_locks(tag) for tag in tags) else None
        return parse_sdist_filename(filename)[1]
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def in_index(name: str) -> dict[Version, tuple[str, ...]]:
    """Return the digests of a package's files in the index, by version. Those that were withdrawn are left out."""
    request = urllib.request.Request(  # noqa: S310 - the index's address is the caller's own
        f"{INDEX.rstrip('/')}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        files = json.load(answer)["files"]
    found: dict[Version, set[str]] = {}
    for file in files:
        version = None if file["yanked"] else version_of(file["filename"])
        if version is not None:
            found.setdefault(version, set()).add(file["hashes"]["sha256"])
    return {version: tuple(sorted(digests)) for version, digests in found.items()}


def where(wanted: Iterable[Requirement]) -> str:
    """Return the marker of the places where any of these requirements counts; of all places, an empty one."""
    markers = {str(requirement.marker or "") for requirement in wanted}
    return "" if "" in markers else " or ".join(sorted(markers))


def pin(name: str, wanted: list[Requirement], known: Known) -> Pin:
    """Return a package's pin: the version that is installed, else the one known, else the newest allowed one."""

    def allowed(version: str | Version) -> bool:
        return all(version in requirement.specifier for requirement in wanted)

    try:
        metadata = distribution(name).metadata
        title, marker, candidates = str(metadata["Name"]), "", [Version(str(metadata["Version"])).public]
    except PackageNotFoundError:
        title, marker, candidates = name, where(wanted), [version for other, version in known if other == name]
    version = next(filter(allowed, candidates), "")
    if version and (name, version) in known:
        return replace(known[name, version], name=title)
    releases = in_index(name)
    version = version or str(max(filter(allowed, releases)))
    if Version(version) not in releases:
        raise SystemExit(f"{name} {version} is installed, and not in {INDEX}: install a version that is there")
    return Pin(title, version, releases[Version(version)], marker)


def for_processors(version: str, wheels: Iterable[Path], known: Known) -> Pin:
    """Return the pin of PyTorch's build for processors, by its files or as it is known."""
    local = f"{version}+cpu"
    digests = tuple(sorted(hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels))
    if not digests and ("torch", local) not in known:
        raise SystemExit(f"torch {version} is new here: name the files of its build for processors with --wheel")
    return Pin("torch", local, digests or known["torch", local].digests, 'sys_platform == "linux"')


def cuda(torch: Pin) -> dict[str, list[Requirement]]:
    """Return what the index's own build of PyTorch for Linux needs, in the versions that pip would install now."""
    options = ["--isolated", "--use-feature=fast-deps", "--disable-pip-version-check", "--quiet"]
    install = ["install", "--dry-run", "--ignore-installed", "--no-cache-dir", "--index-url", INDEX, "--report", "-"]
    command = [sys.executable, "-m", "pip", *options, *install, f"{torch.name}=={torch.version}"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    found = [(canonicalize_name(item["metadata"]["name"]), item["metadata"]["version"]) for item in report["install"]]
    return {name: [Requirement(f"{name}=={version}")] for name, version in found}


def write(path: Path, says: str, pins: Iterable[Pin], includes: str = "") -> None:
    """Write a lock file: what it is for, then each package with its digests."""
    head = f"# {says}\n# Made by tools/lock.py.\n" + (f"-r {includes}\n" if includes else "")
    lines = [f"{one}\n" for one in sorted(pins, key=lambda one: (one.name.lower(), one.version))]
    path.write_text(head + "".join(lines), encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(lines)} packages")  # noqa: T201


def main() -> None:
    """Write the eight files."""
    parser = argparse.ArgumentParser(description="write the lock files from what is installed")
    parser.add_argument("--wheel", type=Path, nargs="+", default=[], help="PyTorch's build for processors")
    wheels = parser.parse_args().wheel

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    optional = project["project"]["optional-dependencies"]
    extras = [text for extra in EXTRAS for text in optional[extra]]
    base = closure(project["project"]["dependencies"])
    without_model = closure(of_the_product(project["project"], ["results"]))
    exported_model = closure(of_the_product(project["project"], ["results", "worker-onnx"]))
    product = closure(of_the_product(project["project"]))
    build = closure([*project["build-system"]["requires"], EDITABLE])
    development = closure(extras)
    known = {name: one for path in LOCKS for name, one in read_lock(path).items()}

    def pins(asked: Mapping[str, list[Requirement]], without: Iterable[str] = ()) -> list[Pin]:
        return [pin(name, asked[name], known) for name in sorted(set(asked) - set(without))]

    torch = pin("torch", product["torch"], known)
    processors = [for_processors(torch.version, wheels, known), replace(torch, marker='sys_platform != "linux"')]
    common, processor, gpu, building, developing, receiving, delivering, exported = LOCKS
    write(common, "What the product needs to run, but for PyTorch.", pins(product, ["torch"]))
    write(processor, "The product, with PyTorch's build for processors.", processors, "requirements/common.lock")
    says = "The product, with the index's own build of PyTorch for Linux, which computes on GPUs, too."
    write(gpu, says, [torch, *pins(cuda(torch), product)], "common.lock")
    write(building, "What makes the wheel.", pins(build))
    write(
        developing,
        "What tests and gates need beside the product and what makes it.",
        pins(development, [*product, *build]),
    )
    write(receiving, "What a receiver needs, the pages without images, and doctor.", pins(base))
    write(delivering, "What every process but the worker needs.", pins(without_model))
    write(exported, "What a worker for models that were exported to ONNX needs.", pins(exported_model))


if __name__ == "__main__":
    main()
