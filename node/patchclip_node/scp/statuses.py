"""The C-STORE statuses that the node answers with (PS3.4 table B.2-1, PS3.7 annex C)."""

from __future__ import annotations

from typing import Final

from pydicom import Dataset

SUCCESS: Final = 0x0000
"""The instance is durable: file and ledger row."""
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
"""The command's SOP Class is not the one that its presentation context was negotiated for (PS3.7 C.5.6)."""
OUT_OF_RESOURCES: Final = 0xA700
"""No room on disk, instance larger than allowed, or the ledger does not answer: sending again later may succeed."""
DATA_SET_DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
"""The data set is another class or instance than the command announced."""
CANNOT_UNDERSTAND: Final = 0xC000
"""The data set can't be read, or the node failed on it in a way that sending again would not change."""

_ERROR_COMMENT_LENGTH: Final = 64
"""(0000,0902) has the VR LO: at most 64 characters (PS3.5 6.2)."""


def response(status: int, comment: str = "") -> Dataset:
    """Return the status as pynetdicom takes it, with a comment that is cut to what (0000,0902) can hold."""
    dataset = Dataset()
    dataset.Status = status
    if comment:
        plain = comment.encode("ascii", "replace").decode("ascii").replace("\\", "/")
        dataset.ErrorComment = " ".join(plain.split())[:_ERROR_COMMENT_LENGTH]
    return dataset
