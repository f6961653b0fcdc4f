"""How much an analysis may write, so that there is room for all of it before it begins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from patchclip_node.dicom.headers import read_pixel_count
from patchclip_node.domain.errors import UnreadableInstanceError
from patchclip_node.domain.variants import ResultKind, ResultVariant

LEAST_BYTES: Final = 1024**2
"""Without room for this much no study is leased."""

_ANY_OBJECT_BYTES: Final = 256 * 1024
"""Headers, sentences, codes and outlines of one object."""

_BYTES_PER_PIXEL: Final = {ResultKind.SEG: 1 / 8, ResultKind.FRACTIONAL_SEG: 1.0}
"""Of the source, for each finding."""

_RGB_BYTES: Final = 3

_MAPS_BYTES: Final = 7 * 64**2
"""What is kept of one finding, most of it its map, of a grid of 64 x 64 patches; a larger one takes free room."""

log = structlog.get_logger(__name__)


def most_bytes(images: Iterable[Path], variants: Iterable[ResultVariant], findings: int) -> int:
    """Return what the results of these images, and what is kept of their findings, take at most.

    findings: how many the model knows. An image whose size cannot be read is not analysed and takes nothing. Raises
    `OSError` where a file itself cannot be read.
    """
    wanted = tuple(variants)
    return sum(_of_image(pixels, wanted, findings) for pixels in map(_pixels, images) if pixels)


def _of_image(pixels: int, variants: tuple[ResultVariant, ...], findings: int) -> int:
    return _MAPS_BYTES * findings + sum(_of_object(variant, pixels, findings) for variant in variants)


def _of_object(variant: ResultVariant, pixels: int, findings: int) -> int:
    drawn = _RGB_BYTES * variant.longest_side_px**2 if variant.kind.is_picture else 0
    return _ANY_OBJECT_BYTES + drawn + round(_BYTES_PER_PIXEL.get(variant.kind, 0.0) * pixels * findings)


def _pixels(path: Path) -> int:
    try:
        return read_pixel_count(path)
    except UnreadableInstanceError as error:
        # The analysis reads it again, and says to whoever sent it what is wrong.
        log.debug("no room is kept for an image that cannot be read", file=path.name, reason=str(error))
        return 0
