"""How the node answers a C-STORE request."""

from __future__ import annotations

from typing import Final

from pydicom import Dataset

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
