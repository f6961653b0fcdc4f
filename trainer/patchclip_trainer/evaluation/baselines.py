"""What a map has to beat: where boxes lie on average, and saliency of the same or of another checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from patchclip_core.errors import CheckpointError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.inference.saliency import attention_rollout, grad_cam, views_of
from patchclip_core.values.results import Analyzer, Radiograph
from patchclip_trainer.data.label_domains import LabelDomains, reason_to_leave_out
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.evaluation.collection import Collection
from patchclip_trainer.evaluation.out_of_fold import OutOfFold
from patchclip_trainer.evaluation.predictions import Grids
from patchclip_trainer.evaluation.truth import truth_of
from patchclip_trainer.metrics.candidates import GRID_CELLS, to_grid
from patchclip_trainer.metrics.pointing import coverage

PRIOR = "mean_box_prior"
MEAN_BOXES_FILE = "mean_boxes.safetensors"
"""In an exported checkpoint: where the boxes that it learned from lie on average, finding by finding."""
SALIENCY = {"attention_rollout": attention_rollout, "grad_cam": grad_cam}


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
    stored: Mapping[str, Grids] | None = None,
) -> MapSystem:
    """Return, for each of these images, the part of the boxed training images that is covered at each place.

    folds: where the images themselves are of the train split, who was held out where; an image's prior is then the mean
    of the other folds. source: only its training images count. stored: what a checkpoint keeps of the images it was
    trained on, for a collection that has none.
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
            others = [each for each, held in zip(covered, fold_of, strict=True) if fold is None or held != fold]
            if others:
                means[fold] = np.mean(others, axis=0).astype(np.float32)
        fold_of_row = [folds.fold_of[row.image] if folds else None for row in rows]
        if boxed and all(fold in means for fold in fold_of_row):
            grids[key] = np.stack([means[fold] for fold in fold_of_row])
            counts.append(f"{key} {len(boxed)}")
    of_what = "the train split" if source is None else f"{source} in the train split"
    if not grids and stored:
        grids = {key: np.repeat(stored[key][None], len(rows), axis=0) for key in keys if key in stored}
        return MapSystem(
            PRIOR,
            grids,
            f"no image of {of_what} is here with a box: the mean of those that the checkpoint learned from",
        )
    if not grids:
        return MapSystem(PRIOR, {}, f"no image of {of_what} has a box")
    out = ", each image's without its own fold" if folds else ""
    return MapSystem(PRIOR, grids, f"the mean of the boxes of {of_what}{out}; boxed images: {', '.join(counts)}")


def write_mean_boxes(folder: Path, prior: MapSystem) -> None:
    """Keep a prior that is the same for all images in a checkpoint's folder."""
    save_file({key: grids[0] for key, grids in prior.grids.items()}, folder / MEAN_BOXES_FILE, {"about": prior.about})
    (folder / MEAN_BOXES_FILE).chmod(0o644)  # safetensors leaves it to its owner alone


def read_mean_boxes(folder: Path) -> dict[str, Grids]:
    """Return what `write_mean_boxes` has written: finding -> (GRID_CELLS, GRID_CELLS); nothing where there is none.

    Raises `CheckpointError` where the file is damaged.
    """
    path = folder / MEAN_BOXES_FILE
    if not path.is_file():
        return {}
    try:
        found: dict[str, Grids] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): export the checkpoint again") from error
    wrong = [key for key, grid in found.items() if grid.shape != (GRID_CELLS, GRID_CELLS)]
    if wrong:
        raise CheckpointError(f"{path}: {wrong[0]} is not on a grid of {GRID_CELLS} cells: export the checkpoint again")
    return found


def saliency_maps(
    prefix: str,
    analyzer: Analyzer,
    radiograph_of: Callable[[ImageRow], Radiograph],
    rows: Sequence[ImageRow],
    judged: Mapping[str, NDArray[np.bool_]],
    advance: Callable[[int], None],
) -> list[MapSystem]:
    """Return saliency maps of each kind, called by their kind behind a prefix.

    judged: finding -> (N,), the images to make them for. Each image is looked at once for all of them.
    """
    if not isinstance(analyzer, NetworkAnalyzer):
        advance(len(rows))
        about = f"{analyzer.identity.name} is a plug-in: its layers cannot be looked into"
        return [MapSystem(prefix + maker, {}, about) for maker in SALIENCY]
    blank = np.full((len(rows), GRID_CELLS, GRID_CELLS), np.nan, dtype=np.float32)
    grids = {maker: {key: blank.copy() for key in judged} for maker in SALIENCY}
    covers: dict[str, str] = {}
    none: dict[str, str] = {}
    for index, row in enumerate(rows):
        wanted = [key for key, images in judged.items() if images[index]]
        views = views_of(analyzer, radiograph_of(row)) if wanted else None
        for maker, key in product(SALIENCY, wanted):
            if maker in none or views is None:
                continue
            try:
                made = SALIENCY[maker](analyzer, views, key)
            except ValueError as error:
                none[maker] = f"there is none: {error}"
                continue
            covers[maker] = f"{analyzer.identity.name}: covers {made.covers}"
            grids[maker][key][index] = to_grid(made.values, made.geometry).astype(np.float32)
        advance(1)
    return [
        MapSystem(prefix + maker, {}, none[maker])
        if maker in none
        else MapSystem(prefix + maker, grids[maker], covers.get(maker, "no image to look at"))
        for maker in SALIENCY
    ]
