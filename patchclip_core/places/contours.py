"""From a mask to the lines around it: closed polylines along the edges of pixels, with as few points as say the same.

Coordinates are those of `patchclip_core.values.results`: the outer corner of the top-left pixel is (0, 0). Why this is
not scikit-image's: docs/decisions/contours.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchclip_core.values.results import Mask

Line = NDArray[np.float32]
"""(points, 2): x, y; the last point is the first one again."""

_RIGHT, _DOWN, _LEFT, _UP = range(4)
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def outlines(mask: Mask, tolerance_px: float = 1.0) -> list[Line]:
    """Return the outer and inner borders of a mask, each at most `tolerance_px` from the edges of its pixels.

    mask: (rows, columns). Pixels that touch at a corner alone are apart. An empty mask has no line.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return []
    top, left = int(rows[0]), int(columns[0])
    inside = np.pad(mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1], 1)
    corner = np.array([left, top], dtype=np.float32)
    return [_simplified(loop, tolerance_px) + corner for loop in _loops(inside)]


def _loops(inside: Mask) -> list[NDArray[np.int64]]:
    """Follow the edges between inside and outside, with the inside on the right hand; corners only.

    inside: with a border of False, one pixel wide; coordinates are those without it.
    """
    upper, lower, before, after = inside[:-1], inside[1:], inside[:, :-1], inside[:, 1:]
    edges: dict[tuple[int, int], list[int]] = {}
    for direction, found in (
        (_RIGHT, _places(~upper & lower)),  # the top edge of a pixel
        (_LEFT, _places(upper & ~lower) + np.array((0, 1))),
        (_UP, _places(~before & after) + np.array((1, 0))),  # the left edge of a pixel
        (_DOWN, _places(before & ~after)),
    ):
        shift = (0, 1) if direction in {_RIGHT, _LEFT} else (1, 0)
        for y, x in (found - shift).tolist():
            edges.setdefault((x, y), []).append(direction)
    loops = []
    while edges:
        start = next(iter(edges))
        point, direction = start, edges[start][-1]
        corners: list[tuple[int, int]] = []
        while point in edges:
            leaving = edges[point]
            # Where two edges leave a corner, turn right: pixels that touch at a corner alone stay apart.
            turned = (direction + 1) % 4 if len(leaving) > 1 else leaving[0]
            if turned not in leaving:
                turned = leaving[0]
            leaving.remove(turned)
            if not leaving:
                del edges[point]
            if turned != direction or not corners:
                corners.append(point)
            direction = turned
            across, down = _STEPS[direction]
            point = (point[0] + across, point[1] + down)
        loops.append(np.array([*corners, corners[0]]))
    return loops


def _places(marked: Mask) -> NDArray[np.int64]:
    """Return row and column of each marked place: (places, 2); faster than `np.argwhere`, which looks at both axes."""
    return np.column_stack(np.divmod(np.flatnonzero(marked), marked.shape[1]))


def _simplified(loop: NDArray[np.int64], tolerance_px: float) -> Line:
    """Leave out points by Douglas and Peucker, from the two that are far apart; small loops stay as they are."""
    points = loop.astype(np.float32)
    if len(points) <= 5:
        return points
    far = int(np.argmax(((points - points[0]) ** 2).sum(axis=1)))
    keep = np.zeros(len(points), dtype=bool)
    keep[[0, far, -1]] = True
    open_spans = [(0, far), (far, len(points) - 1)]
    while open_spans:
        first, last = open_spans.pop()
        if last - first < 2:
            continue
        chord, between = points[last] - points[first], points[first + 1 : last] - points[first]
        length = float(np.hypot(*chord))
        distances = (
            np.abs(between[:, 0] * chord[1] - between[:, 1] * chord[0]) / length
            if length
            else np.hypot(between[:, 0], between[:, 1])
        )
        furthest = int(np.argmax(distances))
        if distances[furthest] > tolerance_px:
            middle = first + 1 + furthest
            keep[middle] = True
            open_spans += [(first, middle), (middle, last)]
    return points[keep]
