"""The way in: a file of any kind that can be read to a `Radiograph`."""

from __future__ import annotations

from pathlib import Path

from patchclip_core.errors import UnreadableImageError
from patchclip_core.io.dicom import read_dicom
from patchclip_core.io.limits import DecodeLimits
from patchclip_core.io.part10 import START_BYTES, is_dicom
from patchclip_core.io.raster import is_raster, read_raster
from patchclip_core.values.results import Radiograph

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def is_lfs_pointer(start: bytes) -> bool:
    """Tell from its first bytes whether a file is what Git LFS leaves where the file itself was not fetched."""
    return start.startswith(_LFS_POINTER)


def read_radiograph(path: str | Path, limits: DecodeLimits | None = None, *, as_stated: bool = False) -> Radiograph:
    """Read a DICOM, PNG or JPEG file in this process; use `DecodingProcess` for files of strangers.

    as_stated: window, table and polarity of a DICOM file are followed even where they show little of the image.
    Raises `UnreadableImageError` (no such file, not an image, damaged) and `UnsuitableImageError` (colour, several
    frames, too small, too large). `limits.timeout_s` and `limits.memory_bytes` hold only in a `DecodingProcess`.
    """
    path, limits = Path(path), limits or DecodeLimits()
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError as error:
        raise UnreadableImageError(f"the file cannot be opened: {error.strerror}") from error
    if is_raster(start):
        return read_raster(path, limits)
    if is_dicom(start):
        return read_dicom(path, limits, as_stated=as_stated)
    if is_lfs_pointer(start):
        raise UnreadableImageError("this is a Git LFS pointer, not the image itself: fetch it with `git lfs pull`")
    raise UnreadableImageError("this is neither a DICOM, a PNG nor a JPEG file")
