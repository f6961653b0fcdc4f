"""What a compressed pixel stream says of itself, read before a decoder allocates anything for it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from struct import unpack_from

from patchclip_core.errors import UnreadableImageError

_SOC_SIZ = b"\xff\x4f\xff\x51"
_JP2_SIGNATURE_BOX = b"\x00\x00\x00\x0cjP  "
_CODESTREAM_BOX = b"jp2c"
_SEARCHED_BYTES = 4096
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_LOSSLESS_MARKERS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_HUFFMAN_TABLES_MARKER = 0xC4
_START_OF_SCAN_MARKER = 0xDA
_LONGEST_HUFFMAN_CODE_BITS = 16
_END_MARKER = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class CodestreamHeader:
    """Size and sample format of a JPEG, JPEG-LS or JPEG 2000 codestream.

    precision_bits: bits of a sample. lossless_jpeg: True for the lossless processes of ISO/IEC 10918-1 (SOF3 and kin).
    overflowing_huffman_table: a table of a JPEG has more codes of a length than that length has room for (Annex C).
    """

    rows: int
    columns: int
    components: int
    precision_bits: int
    lossless_jpeg: bool = False
    overflowing_huffman_table: bool = False


def read_codestream_header(stream: bytes) -> CodestreamHeader:
    """Read the header of a JPEG (10918-1), JPEG-LS (14495-1) or bare JPEG 2000 (15444-1, -15) codestream.

    Raises `UnreadableImageError` when there is none, or when the stream does not reach its end marker.
    """
    header = _jpeg_2000_header(stream) if stream.startswith(_SOC_SIZ) else _jpeg_header(stream)
    if _END_MARKER not in stream[-64:].rstrip(b"\x00"):
        raise UnreadableImageError("the compressed pixel stream is cut off: its end marker is missing")
    return header


def jpeg_2000_codestream(frame: bytes) -> bytes:
    """Return a frame's bare codestream, which is all that a frame should be (PS3.5 A.4.4).

    Some writers put it into a JP2 file (15444-1 annex I) or leave bytes before it. Raises `UnreadableImageError` where
    there is none.
    """
    if frame.startswith(_JP2_SIGNATURE_BOX):
        return _content_of_box(frame, _CODESTREAM_BOX)
    start = frame.find(_SOC_SIZ, 0, _SEARCHED_BYTES)
    if start < 0:
        raise UnreadableImageError("the pixel stream is not what its transfer syntax says: no JPEG 2000 codestream")
    return frame[start:]


def _content_of_box(file: bytes, kind: bytes) -> bytes:
    """15444-1 I.4: a box is its length, its kind and its content; length 1: 8 more bytes say it, 0: to the end."""
    position = 0
    while position + 8 <= len(file):
        (length,) = unpack_from(">I", file, position)
        head = 8
        if length == 1 and position + 16 <= len(file):
            (length,) = unpack_from(">Q", file, position + 8)
            head = 16
        end = len(file) if length == 0 else position + length
        if file[position + 4 : position + 8] == kind:
            return file[position + head : end]
        if end < position + head:
            break
        position = end
    raise UnreadableImageError("the JP2 file in the pixel data is damaged or cut off: it has no codestream box")


def _jpeg_2000_header(stream: bytes) -> CodestreamHeader:
    """15444-1 A.5.1: the image size segment holds the reference grid's extent and offset, then depths of components."""
    try:
        right, bottom, left, top = unpack_from(">4I", stream, 8)
        (components,) = unpack_from(">H", stream, 40)
        (depth,) = unpack_from(">B", stream, 42)
    except struct.error:
        raise UnreadableImageError("the JPEG 2000 stream is cut off in its header") from None
    return CodestreamHeader(bottom - top, right - left, components, (depth & 0x7F) + 1)


def _jpeg_header(stream: bytes) -> CodestreamHeader:
    """10918-1 B.2: walk the marker segments to the first scan, past the frame header and the Huffman tables."""
    if stream[:2] != b"\xff\xd8":
        raise UnreadableImageError("the pixel stream is not what its transfer syntax says: no JPEG start marker")
    header: CodestreamHeader | None = None
    overflows = False
    for marker, start, length in _segments(stream):
        if marker in _START_OF_FRAME_MARKERS and header is None and start + 10 <= len(stream):
            precision, rows, columns, components = unpack_from(">BHHB", stream, start + 4)
            header = CodestreamHeader(rows, columns, components, precision, marker in _LOSSLESS_MARKERS)
        if marker == _HUFFMAN_TABLES_MARKER:
            overflows = overflows or _overflows(stream[start + 4 : start + 2 + length])
    if header is None:
        raise UnreadableImageError("the JPEG stream is damaged or cut off: it has no frame header")
    return replace(header, overflowing_huffman_table=overflows)


def _segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, position and length of each marker segment before the first scan's data."""
    position = 2
    while position + 4 <= len(stream) and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == 0xFF or marker in _STANDALONE_MARKERS:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = unpack_from(">H", stream, position + 2)
        yield marker, position, length
        if marker == _START_OF_SCAN_MARKER:
            return
        position += 2 + length


def _overflows(tables: bytes) -> bool:
    """Tell whether one of the tables (10918-1 B.2.4.2) assigns more codes than there are (annex C, figure C.2)."""
    position = 0
    while position + 1 + _LONGEST_HUFFMAN_CODE_BITS <= len(tables):
        counts = tables[position + 1 : position + 1 + _LONGEST_HUFFMAN_CODE_BITS]
        code = 0
        for bits, count in enumerate(counts, 1):
            code += count
            if code > 1 << bits:
                return True
            code <<= 1
        position += 1 + _LONGEST_HUFFMAN_CODE_BITS + sum(counts)
    return False
