"""The versions of a node's configuration, in the folder `config` of its data folder, for the node's user alone.

    versions/0003/       version.json, node.yaml, and the files that it names: complete, or not there
    current              the number of the version that holds; it is replaced as a whole
    running/             what each process says of itself; a lock on its file lasts as long as the process does
    lock                 who changes something has it

A kill at any moment leaves the version before or the one after.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from patchclip_node.adapters.folders import sync_folder
from patchclip_node.adapters.private_folder import make_private
from patchclip_node.domain.configuration import Configuration, NamedFile, Person, RunningProcess, Version
from patchclip_node.domain.errors import NodeError

PATIENCE_S: Final = 60.0
"""How long one change waits for another one to end."""

log = structlog.get_logger(__name__)

_FILE: Final = "node.yaml"
_PRIVATE: Final = 0o600


class ConfigurationBusyError(NodeError):
    """Another process changes the configuration, and does not come to an end."""


class ConfigurationStore:
    """Keeps versions, says which one holds, and knows who runs with which. For several processes."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.absolute() / "config"
        self.versions = self.folder / "versions"
        self._running = self.folder / "running"

    @property
    def _owner(self) -> tuple[int, int] | None:
        """Whose the files are to be: root, who changes the configuration, leaves them to the node's user."""
        if os.geteuid() != 0:
            return None
        folder = self.folder.stat()
        return folder.st_uid, folder.st_gid

    def _write(self, path: Path, content: str) -> None:
        replace_durably(path, content.encode(), _PRIVATE, self._owner)

    def prepare(self) -> None:
        """Make the folders. Raises `ConfigurationError`."""
        for folder in (self.folder.parent, self.folder, self.versions, self._running):
            make_private(folder)

    @contextmanager
    def locked(self, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Change something; no other process does meanwhile. Raises `ConfigurationBusyError` after a patient wait."""
        end = time.monotonic() + patience_s
        with _opened(self.folder / "lock", os.O_RDWR | os.O_CREAT) as descriptor:
            if (owner := self._owner) is not None:
                os.fchown(descriptor, *owner)
            while not _take(descriptor):
                if time.monotonic() > end:
                    raise ConfigurationBusyError("another change of the configuration does not end; try again later")
                time.sleep(0.02)
            yield

    def file_of(self, number: int) -> Path:
        """Return the configuration file of a version."""
        return self.versions / f"{number:04d}" / _FILE

    def number_of(self, file: Path | None) -> int | None:
        """Return which version's a file is; None where it is another file."""
        if file is None or file.name != _FILE or file.absolute().parent.parent != self.versions:
            return None
        return int(file.absolute().parent.name)

    def named_file(self, number: int, key: str) -> Path:
        """Return where a version's copy lies of the file that a setting names."""
        return self.versions / f"{number:04d}" / f"{key}.yaml"

    def current(self) -> int | None:
        """Return the number of the version that holds; None before the first."""
        try:
            return int((self.folder / "current").read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    def point_at(self, number: int) -> None:
        """Let a version hold."""
        self._write(self.folder / "current", f"{number}\n")

    def numbers(self) -> list[int]:
        """Return the numbers of all versions, the first one first."""
        try:
            return sorted(int(one.name) for one in self.versions.iterdir() if one.name.isdigit())
        except FileNotFoundError:
            return []

    def version(self, number: int) -> Version:
        """Read a version. Raises `NodeError` where there is none of this number."""
        folder = self.versions / f"{number:04d}"
        try:
            told = json.loads((folder / "version.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NodeError(
                f"there is no version {number} of the configuration: `config history` lists them"
            ) from error
        files = tuple(
            NamedFile(key, Path(path), self.named_file(number, key).read_text(encoding="utf-8"))
            for key, path in told["files"].items()
        )
        source = Path(told["source"]) if told["source"] else None
        text = (folder / _FILE).read_text(encoding="utf-8")
        refused = folder / "refused"
        return Version(
            number,
            datetime.fromisoformat(told["at"]),
            Person(**told["who"]),
            told["act"],
            Configuration(source, text, files, told["effective"]),
            refused.read_text(encoding="utf-8") if refused.exists() else "",
        )

    def keep(self, configuration: Configuration, who: Person, act: str) -> Version:
        """Keep one more version; it does not hold yet. To be called `locked`."""
        number = max(self.numbers(), default=0) + 1
        version = Version(number, datetime.now(UTC), who, act, configuration)
        new = self.versions / f".{uuid.uuid4().hex}.new"
        new.mkdir(mode=0o700)
        if (owner := self._owner) is not None:
            os.chown(new, *owner)
        told = {
            "at": version.at.isoformat(),
            "who": asdict(who),
            "act": act,
            "digest": configuration.digest,
            "source": str(configuration.source) if configuration.source else None,
            "files": {one.key: str(one.path) for one in configuration.files},
            "effective": configuration.effective,
        }
        self._write(new / _FILE, configuration.text)
        for one in configuration.files:
            self._write(new / f"{one.key}.yaml", one.text)
        self._write(new / "version.json", json.dumps(told, indent=1))
        new.rename(self.versions / f"{number:04d}")
        sync_folder(self.versions)
        for leftover in self.versions.glob(".*.new"):  # of one that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        return version

    def before(self, number: int) -> Version | None:
        """Return the version that held before one; None for the first."""
        earlier = (self.version(one) for one in reversed(self.numbers()) if one < number)
        return next((one for one in earlier if not one.refused), None)

    def refuse(self, number: int, why: str) -> None:
        """Write down why a version does not hold, though it was to."""
        self._write(self.versions / f"{number:04d}" / "refused", why)

    def told_up_to(self) -> int:
        """Return up to which version changes were told to the audit trail."""
        try:
            return int((self.folder / "told").read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0

    def tell_up_to(self, number: int) -> None:
        """Remember that changes up to this version were told."""
        self._write(self.folder / "told", f"{number}\n")

    def register(self, process: str, environment: Mapping[str, str], number: int) -> Registration:
        """Say that this process runs, with which version, until it ends or `close`s the registration."""
        return Registration(self._running / f"{process}-{uuid.uuid4().hex}", process, environment, number)

    def running(self) -> list[RunningProcess]:
        """Return the processes that run now; what others left that were killed is taken away."""
        found = []
        for path in sorted(self._running.glob("*.json")):
            with suppress(FileNotFoundError):  # it ends just now
                if _is_over(path.with_suffix(".lock")):
                    path.unlink(missing_ok=True)
                    path.with_suffix(".lock").unlink(missing_ok=True)
                else:
                    found.append(_process(path.stem, json.loads(path.read_text(encoding="utf-8"))))
        return found


class Registration:
    """What a process says of itself; no other writes it. A full disk keeps no process from its work."""

    def __init__(self, path: Path, process: str, environment: Mapping[str, str], number: int) -> None:
        self._path = path.with_suffix(".json")
        self._lock: int | None = None
        try:
            self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            log.warning("process_not_registered", error=str(error))
        self._told: dict[str, Any] = {
            "process": process,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": number,
            "environment": dict(environment),
        }
        self.say(number)

    def say(self, version: int, refused: tuple[int, str] | None = None) -> None:
        """Say which version is run with or gone over to, and which later one is refused, and why."""
        told = self._told | {"version": version, "refused": refused}
        try:
            replace_durably(self._path, json.dumps(told).encode(), _PRIVATE)
        except OSError as error:
            log.warning("process_not_registered", error=str(error))

    def close(self) -> None:
        """Say that this process ends."""
        with suppress(OSError):  # whoever looks finds the lock free
            self._path.unlink(missing_ok=True)
            self._path.with_suffix(".lock").unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)


def replace_durably(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Write a file as a whole: whoever is killed in between leaves the one before, and perhaps a file `.*.new`.

    owner: user and group, where it is to have others than this process.
    """
    new = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, _PRIVATE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Take the lock of a file where it is free; closing the file gives it back."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_over(lock: Path) -> bool:
    """Tell whether the process is gone that had this lock for as long as it lived."""
    try:
        with _opened(lock, os.O_RDWR) as descriptor:
            return _take(descriptor, fcntl.LOCK_SH)  # others may look at the same time
    except FileNotFoundError:
        return True


def _process(name: str, told: Mapping[str, Any]) -> RunningProcess:
    refused = told["refused"]
    return RunningProcess(
        name,
        told["process"],
        told["host"],
        told["pid"],
        told["started"],
        told["version"],
        (int(refused[0]), str(refused[1])) if refused else None,
        told["environment"],
    )
