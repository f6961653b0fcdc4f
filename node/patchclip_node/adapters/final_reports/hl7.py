"""Reports as HL7 version 2 has them: ORU^R01 messages, as they came or in a batch (HL7 v2.5.1 chapters 2 and 7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from patchclip_core.reports.headings import report_headings
from patchclip_node.domain.final_reports import FinalReport, NotRead, ReportStatus

_LINES: Final = re.compile(r"\r\n|\r|\n")
_FRAMES: Final = {ord("\x0b"): None, ord("\x1c"): None}
"""What MLLP puts around a message."""
_BATCH: Final = ("FHS", "BHS", "BTS", "FTS")

CHARACTER_SETS: Final = {"ASCII": "ascii", "UNICODE UTF-8": "utf-8", "UNICODE": "utf-8"} | {
    f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)
}
"""Table 0211, as far as it names what has one byte a letter, or UTF-8."""

_TEXTS: Final = frozenset({"TX", "FT", "ST", ""})
_STUDY_UID: Final = "113014"
"""DCM code of a Study Instance UID (IHE RAD TF-2, 4.28)."""
_HEADINGS: Final = {"GDT": "FINDINGS", "IMP": "IMPRESSION", "ADT": "ADDENDUM", "REC": "RECOMMENDATION"}
"""Suffixes of an observation's identifier (HL7 v2.5.1, 7.2.4)."""

_OF_REPORT: Final = {
    "F": ReportStatus.FINAL,
    "C": ReportStatus.CORRECTED,
    "X": ReportStatus.WITHDRAWN,
}
"""Table 0123; all else has yet to become final."""
_OF_LINE: Final = {"F": ReportStatus.FINAL, "U": ReportStatus.FINAL, "C": ReportStatus.CORRECTED, "": None}
"""Table 0085: lines that are read. D and W withdraw theirs; all else has yet to become final."""


class _UnreadableError(ValueError):
    """What of a message cannot be read."""


@dataclass(frozen=True, slots=True)
class _Marks:
    """The encoding characters of a message (2.5.4): field, component, repetition, escape, subcomponent."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str


@dataclass(frozen=True, slots=True)
class _Segment:
    """One segment. fields: as they came; 0 is its name, of MSH 1 is the field separator."""

    fields: Sequence[str]
    marks: _Marks
    encoding: str

    @property
    def name(self) -> str:
        return self.fields[0]

    def raw(self, number: int) -> str:
        return self.fields[number] if number < len(self.fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """Return the repetitions of a field, escape sequences and all."""
        return self.raw(number).split(self.marks.repetition)

    def text(self, number: int, component: int = 1) -> str:
        """Return a component of a field's first repetition."""
        parts = self.repetitions(number)[0].split(self.marks.component)
        return self.plain(parts[component - 1]).strip() if component <= len(parts) else ""

    def plain(self, written: str) -> str:
        """Return what is meant by what is written with escape sequences (2.7)."""
        mark = re.escape(self.marks.escape)
        return re.sub(rf"{mark}([^{mark}\r\n]*){mark}", lambda found: self._escaped(found[1]), written)

    def _escaped(self, sequence: str) -> str:
        marks = self.marks
        letters = {"F": marks.field, "S": marks.component, "T": marks.subcomponent, "R": marks.repetition}
        letters["E"] = marks.escape
        if sequence in letters:
            return letters[sequence]
        if sequence.startswith("X"):
            try:
                return bytes.fromhex(sequence[1:]).decode(self.encoding)
            except (ValueError, UnicodeDecodeError):
                return " "
        return "\n" if sequence.startswith((".br", ".sp", ".ce")) else " " if sequence.startswith(".") else ""


def hl7_reports(content: bytes, where: str) -> Iterator[FinalReport | NotRead]:
    """Yield the reports of a file's ORU messages; each that cannot be read is named by its number."""
    for number, message in enumerate(_messages(content), 1):
        at = f"{where}, message {number}"
        try:
            yield from _reports(_segments(message), at)
        except _UnreadableError as error:
            yield NotRead(at, str(error))


def _messages(content: bytes) -> list[bytes]:
    starts = [found.start(1) for found in re.finditer(rb"(?:^|[\r\n\x0b])[ \t]*(MSH[^\w\s])", content)]
    return [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]


def _segments(message: bytes) -> list[_Segment]:
    head = _LINES.split(message.decode("latin-1"))[0]
    if len(head) < 8:
        raise _UnreadableError("the message header MSH is cut off")
    marks = _Marks(head[3], *head[4:8])
    named = head.split(marks.field)
    declared = named[17].split(marks.repetition)[0].strip().upper() if len(named) > 17 else ""
    encoding = CHARACTER_SETS.get(declared, "") if declared else "utf-8"
    if not encoding:
        raise _UnreadableError(f"MSH-18 declares the character set {declared}; known: {', '.join(CHARACTER_SETS)}")
    try:
        text = message.decode(encoding)
    except UnicodeDecodeError:
        said = f"MSH-18 declares {declared}" if declared else "MSH-18 declares no character set, and it is not UTF-8"
        raise _UnreadableError(f"bytes do not fit its character set: {said}") from None
    lines = [line for line in _LINES.split(text.translate(_FRAMES)) if line.strip()]
    found = [line.lstrip().split(marks.field) for line in lines]
    found[0].insert(1, marks.field)
    return [_Segment(fields, marks, encoding) for fields in found if fields[0] not in _BATCH]


