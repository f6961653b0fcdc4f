"""Where in a radiograph the body is: not in the air around it, nor on the borders that collimation and scanning leave.

Air and borders are dark, they lie at the image's edges, and they are wide. A lung that is as dark lies behind the chest
wall; where the beam was cut so close that there is none, what is narrow stays with the body. Told from a small picture
of the image, so that a hair, a wire or a letter at the edge does not matter. docs/results.md has how often boxes that
people drew reach out of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image
from scipy import ndimage

from patchclip_core.values.results import FloatArray, Mask

LONG_SIDE: Final = 128
"""Cells along the longer side of an image."""
_DARK_SHARE: Final = 0.12
"""What is darker than this share of the way from the darkest to the brightest greys is as dark as air."""
_DARKEST, _BRIGHTEST = 1.0, 95.0
"""Percentiles that stand for them."""
_NARROW: Final = 2
"""Dark parts that are at most twice as many cells wide stay with the body."""
_EVEN: Final = 0.04
"""A row or column at the edge whose greys differ by less than this, white being 1, may be of a border."""
_STEP: Final = 0.1
"""A border ends where greys jump by this at least: an abdomen that is white all over does not."""
_LEAST_SHARE: Final = 0.3
"""Where less of the image than this looks like a body, the picture is not understood, and all of it is one."""
_NEIGHBOURS: Final = ndimage.generate_binary_structure(2, 1)


def body_mask(pixels: FloatArray) -> Mask:
    """Return the cells of an image that show the body: (rows, columns) bool over all of it, `LONG_SIDE` at the longer.

    pixels: (rows, columns) in [0, 1], dense tissue bright. The body is one part without holes: what is dark and does
    not reach the image's edge lies in it. All cells of an image in which no body is told apart.
    """
    small = _small(pixels)
    shown = _without_borders(small)
    smooth = ndimage.gaussian_filter(small, 0.7)
    darkest, brightest = np.percentile(smooth[shown], (_DARKEST, _BRIGHTEST))
    dark = (smooth < darkest + _DARK_SHARE * (brightest - darkest)) | ~shown
    wide = ndimage.binary_erosion(dark, _NEIGHBOURS, iterations=_NARROW, border_value=1)
    wide = ndimage.binary_dilation(wide, _NEIGHBOURS, iterations=_NARROW) & dark
    labels, _ = ndimage.label(wide)
    at_edges = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    body = _largest_part(~np.isin(labels, at_edges[at_edges > 0]))
    return body if body.mean() >= _LEAST_SHARE else np.ones_like(body)


def _small(pixels: FloatArray) -> FloatArray:
    """Return the image at `LONG_SIDE` cells, each the mean of what it covers; at most its own size."""
    scale = min(1.0, LONG_SIDE / max(pixels.shape))
    rows, columns = (max(1, round(side * scale)) for side in pixels.shape)
    step = max(1, min(pixels.shape) // (8 * LONG_SIDE))
    thinned = np.ascontiguousarray(pixels[::step, ::step])
    return np.asarray(Image.fromarray(thinned).resize((columns, rows), Image.Resampling.BOX), dtype=np.float32)


def _without_borders(small: FloatArray) -> Mask:
    """Tell what even rows and columns at the edges leave, black or white; everything where they take half of it."""
    top, bottom = _even_rows(small), _even_rows(small[::-1])
    left, right = _even_rows(small.T), _even_rows(small.T[::-1])
    rows, columns = small.shape
    shown = np.zeros(small.shape, dtype=bool)
    shown[top : rows - bottom, left : columns - right] = True
    return shown if shown.mean() >= 0.5 else np.ones_like(shown)


def _even_rows(small: FloatArray) -> int:
    """Count the even rows from the first one on, up to a jump; none where there is no jump."""
    low, middle, high = np.percentile(small, (5.0, 50.0, 95.0), axis=1)
    uneven = np.flatnonzero(high - low >= _EVEN)
    count = int(uneven[0]) if uneven.size else 0
    after = min(count + 1, len(small) - 1)  # the row at `count` may be half a border
    return count if count and abs(middle[after] - middle[count - 1]) >= _STEP else 0


def _largest_part(body: Mask) -> Mask:
    """Return the largest connected part, its holes filled; nothing of an empty mask."""
    labels, count = ndimage.label(body)
    if not count:
        return body
    sizes = np.bincount(labels.ravel())[1:]
    return np.asarray(ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sizes))), dtype=bool)


__all__ = ["LONG_SIDE", "body_mask"]
