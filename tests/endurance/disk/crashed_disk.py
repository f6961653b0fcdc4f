"""What a disk holds after the power failed, from a record of what was written to it and what of that was synced.

A file's content is what its last fsync covered, a folder's entries are those of its last fsync; what came after may
have reached the disk in part, in any order, or not at all (POSIX promises nothing more). SQLite's `-shm` file is
memory that processes share; it is made again at the next start.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_HEAD = struct.Struct("<c5Q")
SHARED_MEMORY = "-shm"


def build_recorder(folder: Path) -> Path:
    """Compile the recorder; returns what LD_PRELOAD is to name."""
    library = folder / "recorder.so"
    source = Path(__file__).with_name("recorder.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], check=True)
    return library


@dataclass
class Change:
    """Bytes at an offset, or, without bytes, a new length."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(max(0, self.offset - len(content))))
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(eq=False)
class File:
    """`synced` is on the disk for sure; of `pending`, which came later, anything may be."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.pending:
            change.apply(self.synced)
        self.pending.clear()

    def content(self, chance: random.Random | None) -> bytes:
        """Return what is there after the power failed; without `chance` nothing that was not synced is."""
        content = bytearray(self.synced)
        if chance is not None:
            for change in self.pending:
                if chance.random() < 0.5:
                    change.apply(content)
        return bytes(content)


@dataclass(eq=False)
class Folder:
    """Names as processes see them, and as they are on the disk for sure."""

    seen: dict[str, File | Folder] = field(default_factory=dict)
    synced: dict[str, File | Folder] = field(default_factory=dict)

    def sync(self) -> None:
        self.synced = dict(self.seen)

    def entries(self, chance: random.Random | None) -> dict[str, File | Folder]:
        entries = dict(self.synced)
        if chance is None:
            return entries
        for name in [*self.synced.keys(), *self.seen.keys()]:
            if self.synced.get(name) is not self.seen.get(name) and chance.random() < 0.5:
                entries.pop(name, None)
                if name in self.seen:
                    entries[name] = self.seen[name]
        return entries


class RecordedDisk:
    """Plays a record back. `position` is how much of it has been played, in bytes."""

    def __init__(self, record: Path, root: Path) -> None:
        self.position = 0
        self._root = root
        self._records = record.read_bytes()
        self._top = Folder()
        self._by_inode: dict[int, File] = {}

    @property
    def size(self) -> int:
        return len(self._records)

    def positions(self) -> Iterator[int]:
        """Yield where each record ends."""
        position = 0
        while position < len(self._records):
            _, _, _, one, two, size = _HEAD.unpack_from(self._records, position)
            position += _HEAD.size + one + two + size
            yield position

    def play_to(self, position: int) -> None:
        """Do all that was recorded before a position."""
        while self.position < position:
            kind, inode, offset, one, two, size = _HEAD.unpack_from(self._records, self.position)
            start = self.position + _HEAD.size
            paths = self._records[start : start + one].decode(), self._records[start + one : start + one + two].decode()
            data = self._records[start + one + two : start + one + two + size]
            self._do(kind, inode, offset, paths, data)
            self.position = start + one + two + size

    def write_to(self, target: Path, chance: random.Random | None = None) -> None:
        """Write what the disk holds if the power fails now into a folder that is made."""
        self._write(self._top, target, chance)

    def _do(self, kind: bytes, inode: int, offset: int, paths: tuple[str, str], data: bytes) -> None:
        match kind:
            case b"C":
                self._by_inode[inode] = File()
                self._place(paths[0])[self._name(paths[0])] = self._by_inode[inode]
            case b"W":
                self._by_inode[inode].pending.append(Change(offset, data))
            case b"T":
                self._by_inode[inode].pending.append(Change(offset, None))
            case b"S":
                self._by_inode[inode].sync()
            case b"D":
                self._folder(paths[0]).sync()
            case b"R":
                self._place(paths[1])[self._name(paths[1])] = self._place(paths[0]).pop(self._name(paths[0]))
            case b"U":
                self._place(paths[0]).pop(self._name(paths[0]))
            case b"M":
                self._place(paths[0])[self._name(paths[0])] = Folder()
            case _:
                raise ValueError(f"a record of an unknown kind, {kind!r}, at {self.position}")

    def _folder(self, path: str) -> Folder:
        folder = self._top
        for name in Path(path).relative_to(self._root).parts:
            found = folder.seen[name]
            assert isinstance(found, Folder)
            folder = found
        return folder

    def _place(self, path: str) -> dict[str, File | Folder]:
        return self._folder(str(Path(path).parent)).seen

    @staticmethod
    def _name(path: str) -> str:
        return Path(path).name

    def _write(self, folder: Folder, target: Path, chance: random.Random | None) -> None:
        target.mkdir()
        for name, entry in folder.entries(chance).items():
            if isinstance(entry, Folder):
                self._write(entry, target / name, chance)
            elif not name.endswith(SHARED_MEMORY):
                (target / name).write_bytes(entry.content(chance))