def _reports(segments: Sequence[_Segment], where: str) -> Iterator[FinalReport | NotRead]:
    head = segments[0]
    kind = head.text(9), head.text(9, 2)
    if kind[0] != "ORU":
        raise _UnreadableError(f"a message of type {'^'.join(filter(None, kind))}; ORU^R01 is read")
    orders = [place for place, segment in enumerate(segments) if segment.name == "OBR"]
    if not orders:
        raise _UnreadableError("it has no OBR segment, which says whose report it is")
    if len(orders) == 1:  # whatever the order of its segments, all is of this one
        yield from _of_order(segments[orders[0]], segments, segments, where)
        return
    if any(segment.name == "OBX" for segment in segments[: orders[0]]):
        raise _UnreadableError("an OBX stands before the first of several OBR segments: nothing says whose it is")
    for number, (start, end) in enumerate(zip(orders, [*orders[1:], len(segments)], strict=True), 1):
        yield from _of_order(segments[start], segments[start:end], segments, f"{where}, OBR {number}")


def _of_order(
    order: _Segment, own: Sequence[_Segment], message: Sequence[_Segment], where: str
) -> Iterator[FinalReport]:
    lines = [segment for segment in own if segment.name == "OBX"]
    if all(line.raw(1).isdigit() for line in lines) and len({line.raw(1) for line in lines}) == len(lines):
        lines.sort(key=lambda line: int(line.raw(1)))
    numbers = (order.text(18), order.text(3), order.text(2), order.text(19))
    yield FinalReport(
        where,
        _status(order, lines),
        _study_uid(own, lines),
        tuple(dict.fromkeys(filter(None, numbers))),
        _patients(message),
        order.text(3) or order.text(2) or order.text(18),
        _issued_at(order, lines, message[0]),
        _text(lines),
    )


def _status(order: _Segment, lines: Sequence[_Segment]) -> ReportStatus:
    """Return how far a report has come: by OBR-25, where that is empty by its lines (OBX-11)."""
    said = order.text(25).upper()
    of_lines = [line.text(11).upper() for line in lines]
    if of_lines and all(one in ("D", "W") for one in of_lines):
        return ReportStatus.WITHDRAWN
    if said:
        return _OF_REPORT.get(said, ReportStatus.NOT_FINAL)
    if not any(of_lines) or any(one not in ("", "F", "U", "C", "D", "W") for one in of_lines):
        return ReportStatus.NOT_FINAL
    return ReportStatus.CORRECTED if "C" in of_lines else ReportStatus.FINAL


def _study_uid(own: Sequence[_Segment], lines: Sequence[_Segment]) -> str:
    named = [segment.text(1) for segment in own if segment.name == "ZDS"]
    named += [segment.text(3) for segment in own if segment.name == "IPC"]
    named += [line.text(5) for line in lines if line.text(3) == _STUDY_UID]
    return next(filter(None, named), "")


def _patients(message: Sequence[_Segment]) -> frozenset[str]:
    named: set[str] = set()
    for segment in message:
        if segment.name == "PID":
            listed = (*segment.repetitions(3), *segment.repetitions(2))
            named |= {segment.plain(one.split(segment.marks.component)[0]).strip() for one in listed}
    return frozenset(filter(None, named))


def _text(lines: Sequence[_Segment]) -> str:
    """Return the words of lines that are final, under the headings that their identifiers are."""
    said: list[str] = []
    before = ""
    for line in lines:
        if line.text(2).upper() not in _TEXTS or line.text(11).upper() not in _OF_LINE or line.text(3) == _STUDY_UID:
            continue
        heading = _heading(line)
        if heading and heading != before:
            said.append(f"\n{heading}:")
        before = heading
        said += [line.plain(one) for one in line.repetitions(5)]
    return "\n".join(said).strip()


def _heading(line: _Segment) -> str:
    parts = line.raw(3).split(line.marks.component)
    codes = [part.strip().upper() for part in parts[0].split(line.marks.subcomponent)]
    known = next((_HEADINGS[code] for code in codes if code in _HEADINGS), "")
    name = line.plain(parts[1]).strip() if len(parts) > 1 else ""
    return known or (name if name and report_headings().kind_of(name, exactly=True) else "")


def _issued_at(order: _Segment, lines: Sequence[_Segment], head: _Segment) -> datetime | None:
    written = (order.text(22), *sorted((line.text(14) for line in lines), reverse=True), head.text(7))
    return next((at for one in written if (at := _moment(one)) is not None), None)


def _moment(written: str) -> datetime | None:
    """Read a time stamp (2.A.22); without a zone it is this machine's."""
    found = re.fullmatch(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?(?:\.\d+)?(?:([+-])(\d{2})(\d{2}))?", written)
    if found is None:
        return None
    day, hours, minutes, seconds, sign, zone_h, zone_min = found.groups()
    try:
        at = datetime.strptime(f"{day}{hours or '00'}{minutes or '00'}{seconds or '00'}", "%Y%m%d%H%M%S")  # noqa: DTZ007
        if not sign:
            return at.astimezone(UTC)
        away = timedelta(hours=int(zone_h), minutes=int(zone_min))
        return at.replace(tzinfo=timezone(-away if sign == "-" else away)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
