"""Saliency of a cross-validation: each image's map from the checkpoint of the fold that held it out, made once.

The maps are predictions without probabilities, in `saliency/` of the cross-validation's folder; a file's name says
which checkpoints, images and findings it belongs to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints.checkpoint import read_card
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.shards import write_atomically
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import SALIENCY, MapSystem, saliency_maps
from patchclip_trainer.evaluation.collection import Collection
from patchclip_trainer.evaluation.measure_table import Progress
from patchclip_trainer.evaluation.out_of_fold import OUT_OF_FOLD_FILE, fold_folder, held_out, read_out_of_fold
from patchclip_trainer.evaluation.predictions import Predictions, load_whole, read_predictions, write_predictions
from patchclip_trainer.metrics.candidates import GRID_CELLS

_FOLDER = "saliency"


def fold_saliency(
    prefix: str,
    folder: Path,
    collection: Collection,
    rows: Sequence[ImageRow],
    judged: Mapping[str, NDArray[np.bool_]],
    device: str,
    progress: Progress,
) -> list[MapSystem]:
    """Return saliency maps of each kind for these images. folder: of the cross-validation.

    judged: finding -> (N,), the images to make its maps for. Raises `DataError` where the folder holds no
    cross-validation of these images, `CheckpointError` where a checkpoint cannot be loaded.
    """
    folds = read_out_of_fold(folder)
    if folds is None:
        raise DataError(f"{folder} holds no cross-validation ({OUT_OF_FOLD_FILE} is missing): no saliency out of fold")
    fold_of = np.array(held_out(folds, rows, folder), dtype=np.intp)
    checkpoints = {int(fold): fold_folder(folder, int(fold)) / "checkpoint" for fold in np.unique(fold_of)}
    if missing := [path for path in checkpoints.values() if not path.is_dir()]:
        raise DataError(f"{missing[0]} is missing: only a cross-validation's own checkpoints give saliency out of fold")
    belongs_to = [read_card(path).model_dump_json() for path in checkpoints.values()]
    belongs_to += [collection.digest, *(row.image for row in rows)]
    belongs_to += [f"{key} {np.flatnonzero(images).tolist()}" for key, images in sorted(judged.items())]
    digest = hashlib.sha256("\n".join(belongs_to).encode()).hexdigest()[:16]
    (folder / _FOLDER).mkdir(exist_ok=True)
    files = {maker: folder / _FOLDER / f"{maker}-{digest}.json" for maker in SALIENCY}
    if all(file.is_file() for file in files.values()):
        return [_read(prefix + maker, file, rows, collection) for maker, file in files.items()]
    parts = []
    with progress(f"{prefix}saliency", len(rows)) as advance:
        for fold, checkpoint in checkpoints.items():
            own = fold_of == fold
            rows_of_fold = [row for row, held in zip(rows, own, strict=True) if held]
            of_fold = {key: images[own] for key, images in judged.items()}
            model = load_whole(checkpoint, device)
            parts.append(saliency_maps(prefix, model, collection.radiograph, rows_of_fold, of_fold, advance))
    places = [np.flatnonzero(fold_of == fold) for fold in checkpoints]
    systems = [_joined(of_kind, places, len(rows)) for of_kind in zip(*parts, strict=True)]
    for system, file in zip(systems, files.values(), strict=True):
        if system.grids:
            write_predictions(file.with_suffix(".jsonl"), _as_predictions(system, rows, collection))
            write_atomically(file, json.dumps({"about": system.about}) + "\n")
    return systems


def _read(name: str, file: Path, rows: Sequence[ImageRow], collection: Collection) -> MapSystem:
    about = str(json.loads(file.read_text(encoding="utf-8"))["about"])
    stored, _ = read_predictions(file.with_suffix(".jsonl"), rows, collection.size_px)
    return MapSystem(name, {key: stored.of(key)[1] for key in stored.keys}, about)


def _joined(parts: Sequence[MapSystem], places: Sequence[NDArray[np.intp]], images: int) -> MapSystem:
    """Put the folds' maps where their images are; no map of a kind where a fold has none."""
    first = parts[0]
    if empty := [part for part in parts if not part.grids]:
        return empty[0]
    grids = {key: np.full((images, GRID_CELLS, GRID_CELLS), np.nan, dtype=np.float32) for key in first.grids}
    for part, place in zip(parts, places, strict=True):
        for key, maps in part.grids.items():
            grids[key][place] = maps
    return MapSystem(first.name, grids, first.about)


def _as_predictions(system: MapSystem, rows: Sequence[ImageRow], collection: Collection) -> Predictions:
    keys = tuple(system.grids)
    return Predictions(
        keys,
        tuple(rows),
        np.array([collection.size_px(row) for row in rows], dtype=np.intp).reshape(-1, 2),
        np.full((len(rows), len(keys)), np.nan),
        np.stack([system.grids[key] for key in keys], axis=1),
        tuple({} for _ in rows),
    )
