"""What an encoded data set would cost to read, found by a linear scan before pydicom reads it (PS3.5 7.1 and 7.5).

pydicom makes objects of some 700 bytes, in some 30 microseconds, of an item that has 8 bytes. The scan follows the
data set as pydicom 3.0.2 would, without making anything, and counts. What would cost too much is left out by its tag:
nothing that an image is decided by needs a sequence of thousands of items. Private elements are left out as well, and
a Specific Character Set that is none.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from struct import Struct
from typing import Final

from pydicom.datadict import dictionary_VR

from patchclip_core.io.part10 import START_BYTES, has_prefix

MAX_PARTS: Final = 20_000
"""Elements, items, values of text and, as one part, 64 bytes of numbers, that are read of one file."""
MAX_SEQUENCE_PARTS: Final = 10_000
"""Of those in one element of the data set with all that lies in it; more, and the element is left out."""
MAX_DEPTH: Final = 16
"""Sequences in sequences; deeper, and the outermost element is left out."""
MAX_BYTES: Final = 16 * 1024**2
"""What is read of one file before its pixel data; a longer element is left out."""
MAX_STEPS: Final = 200_000
"""Parts that the scan looks at; then the file is refused."""

_UNDEFINED: Final = 0xFFFFFFFF
_DELIMITER_BYTES: Final = 8
_ITEM_GROUP: Final = 0xFFFE
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_COMMAND_SET: Final = 0x0000
_FILE_META: Final = 0x0002
_TRANSFER_SYNTAX: Final = 0x00020010
_LONG_VRS: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OW", b"OV", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
"""VRs with a length of 32 bits (PS3.5 7.1.2)."""
_ONE_VALUE_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OW", "OV", "UN", "LT", "ST", "UT", "UR", "OB or OW"})
_NUMBER_VRS: Final = frozenset(
    {"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "US or SS", "US or OW", "US or SS or OW"}
)
_CHARACTER_SET: Final = 0x00080005
_CHARACTER_SET_VRS: Final = frozenset({None, "CS", "UN", "LO", "SH", "ST", "LT", "UC", "UT"})
_CHARACTER_SETS: Final = re.compile(rb"[ -~]*")
_NUMBERS_A_PART_BYTES: Final = 64
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"


class TooMuchToReadError(ValueError):
    """A header would cost more to read than any image's does."""


class _TooMuchInElementError(Exception):
    """One element is too large, too deep or too damaged to be followed."""


def readable_part(path: Path, wanted: Collection[int] | None = None) -> tuple[BytesIO, str, tuple[int, ...]]:
    """Return what is to be read of a DICOM file, without its pixels and private elements.

    wanted: tags that are kept of the data set alone; None: all. The limits are those of the whole. The first is a DICOM
    file as before, with or without preamble and File Meta Information, the second its Transfer Syntax UID ('' where it
    says none), the third the tags of the elements that are left out. Raises `TooMuchToReadError` where the file cannot
    be read within the limits, or is deflated, and `OSError`.
    """
    with _mapped(path) as data:
        scan = _Scan(data, wanted)
        kept = scan.result()
        return BytesIO(b"".join(kept)), scan.syntax, tuple(scan.left_out)


def readable_with_pixels(path: Path) -> BytesIO:
    """Return what `readable_part` does of a file, and its pixel data; raises like it."""
    with _mapped(path) as data:
        scan = _Scan(data)
        kept = scan.result()
        with memoryview(data) as view, view[scan.end :] as pixels:
            return BytesIO(b"".join([*kept, pixels]))


def stated_syntax(path: Path) -> str:
    """Return the Transfer Syntax UID of a file's File Meta Information; '' where it says none.

    Raises `TooMuchToReadError` and `OSError`.
    """
    with _mapped(path) as data:
        return _Scan(data).file_meta()[1]


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap | bytes]:
    with path.open("rb") as file:
        if not file.seek(0, 2):
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


