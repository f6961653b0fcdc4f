"""PNG and JPEG files to `Radiograph`, for research images that left DICOM behind."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from patchclip_core.errors import UnreadableImageError, UnsuitableImageError
from patchclip_core.io.display import stretch
from patchclip_core.io.limits import DecodeLimits
from patchclip_core.io.quality import quality_remarks
from patchclip_core.values.results import FloatArray, Radiograph

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_DEEP_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I", "F"})
_COLOUR_TOLERANCE = 8
"""Channels of a greyscale image that went through colour JPEG differ by this much at most, of 255."""


def is_raster(start: bytes) -> bool:
    """Tell from its first bytes whether a file is PNG or JPEG."""
    return start.startswith(_SIGNATURES)


def read_raster(path: Path, limits: DecodeLimits) -> Radiograph:
    """Read a PNG or JPEG file: 8 bits as they are, 16 bits stretched. Raises the same errors as `read_dicom`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own size warning; our limit is checked below
        try:
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                limits.check_size(image.height, image.width)
                image.load()
                return _radiograph(image)
        except Image.DecompressionBombError as error:
            raise UnsuitableImageError(f"the image is too large: {error}") from error
        except MemoryError as error:
            raise UnreadableImageError("the image asks for more memory than is allowed") from error
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise UnreadableImageError(f"the image file is damaged or cut off ({error})") from error


def _radiograph(image: Image.Image) -> Radiograph:
    if image.mode in _DEEP_MODES:
        remark = "A 16-bit image without a window: contrast was set from the image's own values."
        stored = np.asarray(image)
        pixels = stretch(stored.astype(np.float32))
        return Radiograph(pixels, remarks=(remark, *quality_remarks(pixels, stored)))
    if image.mode in {"1", "L", "LA"}:
        return _eight_bit(image)
    colours = np.asarray(image.convert("RGB")).astype(np.int16)
    if int((colours.max(axis=2) - colours.min(axis=2)).max()) > _COLOUR_TOLERANCE:
        raise UnsuitableImageError("the image is in colour; only greyscale radiographs are analysed")
    return _eight_bit(image)


def _eight_bit(image: Image.Image) -> Radiograph:
    pixels: FloatArray = np.asarray(image.convert("L")).astype(np.float32) / np.float32(255)
    return Radiograph(pixels, remarks=quality_remarks(pixels))
