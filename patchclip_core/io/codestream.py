"""What a compressed pixel stream says of itself, read before a decoder allocates anything for it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from struct import unpack_from

from patchclip_core.errors import UnreadableImageError

_SOC_SIZ = b"\xff\x4f\xff\x51"
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_LOSSLESS_MARKERS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_END_MARKER = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class CodestreamHeader:
    """Size and sample format of a JPEG, JPEG-LS or JPEG 2000 codestream.

    precision_bits: bits of a sample. lossless_jpeg: True for the lossless processes of ISO/IEC 10918-1 (SOF3 and kin).
    """

    rows: int
    columns: int
    components: int
    precision_bits: int
    lossless_jpeg: bool = False


def read_codestream_header(stream: bytes) -> CodestreamHeader:
    """Read the header of a JPEG (10918-1), JPEG-LS (14495-1) or JPEG 2000 (15444-1) codestream.

    Raises `UnreadableImageError` when there is none, or when the stream does not reach its end marker.
    """
    start = stream.find(_SOC_SIZ, 0, 4096)
    header = _jpeg_2000_header(stream, start) if start >= 0 else _jpeg_header(stream)
    if _END_MARKER not in stream[-64:].rstrip(b"\x00"):
        raise UnreadableImageError("the compressed pixel stream is cut off: its end marker is missing")
    return header


def _jpeg_2000_header(stream: bytes, start: int) -> CodestreamHeader:
    """15444-1 A.5.1: the image size segment holds the reference grid's extent and offset, then depths of components."""
    try:
        right, bottom, left, top = unpack_from(">4I", stream, start + 8)
        (components,) = unpack_from(">H", stream, start + 40)
        (depth,) = unpack_from(">B", stream, start + 42)
    except struct.error:
        raise UnreadableImageError("the JPEG 2000 stream is cut off in its header") from None
    return CodestreamHeader(bottom - top, right - left, components, (depth & 0x7F) + 1)


def _jpeg_header(stream: bytes) -> CodestreamHeader:
    """10918-1 B.2.2: walk the marker segments to the first start of frame."""
    if stream[:2] != b"\xff\xd8":
        raise UnreadableImageError("the pixel stream is not what its transfer syntax says: no JPEG start marker")
    position = 2
    while position + 4 <= len(stream):
        if stream[position] != 0xFF:
            break
        marker = stream[position + 1]
        if marker == 0xFF or marker in _STANDALONE_MARKERS:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in _START_OF_FRAME_MARKERS and position + 10 <= len(stream):
            precision, rows, columns, components = unpack_from(">BHHB", stream, position + 4)
            return CodestreamHeader(rows, columns, components, precision, marker in _LOSSLESS_MARKERS)
        (length,) = unpack_from(">H", stream, position + 2)
        position += 2 + length
    raise UnreadableImageError("the JPEG stream is damaged or cut off: it has no frame header")