class _Scan:
    """syntax, left_out: as `readable_part` returns them. end: where pixel data or the file ends what was looked at."""

    def __init__(self, data: mmap.mmap | bytes, wanted: Collection[int] | None = None) -> None:
        self._wanted = wanted
        self._syntax_element: slice | None = None
        self.syntax, self.end = "", 0
        self.left_out: list[int] = []
        self._data = data
        self._size = len(data)
        self._steps = 0
        self._budget = 0
        self._spoiled = False
        self._order = "<"
        self._set_order("<")

    def _set_order(self, order: str) -> None:
        self._order = order
        self._implicit_header = Struct(f"{order}HHL").unpack_from
        self._explicit_header = Struct(f"{order}HH2sH").unpack_from
        self._length = Struct(f"{order}L").unpack_from
        self._sequence_end = Struct(f"{order}HHL").pack(0xFFFE, 0xE0DD, 0)

    def file_meta(self) -> tuple[int, str]:
        """Return where the data set begins, and the Transfer Syntax UID that the File Meta Information states."""
        position, syntax = START_BYTES if has_prefix(self._data[:START_BYTES]) else 0, ""
        while position + 8 <= self._size and self._group(position) == _FILE_META:
            tag, vr, length, value = self._header(position, is_implicit=False)
            end, _ = self._end(tag, vr, length, value, is_implicit=False)
            if tag == _TRANSFER_SYNTAX:
                self._syntax_element = slice(position, end)
                syntax = self._data[value : min(end, value + 64)].decode("ascii", "replace").strip("\0 ")
            position = end
        return position, syntax

    def result(self) -> list[bytes]:
        """Follow the file up to its pixel data; return what is to be read of it, piece by piece."""
        position, self.syntax = self.file_meta()
        kept, kept_bytes, parts = [self._start(position)], position, self._steps
        is_implicit = self._begin_data_set(position, self.syntax)
        while position + 8 <= self._size:
            tag, vr, length, value = self._header(position, is_implicit)
            if tag in _PIXELS or tag == _ITEM_END:
                break
            before = self._steps
            end, left_out = self._end(tag, vr, length, value, is_implicit)
            if _is_private(tag) or tag >> 16 in {_COMMAND_SET, _FILE_META}:
                pass  # of no use here, or out of place
            elif left_out or end - position > MAX_BYTES:
                self.left_out.append(tag)
            else:
                if self._wanted is None or tag in self._wanted:
                    kept.append(self._data[position:end])
                kept_bytes, parts = kept_bytes + end - position, parts + self._steps - before
            if kept_bytes > MAX_BYTES or parts > MAX_PARTS:
                raise TooMuchToReadError(
                    f"more than {MAX_PARTS} elements, items and values or {MAX_BYTES} bytes come before the pixel data"
                )
            position = end
        self.end = position
        return kept

    def _start(self, position: int) -> bytes:
        """Return preamble, prefix and File Meta Information; of that the transfer syntax, where tags are wanted."""
        stated = self._syntax_element
        if self._wanted is None or stated is None or not has_prefix(self._data[:START_BYTES]):
            return self._data[:position]
        return self._data[:START_BYTES] + self._data[stated]

    def _spoils_text(self, tag: int, vr: str | None, value: int, end: int) -> bool:
        """Tell whether an element is a Specific Character Set that pydicom fails at before it gives anything out."""
        if tag != _CHARACTER_SET:
            return False
        return vr not in _CHARACTER_SET_VRS or not _CHARACTER_SETS.fullmatch(self._data[value:end].rstrip(b"\0"))

    def _begin_data_set(self, position: int, syntax: str) -> bool:
        """Return whether the data set is in Implicit VR, as pydicom decides it; sets the byte order."""
        if syntax == _DEFLATED:
            raise TooMuchToReadError("the data set is deflated: nothing bounds what it inflates to")
        if syntax == _BIG_ENDIAN or (not syntax and self._looks_explicit(position) and self._group(position) >= 1024):
            self._set_order(">")
        return not self._looks_explicit(position)

    def _group(self, position: int) -> int:
        return int.from_bytes(self._data[position : position + 2], "little")

    def _looks_explicit(self, position: int) -> bool:
        """Two capitals where a VR would be; a length in their place would be above 16 kB."""
        vr = self._data[position + 4 : position + 6]
        return len(vr) == 2 and all(0x40 < byte < 0x5B for byte in vr)

    def _step(self, parts: int = 1) -> None:
        self._steps += parts
        if self._steps > MAX_STEPS:
            raise TooMuchToReadError(f"more than {MAX_STEPS} elements, items and values come before the pixel data")

    def _header(self, position: int, is_implicit: bool) -> tuple[int, str | None, int, int]:
        """Return tag, VR (None: by the dictionary), length and where the value begins."""
        if not is_implicit:
            group, element, vr, length = self._explicit_header(self._data, position)
            if vr in _LONG_VRS:
                if position + 12 > self._size:
                    return group << 16 | element, vr.decode(), 0, self._size
                return group << 16 | element, vr.decode(), self._length(self._data, position + 8)[0], position + 12
            if b"AA" <= vr <= b"ZZ":
                return group << 16 | element, vr.decode("latin-1"), length, position + 8
        group, element, length = self._implicit_header(self._data, position)
        return group << 16 | element, None, length, position + 8

    def _end(self, tag: int, vr: str | None, length: int, value: int, is_implicit: bool) -> tuple[int, bool]:
        """Return where an element of the data set ends, and whether it is left out."""
        self._step()
        self._spoiled = False
        if length != _UNDEFINED:
            end = min(value + length, self._size)
            self._budget = self._steps + MAX_SEQUENCE_PARTS
            try:
                self._count_value(tag, vr, value, end, is_implicit, depth=1)
            except _TooMuchInElementError:
                return end, True
            return end, self._spoiled or self._spoils_text(tag, vr, value, end)
        before, self._budget = self._steps, MAX_STEPS
        try:
            end = self._count_undefined(tag, vr, value, self._size, is_implicit, depth=1)
        except _TooMuchInElementError as error:
            raise TooMuchToReadError(f"the element {tag:08X} cannot be followed to its end") from error
        return end, self._spoiled or self._steps - before > MAX_SEQUENCE_PARTS

    def _count_value(self, tag: int, vr: str | None, value: int, end: int, is_implicit: bool, depth: int) -> None:
        """Count the parts of a value of defined length, which pydicom decodes by itself."""
        if _is_private(tag):
            return  # never decoded
        if vr is None or vr == "UN":
            vr = _vr_of(tag)
        if vr == "SQ":
            self._count_items(value, end, end, is_implicit, depth)
        elif vr in _NUMBER_VRS:
            self._count((end - value) // _NUMBERS_A_PART_BYTES)
        elif vr not in _ONE_VALUE_VRS:
            self._count(self._data[value:end].count(b"\\"))

    def _count_undefined(self, tag: int, vr: str | None, value: int, limit: int, is_implicit: bool, depth: int) -> int:
        """Count the parts of a value of undefined length, and return where its element ends."""
        if vr == "UN":
            vr = "SQ"
        if vr is None:
            vr = _vr_of(tag)
            if vr == "UN" and self._data[value : value + 4] == Struct(f"{self._order}HH").pack(0xFFFE, 0xE000):
                vr = "SQ"
        if vr == "SQ":
            return self._count_items(value, None, limit, is_implicit, depth)
        found = self._data.find(self._sequence_end[:4], value, limit)
        if found < 0:
            raise _TooMuchInElementError
        return found + _DELIMITER_BYTES

    def _count_items(self, position: int, end: int | None, limit: int, is_implicit: bool, depth: int) -> int:
        """Follow the items of a sequence to `end`, or to its delimiter; nothing is read beyond `limit`."""
        if depth > MAX_DEPTH:
            raise _TooMuchInElementError
        while end is None or position < end:
            if position + 8 > limit:
                raise _TooMuchInElementError
            group, element, length = self._implicit_header(self._data, position)
            position += 8
            if group << 16 | element == _SEQUENCE_END:
                break
            if group != _ITEM_GROUP and end is not None:
                raise _TooMuchInElementError  # no item: pydicom would make one of it
            self._count(1)
            item_end = None if length == _UNDEFINED else position + length
            position = self._count_data_set(position, item_end, limit, is_implicit, depth)
        return position

    def _count_data_set(self, position: int, end: int | None, limit: int, is_implicit: bool, depth: int) -> int:
        is_implicit = is_implicit or not self._looks_explicit(position)
        while (end is None or position < end) and position + 8 <= limit:
            tag, vr, length, value = self._header(position, is_implicit)
            if tag == _ITEM_END:
                return position + _DELIMITER_BYTES
            self._count(1)
            if length == _UNDEFINED:
                position = self._count_undefined(tag, vr, value, limit, is_implicit, depth + 1)
            else:
                position = min(value + length, limit)
                self._spoiled |= self._spoils_text(tag, vr, value, position)
                self._count_value(tag, vr, value, position, is_implicit, depth + 1)
        return position

    def _count(self, parts: int) -> None:
        self._step(parts)
        if self._steps > self._budget:
            raise _TooMuchInElementError


def _is_private(tag: int) -> bool:
    return bool(tag >> 16 & 1)


def _vr_of(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"
