"""The node's own audit trail: files of lines that hang together, for the node's user alone.

A file is named by the first event in it, so that names in their order are the trail. Nothing is ever deleted here.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from patchclip_node.adapters.folders import sync_folder
from patchclip_node.adapters.private_folder import make_private
from patchclip_node.audit.chain import BEGINNING, Line, next_line, read_line
from patchclip_node.audit.values import AuditEvent, RecordedEvent
from patchclip_node.domain.errors import AuditTrailError

_PATTERN: Final = "audit-*.jsonl"
_TAIL_BYTES: Final = 256 * 1024
"""No line is as long."""


def trail_files(folder: Path) -> list[Path]:
    """Return the files of a trail in their order."""
    return sorted(folder.glob(_PATTERN))


def trail_lines(files: Sequence[Path]) -> Iterator[tuple[str, int, str]]:
    """Return all lines of files, each as (file's name, number of the line in it, text without its end)."""
    for file in files:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            for number, text in enumerate(lines, 1):
                yield file.name, number, text.removesuffix("\n")


class AuditFiles:
    """Appends to the trail in a folder. A file that has reached `largest_bytes` is followed by another one."""

    def __init__(self, folder: Path, largest_bytes: int, message: Callable[[AuditEvent], str]) -> None:
        """`message`: the text of an event. Raises `ConfigurationError` where the folder cannot be made private."""
        make_private(folder)
        self._folder = folder
        self._largest_bytes = largest_bytes
        self._message = message

    def append(self, head: tuple[int, str], recorded: Sequence[RecordedEvent]) -> tuple[int, str]:
        """Append events that follow `head`, the number and digest of the last line that the ledger knows of.

        Returns the new head, once it is durable. What was written just before a process was killed is not written
        again. Raises `AuditTrailError` where the trail does not end with `head`, and `OSError`.
        """
        with self._alone():
            files = trail_files(self._folder)
            last = _last_line(files[-1]) if files else None
            sequence, digest = head
            digest = digest or BEGINNING
            if last is not None and last.sequence > sequence:
                known = {one.sequence: one.event.key for one in recorded}
                if known.get(last.sequence) != last.key:
                    raise _torn(files[-1], f"it goes on to event {last.sequence}", sequence)
                sequence, digest = last.sequence, last.digest
            elif sequence and files and (last is None or (last.sequence, last.digest) != (sequence, digest)):
                ends = "has no line" if last is None else f"ends with event {last.sequence}, {last.digest[:12]}"
                raise _torn(files[-1], f"it {ends}", sequence)
            lines = []
            for one in recorded:
                if one.sequence > sequence:
                    line = next_line(one.sequence, one.event.key, digest, self._message(one.event))
                    lines.append(line)
                    sequence, digest = line.sequence, line.digest
            if lines:
                self._write(files[-1] if files else None, lines)
            return sequence, digest

    def set_aside(self) -> Path:
        """Move all files into a folder, since the trail goes on from what the ledger knows; return that folder."""
        with self._alone():
            number = 1
            while (aside := self._folder / f"changed-{number}").exists():
                number += 1
            aside.mkdir(mode=0o700)
            for file in trail_files(self._folder):
                file.rename(aside / file.name)
            sync_folder(aside)
            sync_folder(self._folder)
            return aside

    def _write(self, current: Path | None, lines: Sequence[Line]) -> None:
        if current is None or current.stat().st_size >= self._largest_bytes:
            current = self._path(lines[0].sequence)
        is_new = not current.exists()
        content = "".join(f"{line.to_json()}\n" for line in lines).encode("utf-8")
        descriptor = os.open(current, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            begin = os.fstat(descriptor).st_size
            try:
                written = 0
                while written < len(content):
                    written += os.write(descriptor, content[written:])
                os.fsync(descriptor)
            except OSError:  # a full disk: no half line stays
                os.ftruncate(descriptor, begin)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(self._folder)

    def _path(self, sequence: int) -> Path:
        return self._folder / f"audit-{sequence:012d}.jsonl"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes out, one that holds a lane whose lease has ended, say."""
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _torn(file: Path, what: str, sequence: int) -> AuditTrailError:
    return AuditTrailError(
        f"{file}: {what}, and the ledger knows event {sequence} as the last one written: it was changed"
    )


def _last_line(file: Path) -> Line | None:
    """Return the last whole line, and cut off what the power's end has left of another one behind it."""
    with file.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TAIL_BYTES))
        tail = stream.read()
        whole, end, rest = tail.rpartition(b"\n")
        if rest:
            stream.truncate(size - len(rest))
            os.fsync(stream.fileno())
    if not end:
        return None
    try:
        return read_line(whole.rpartition(b"\n")[2].decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
