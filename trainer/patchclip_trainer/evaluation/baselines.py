"""What a map has to beat: where boxes lie on average, and saliency of the same or of another checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchclip_core.inference import NetworkAnalyzer
from patchclip_core.saliency import MAP_MAKERS
from patchclip_core.types import Analyzer, Box, Radiograph
from patchclip_trainer.data.label_domains import LabelDomains, Lesion, reason_to_leave_out
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.evaluation.collection import Collection
from patchclip_trainer.evaluation.out_of_fold import OutOfFold
from patchclip_trainer.evaluation.predictions import Grids
from patchclip_trainer.evaluation.truth import truth_of
from patchclip_trainer.metrics.candidates import GRID_CELLS, to_grid

PRIOR = "mean_box_prior"
SALIENCY = ("attention_rollout", "grad_cam")
_THE_SAME_FOR_EVERY_FINDING = "attention_rollout"


@dataclass(frozen=True, slots=True, eq=False)
class MapSystem:
    """Maps of one origin.

    grids: finding -> (N, GRID_CELLS, GRID_CELLS), NaN for images in which its place is not judged. about: what the maps
    are, in plain language, or why there are none.
    """

    name: str
    grids: Mapping[str, Grids]
    about: str


def mean_box_prior(
    collection: Collection,
    rows: Sequence[ImageRow],
    keys: Sequence[str],
    domains: LabelDomains,
    *,
    folds: OutOfFold | None = None,
    source: str | None = None,
) -> MapSystem:
    """Return, for each of these images, the part of the boxed training images that is covered at each place.

    folds: where the images themselves are of the train split, who was held out where; an image's prior is then the mean
    of the other folds. source: only its training images count.
    """
    train = [row for row in collection.rows if row.split == "train" and source in {None, row.source}]
    train = [row for row in train if not reason_to_leave_out(row, domains)]
    grids: dict[str, Grids] = {}
    counts: list[str] = []
    for key in keys:
        lesions = truth_of(train, collection.boxes, key, domains).lesions
        boxed = [(row, drawn) for row, drawn in zip(train, lesions, strict=True) if drawn]
        covered = [coverage(drawn, *collection.size_px(row)) for row, drawn in boxed]
        fold_of = [folds.fold_of.get(row.image) if folds else None for row, _ in boxed]
        means: dict[int | None, Grids] = {}
        for fold in {folds.fold_of[row.image] for row in rows} if folds else {None}:
            kept = [each for each, held in zip(covered, fold_of, strict=True) if fold is None or held != fold]
            if kept:
                means[fold] = np.mean(kept, axis=0).astype(np.float32)
        fold_of_row = [folds.fold_of[row.image] if folds else None for row in rows]
        if boxed and all(fold in means for fold in fold_of_row):
            grids[key] = np.stack([means[fold] for fold in fold_of_row])
            counts.append(f"{key} {len(boxed)}")
    of_what = "the train split" if source is None else f"{source} in the train split"
    if not grids:
        return MapSystem(PRIOR, {}, f"no image of {of_what} has a box")
    out = ", each image's without its own fold" if folds else ""
    return MapSystem(PRIOR, grids, f"the mean of the boxes of {of_what}{out}; boxed images: {', '.join(counts)}")


def saliency_maps(
    name: str,
    maker: str,
    analyzer: Analyzer,
    radiograph_of: Callable[[ImageRow], Radiograph],
    rows: Sequence[ImageRow],
    judged: Mapping[str, NDArray[np.bool_]],
    advance: Callable[[int], None],
) -> MapSystem:
    """Return saliency maps of one kind. judged: finding -> (N,), the images to make them for."""
    if not isinstance(analyzer, NetworkAnalyzer):
        advance(len(rows))
        return MapSystem(name, {}, f"{analyzer.identity.name} is a plug-in: its layers cannot be looked into")
    grids = {key: np.full((len(rows), GRID_CELLS, GRID_CELLS), np.nan, dtype=np.float32) for key in judged}
    covers = ""
    for index, row in enumerate(rows):
        wanted = [key for key, images in judged.items() if images[index]]
        radiograph = radiograph_of(row) if wanted else None
        shared: Grids | None = None
        for key in wanted:
            if shared is None or maker != _THE_SAME_FOR_EVERY_FINDING:
                assert radiograph is not None
                try:
                    made = MAP_MAKERS[maker](analyzer, radiograph, key)
                except ValueError as error:
                    return MapSystem(name, {}, f"there is none: {error}")
                covers = made.covers
                shared = to_grid(made.values, made.geometry).astype(np.float32)
            grids[key][index] = shared
        advance(1)
    return MapSystem(name, grids, f"{analyzer.identity.name}: covers {covers}" if covers else "no image to look at")


def coverage(lesions: Sequence[Lesion], rows_px: int, columns_px: int) -> NDArray[np.float64]:
    """Return which part of each cell of the one grid the lesions' boxes cover; where boxes overlap, the larger part."""
    covered = np.zeros((GRID_CELLS, GRID_CELLS))
    for lesion in lesions:
        for box in lesion.boxes:
            covered = np.maximum(covered, _box_coverage(box, rows_px, columns_px))
    return covered


def _box_coverage(box: Box, rows_px: int, columns_px: int) -> NDArray[np.float64]:
    edges = np.arange(GRID_CELLS + 1) / GRID_CELLS
    vertical = _overlaps(edges * rows_px, box.y, box.y + box.h)
    horizontal = _overlaps(edges * columns_px, box.x, box.x + box.w)
    return np.outer(vertical, horizontal)


def _overlaps(edges: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    shared = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
    return np.clip(shared / np.diff(edges), 0.0, 1.0)
