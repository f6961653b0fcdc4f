"""The audit trail up to a line: what a ledger's copy knows of, and not what was written after it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from patchclip_node.adapters.audit_files import trail_files
from patchclip_node.audit.chain import read_line

_FIRST = re.compile(r"audit-(\d+)\.jsonl")


def trail_until(folder: Path, sequence: int) -> Iterator[tuple[str, bytes]]:
    """Yield (file's name, its content) of a trail up to and with event `sequence`.

    What a ledger of that moment has not carried yet is carried again, into the same lines.
    """
    for file in trail_files(folder):
        named = _FIRST.fullmatch(file.name)
        if named is not None and int(named[1]) > sequence:
            return
        lines = file.read_bytes().split(b"\n")[:-1]  # behind the last end there is nothing, or half a line
        while lines and _is_behind(lines[-1], sequence):
            lines.pop()
        if lines:
            yield file.name, b"\n".join([*lines, b""])


def last_event(content: bytes) -> tuple[int, str] | None:
    """Return number and digest of the last line; None where it cannot be read."""
    try:
        line = read_line(content.rstrip(b"\n").rpartition(b"\n")[2].decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    return line.sequence, line.digest


def _is_behind(line: bytes, sequence: int) -> bool:
    try:
        return read_line(line.decode("utf-8", "surrogateescape")).sequence > sequence
    except ValueError:
        return False  # a changed line is evidence, too
