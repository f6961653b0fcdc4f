"""PNG and JPEG files to `Radiograph`, for research images that left DICOM behind."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from patchclip_core.errors import UnreadableImageError, UnsuitableImageError
from patchclip_core.io.display import stretch
from patchclip_core.io.limits import DecodeLimits
from patchclip_core.io.polarity import looks_inverted
from patchclip_core.io.quality import quality_remarks
from patchclip_core.values.results import FloatArray, Radiograph

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_DEEP_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I", "F"})
_COLOUR_TOLERANCE = 8
"""Channels of a greyscale image that went through colour JPEG differ by this much at most, of 255."""


def is_raster(start: bytes) -> bool:
    """Tell from its first bytes whether a file is PNG or JPEG."""
    return start.startswith((_PNG, _JPEG))


def read_raster(path: Path, limits: DecodeLimits) -> Radiograph:
    """Read a PNG or JPEG file, turned as its EXIF orientation says: 8 bits as they are, 16 bits stretched.

    Pixels whose black and white look exchanged are exchanged back, with a remark, as those of a DICOM file are.
    Raises the same errors as `read_dicom`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with path.open("rb") as file:
                is_png = file.read(len(_PNG)) == _PNG
                file.seek(0)
                # `Image.open` refuses large images by another limit; ours is checked before pixels are read.
                image = PngImageFile(file) if is_png else JpegImageFile(file)
                limits.check_size(image.height, image.width)
                return _radiograph(ImageOps.exif_transpose(image))
        except MemoryError as error:
            raise UnreadableImageError("the image asks for more memory than is allowed") from error
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise UnreadableImageError(f"the image file is damaged or cut off ({error})") from error


def _radiograph(image: Image.Image) -> Radiograph:
    if image.mode in _DEEP_MODES:
        remark = "A 16-bit image without a window: contrast was set from the image's own values."
        stored = np.asarray(image)
        pixels, remarks = _upright_greys(stretch(stored.astype(np.float32)))
        return Radiograph(pixels, remarks=(remark, *remarks, *quality_remarks(pixels, stored)))
    if image.mode not in {"1", "L", "LA"}:
        colours = np.asarray(image.convert("RGB")).astype(np.int16)
        if int((colours.max(axis=2) - colours.min(axis=2)).max()) > _COLOUR_TOLERANCE:
            raise UnsuitableImageError("the image is in colour; only greyscale radiographs are analysed")
    pixels, remarks = _upright_greys(np.asarray(image.convert("L")).astype(np.float32) / np.float32(255))
    return Radiograph(pixels, remarks=(*remarks, *quality_remarks(pixels)))


def _upright_greys(pixels: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
    """Return the pixels with dense tissue bright, and what is to be said of it."""
    if not looks_inverted(pixels):
        return pixels, ()
    remark = "Black and white looked exchanged for a chest radiograph. It was analysed and drawn the other way round."
    return np.float32(1) - pixels, (remark,)
