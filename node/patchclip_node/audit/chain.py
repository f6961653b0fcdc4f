"""Lines of an audit file: each carries its own digest and that of the line before, so that a changed one is seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

BEGINNING: Final = "0" * 64
"""What the first line of all names as the digest of the line before."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. sequence: counts from 1. before: the digest of the line before. digest: SHA-256 of all else in it."""

    sequence: int
    key: str
    before: str
    message: str
    digest: str

    @property
    def is_whole(self) -> bool:
        """Whether the line is as it was written, by its own digest."""
        return self.digest == _digest(self.sequence, self.key, self.before, self.message)

    def to_json(self) -> str:
        """Return the line without its end."""
        return json.dumps(
            {
                "sequence": self.sequence,
                "key": self.key,
                "before": self.before,
                "message": self.message,
                "digest": self.digest,
            },
            ensure_ascii=False,
        )


def next_line(sequence: int, key: str, before: str, message: str) -> Line:
    """Return the line that follows the one with the digest `before`."""
    return Line(sequence, key, before, message, _digest(sequence, key, before, message))


def read_line(text: str) -> Line:
    """Read a line. Raises `ValueError` where it is none."""
    values = json.loads(text)
    if not isinstance(values, dict) or set(values) != {"sequence", "key", "before", "message", "digest"}:
        raise ValueError("its keys are others than those of an audit line")
    sequence = values.pop("sequence")
    if not isinstance(sequence, int) or not all(isinstance(value, str) for value in values.values()):
        raise ValueError("its values are of another type than those of an audit line")
    line = Line(sequence, **values)
    if line.to_json() != text:
        raise ValueError("it is not written as the node writes")
    return line


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file. line: counts from 1."""

    file: str
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in files that follow each other. first, last: sequence numbers; None where there is no line."""

    lines: int
    first: int | None
    last: int | None
    faults: tuple[Fault, ...]


def verify(lines: Iterable[tuple[str, int, str]], known: tuple[int, str] = (0, "")) -> Verdict:
    """Follow the chain through lines, each as (file's name, number of the line in it, text), in the trail's order.

    A changed, removed, inserted or moved line breaks it; each is named where it is found. What was cut off at the end
    is not seen by the lines themselves, but by what is `known` of the last one: its sequence number and its digest.
    """
    faults: list[Fault] = []
    before: Line | None = None
    first: int | None = None
    place = "the trail", 0
    count = 0
    for file, number, text in lines:
        count, place = count + 1, (file, number)
        try:
            line = read_line(text)
        except ValueError as error:
            faults.append(Fault(file, number, f"it was changed: it can't be read as an audit line ({error})"))
            before = None
            continue
        if first is None:
            first = line.sequence
        faults += [Fault(file, number, what) for what in _wrong(line, before)]
        if line.sequence == known[0] and line.digest != known[1]:
            faults.append(Fault(file, number, f"event {line.sequence} is another one than the ledger knows"))
        if before is None or line.sequence > before.sequence:
            before = line
    last = before.sequence if before else None
    if (last or 0) < known[0]:
        gone = f"events up to {known[0]}, which the ledger knows, were removed behind event {last or 'none'}"
        faults.append(Fault(*place, gone))
    return Verdict(count, first, last, tuple(faults))


def _wrong(line: Line, before: Line | None) -> Iterator[str]:
    if not line.is_whole:
        yield f"event {line.sequence} was changed: its content is not what its digest was made of"
    if before is None:
        if line.sequence == 1 and line.before != BEGINNING:
            yield "event 1 follows another event: what stood before it was removed"
        return
    expected = before.sequence + 1
    if line.sequence > expected:
        is_one = line.sequence == expected + 1
        missing = f"event {expected} was" if is_one else f"events {expected} to {line.sequence - 1} were"
        yield f"before it {missing} removed or moved"
    elif line.sequence < expected:
        yield f"event {line.sequence} was inserted or moved: event {before.sequence} stands before it"
    elif line.before != before.digest:
        yield f"it does not follow the line before it: event {before.sequence} or event {line.sequence} was replaced"


def _digest(sequence: int, key: str, before: str, message: str) -> str:
    return hashlib.sha256("\n".join((str(sequence), key, before, message)).encode()).hexdigest()
