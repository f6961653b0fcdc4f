"""From annotations to training targets: what part of each patch is covered, and what is known at all.

Targets are dense maps, one value a patch. So no list of patch indices exists in which a patch could stand twice or an
index 0 could mean both "no patch" and the top-left one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.places.regions import patches_inside
from patchclip_core.values.results import Box, FloatArray, Geometry


@dataclass(frozen=True, slots=True, eq=False)
class FindingLabel:
    """What a reader said of one finding in one image.

    present: True, False, or None where the reader did not look for it: it then enters neither loss nor measure.
    boxes: where it is, in source pixels. Empty for a present finding means "somewhere": its patches are unknown, not
    negative. rest: how much the patches outside of the boxes count as negatives beside the others, from 0, where it is
    unknown whether the finding is there, to 1, where it is known to be absent. weight: how much the known patches count
    beside those of other images, above 0. rim: how much the rim of a box counts, above 0 and at most 1; its middle
    counts 2 - rim, and what boxes cover counts together as it does at 1.
    """

    present: bool | None
    boxes: tuple[Box, ...] = ()
    rest: float = 1.0
    weight: float = 1.0
    rim: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Targets of B images, F findings, P patches.

    image: (B, F) float, 1 present, 0 absent. image_known: (B, F) bool.
    patches: (B, F, P) float in [0, 1], covered part of the patch. patches_known: (B, F, P) bool.
    weights: (B, F, P) float, above 0 where a patch is known, how much it counts.
    bags: (B, F, P) bool, all patches of the image where the finding is known to be present, at an unknown place.
    """

    image: torch.Tensor
    image_known: torch.Tensor
    patches: torch.Tensor
    patches_known: torch.Tensor
    weights: torch.Tensor
    bags: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[Targets]) -> Targets:
        """Return the targets of several batches as one."""
        return cls(
            torch.cat([part.image for part in parts]),
            torch.cat([part.image_known for part in parts]),
            torch.cat([part.patches for part in parts]),
            torch.cat([part.patches_known for part in parts]),
            torch.cat([part.weights for part in parts]),
            torch.cat([part.bags for part in parts]),
        )

    def to(self, device: torch.device) -> Targets:
        """Return the targets on a device."""
        return Targets(
            self.image.to(device),
            self.image_known.to(device),
            self.patches.to(device),
            self.patches_known.to(device),
            self.weights.to(device),
            self.bags.to(device),
        )


_MARGIN = 0.1
"""How much of a patch the image may reach beyond the border patches; at the paper's size 2.5 of 56 pixels."""


def box_coverage(boxes: Sequence[Box], geometry: Geometry) -> FloatArray:
    """Return the part of each patch, as far as it shows the image, that the union of these boxes covers.

    (grid rows, grid columns) float32 in [0, 1]; exact, overlapping boxes count once; patches outside the image have 0.
    """
    return _coverage(boxes, geometry, *_patch_edges(geometry))


