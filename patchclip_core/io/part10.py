"""How a DICOM file begins: a preamble, then a prefix (PS3.10 7.1)."""

from __future__ import annotations

from typing import Final

PREAMBLE_BYTES: Final = 128
PREFIX: Final = b"DICM"
START_BYTES: Final = PREAMBLE_BYTES + len(PREFIX)
"""How much of a file tells what it is."""


def has_prefix(start: bytes) -> bool:
    """Tell from its first `START_BYTES` whether a file says that it is DICOM."""
    return start[PREAMBLE_BYTES:START_BYTES] == PREFIX


def is_dicom(start: bytes) -> bool:
    """Tell from its first `START_BYTES` or more whether a file can be DICOM; the preamble and prefix may be missing.

    A file of an old device begins with its first element: of group 0002, or 0008 (PS3.5 7.1).
    """
    if has_prefix(start):
        return True
    group, element = int.from_bytes(start[:2], "little"), int.from_bytes(start[2:4], "little")
    return len(start) >= 8 and group in {0x0002, 0x0008} and element <= 0x0018