def _coverage(boxes: Sequence[Box], geometry: Geometry, x: NDArray[np.float64], y: NDArray[np.float64]) -> FloatArray:
    if not boxes:
        return np.zeros((geometry.grid.rows, geometry.grid.columns), dtype=np.float32)
    boxes = [box.clipped(geometry.source_columns, geometry.source_rows) for box in boxes]
    xs = np.unique(np.concatenate([x, *([box.x, box.x + box.w] for box in boxes)]))
    ys = np.unique(np.concatenate([y, *([box.y, box.y + box.h] for box in boxes)]))
    middle_x, middle_y = (xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2
    covered = np.zeros((len(middle_y), len(middle_x)))
    for box in boxes:
        down = (middle_y > box.y) & (middle_y < box.y + box.h)
        across = (middle_x > box.x) & (middle_x < box.x + box.w)
        covered[np.ix_(down, across)] = 1.0
    # A strip between neighbouring edges lies in one patch: add up strips, weighted by their share of the patch.
    shares_y, shares_x = _shares(ys, y), _shares(xs, x)
    return np.clip(shares_y @ covered @ shares_x.T, 0.0, 1.0).astype(np.float32)


def inside_image(geometry: Geometry) -> NDArray[np.bool_]:
    """Tell which patches have their centre in the image, not in its padding: (grid rows, grid columns)."""
    inside = np.zeros((geometry.grid.rows, geometry.grid.columns), dtype=bool)
    inside[patches_inside(geometry)] = True
    return inside


def make_targets(
    labels: Sequence[Sequence[FindingLabel]], geometries: Sequence[Geometry], *, whole: bool = False
) -> Targets:
    """Return the targets of a batch; `labels[b][f]` is what is known of finding f in image b.

    whole: a patch counts whole from half coverage on, else not at all. A box that covers half of no patch makes that
    one positive of which it covers most: a lesion smaller than a patch is a lesion.

    Absent: all patches of the image are known negatives. Present with boxes: known, by covered area; where the rest is
    unknown, those alone that a box covers, whole or in part (its edge says where the lesion ends). Present without
    boxes: no patch is known, and all are a bag. Unknown: no patch is known. Patches in the padding are never known, and
    in no bag.
    """
    image, image_known, patches, weights, patches_known, bags = [], [], [], [], [], []
    for row, geometry in zip(labels, geometries, strict=True):
        inside, edges = inside_image(geometry), _patch_edges(geometry)
        image.append([float(label.present is True) for label in row])
        image_known.append([label.present is not None for label in row])
        covered = [_coverage(label.boxes, geometry, *edges) for label in row]
        shown = covered
        if whole:
            shown = [_whole(label.boxes, part, geometry, inside) for label, part in zip(row, covered, strict=True)]
        patches.append(np.stack([part.ravel() for part in shown]))
        # What is positive is known, also beside a box that lies in a patch whose own centre is in the padding.
        counted = [
            _weights(label, np.maximum(*parts), geometry) * inside
            for label, *parts in zip(row, covered, shown, strict=True)
        ]
        weights.append(np.stack([part.ravel() for part in counted]))
        patches_known.append(weights[-1] > 0)
        somewhere = [label.present is True and not label.boxes for label in row]
        bags.append(np.stack([(inside & bag).ravel() for bag in somewhere]))
    return Targets(
        torch.tensor(image, dtype=torch.float32),
        torch.tensor(image_known, dtype=torch.bool),
        torch.from_numpy(np.stack(patches)),
        torch.from_numpy(np.stack(patches_known)),
        torch.from_numpy(np.stack(weights)),
        torch.from_numpy(np.stack(bags)),
    )


def _whole(boxes: Sequence[Box], covered: FloatArray, geometry: Geometry, inside: NDArray[np.bool_]) -> FloatArray:
    """Return 1 for patches that are covered by half, and for the best one of each box that covers half of none."""
    shown, edges = covered >= 0.5, _patch_edges(geometry)
    for box in boxes:
        own = np.where(inside, _coverage((box,), geometry, *edges), 0.0)
        if 0 < own.max() < 0.5:
            shown.flat[own.argmax()] = True
        elif own.max() == 0 and _coverage((_with_margin(box, geometry),), geometry, *edges).any():
            shown.flat[_nearest(box, geometry, inside)] = True
    return shown.astype(np.float32)


def _with_margin(box: Box, geometry: Geometry) -> Box:
    """Return a box that reaches a patch from the image's margin, which strided convolutions may leave without one.

    A box further out is one that a view has lost.
    """
    across, down = _pitch(geometry)
    x, y = _MARGIN * across, _MARGIN * down
    return Box(box.x - x, box.y - y, box.w + 2 * x, box.h + 2 * y)


def _pitch(geometry: Geometry) -> tuple[float, float]:
    """Return the distance of neighbouring patches across and down, in source pixels."""
    (left, top), (right, bottom) = geometry.patch_centre(0, 0), geometry.patch_centre(1, 1)
    return right - left, bottom - top


def _nearest(box: Box, geometry: Geometry, inside: NDArray[np.bool_]) -> int:
    """Return the place of the patch inside the image whose centre is nearest to that of the box."""
    rows, columns = np.indices(inside.shape)
    x, y = np.vectorize(geometry.patch_centre)(rows, columns)
    away = np.hypot(x - (box.x + box.w / 2), y - (box.y + box.h / 2))
    return int(np.where(inside, away, np.inf).argmin())


def _weights(label: FindingLabel, covered: FloatArray, geometry: Geometry) -> FloatArray:
    """Return how much each patch counts, wherever it lies, 0 where nothing is known: (grid rows, grid columns)."""
    if label.present is True and label.boxes:
        inner = label.weight if label.rim == 1.0 else label.weight * _nearer_to_middles(label, covered, geometry)
        return np.where(covered > 0, inner, label.weight * label.rest).astype(np.float32)
    return np.full(covered.shape, label.weight if label.present is False else 0.0, dtype=np.float32)


def _nearer_to_middles(label: FindingLabel, covered: FloatArray, geometry: Geometry) -> NDArray[np.float64]:
    """Return how much more patches count that lie nearer to the middle of a box: (grid rows, grid columns).

    The weight falls evenly with the larger of the two distances, across and down, in halves of the box; a patch that
    several boxes cover takes the highest. Multiplied by what is covered, weights have a mean of 1.
    """
    grid = geometry.grid
    x = np.array([geometry.patch_centre(0, column)[0] for column in range(grid.columns)])
    y = np.array([geometry.patch_centre(row, 0)[1] for row in range(grid.rows)])
    nearest = np.ones(covered.shape)  # distance, 0 in a middle, 1 on a rim and beyond
    for box in label.boxes:
        across = np.abs(x - (box.x + box.w / 2)) / (box.w / 2)
        down = np.abs(y - (box.y + box.h / 2)) / (box.h / 2)
        nearest = np.minimum(nearest, np.maximum(across[None, :], down[:, None]))
    weights: NDArray[np.float64] = label.rim + 2 * (1 - label.rim) * (1 - nearest)
    return weights * float(covered.sum() / max(float((weights * covered).sum()), 1e-9))


def _patch_edges(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges of patch columns (x) and rows (y) in source pixels, clipped to the image."""
    grid = geometry.grid
    x = np.array([geometry.patch_centre(0, column - 0.5)[0] for column in range(grid.columns + 1)])
    y = np.array([geometry.patch_centre(row - 0.5, 0)[1] for row in range(grid.rows + 1)])
    return np.clip(x, 0, geometry.source_columns), np.clip(y, 0, geometry.source_rows)


def _shares(edges: NDArray[np.float64], patch_edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(patches, strips): the part of a patch's extent that each strip is; 0 for patches without extent."""
    starts, ends = edges[:-1], edges[1:]
    low, high = patch_edges[:-1, None], patch_edges[1:, None]
    overlap = np.clip(np.minimum(ends, high) - np.maximum(starts, low), 0.0, None)
    shares: NDArray[np.float64] = overlap / np.where(high > low, high - low, 1.0)
    return shares
