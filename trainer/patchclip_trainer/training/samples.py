"""From prepared data to batches: pixels as the network takes them, and targets for the same view of each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.preprocess import PreprocessSettings
from patchclip_core.prompts import FindingDefinition
from patchclip_core.targets import FindingLabel, Targets, make_targets
from patchclip_core.types import Geometry
from patchclip_trainer.data.label_domains import LabelDomains, LabelState, label_of, lesions_of, reason_to_leave_out
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.data.splits import assign_folds
from patchclip_trainer.errors import DataError
from patchclip_trainer.training.recipe import AugmentRecipe, TrainingRecipe

_TEXT = {LabelState.TEXT_POSITIVE: True, LabelState.TEXT_NEGATIVE: False}


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The images that a run uses, and what is known of them.

    labels[i][f]: of image i of the prepared data and finding f. text_mined: (N, F) bool, where only a text says it.
    train, held_out: indices into the prepared data. left_out: how many images of the split say nothing, or are listed.
    """

    data: PreparedData
    findings: tuple[FindingDefinition, ...]
    labels: dict[int, tuple[FindingLabel, ...]]
    text_mined: dict[int, tuple[bool, ...]]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    left_out: int

    def counts(self) -> dict[str, dict[str, int]]:
        """Count, for each finding, positive and negative training images, and boxes."""
        counted = {}
        for place, finding in enumerate(self.findings):
            labels = [self.labels[int(index)][place] for index in self.train]
            counted[finding.key] = {
                "positive": sum(label.present is True for label in labels),
                "negative": sum(label.present is False for label in labels),
                "boxes": sum(len(label.boxes) for label in labels),
            }
        return counted

    def described_by(self, field: str) -> Counter[str]:
        """Count training images by a field of their rows, such as `source`."""
        return Counter(str(getattr(self.data.rows[int(index)], field)) or "not named" for index in self.train)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """images: (B, channels, input_px, input_px) float32, normalised. targets: of the same view of each image."""

    images: torch.Tensor
    targets: Targets


def collect(
    data: PreparedData, recipe: TrainingRecipe, definitions: dict[str, FindingDefinition], domains: LabelDomains
) -> Samples:
    """Choose images and findings of the train split. Raises `DataError` where nothing can be learned from them."""
    if unknown := sorted(set(recipe.findings or ()) - set(definitions)):
        raise DataError(f"the recipe's findings {', '.join(unknown)} are not in the findings file: add them there")
    split = [int(index) for index in data.split("train")]
    listed = [index for index in split if reason_to_leave_out(data.rows[index], domains) is None]
    keys = recipe.findings or tuple(definitions)
    found = {index: {key: _label(data, index, key, recipe, domains) for key in keys} for index in listed}
    used = [index for index in listed if any(label.present is not None for label, _ in found[index].values())]
    if not used:
        raise DataError(f"{data.folder}: no image of the train split has a label that this recipe can use")
    held = _held_out(data, used, recipe)
    train = [index for index in used if index not in held]
    chosen = recipe.findings or tuple(key for key in keys if any(found[i][key][0].present for i in train))
    if not chosen or not train:
        raise DataError(f"{data.folder}: no finding has a positive image to train on")
    return Samples(
        data=data,
        findings=tuple(definitions[key] for key in chosen),
        labels={index: tuple(found[index][key][0] for key in chosen) for index in used},
        text_mined={index: tuple(found[index][key][1] for key in chosen) for index in used},
        train=np.array(train, dtype=np.int64),
        held_out=np.array(sorted(held), dtype=np.int64),
        left_out=len(split) - len(used),
    )


def batches_of(indices: NDArray[np.int64], size: int, shuffled_by: Sequence[int] | None) -> list[NDArray[np.int64]]:
    """Cut an epoch into batches of almost equal size; the order depends on the seed alone, not on what was drawn."""
    order = indices if shuffled_by is None else np.random.default_rng(shuffled_by).permutation(indices)
    return np.array_split(order, -(-len(indices) // size))


def make_batch(
    samples: Samples,
    indices: NDArray[np.int64],
    preprocess: PreprocessSettings,
    device: torch.device,
    hard: bool,
    augment: tuple[AugmentRecipe, Sequence[int]] | None = None,
) -> Batch:
    """Return images and targets. augment: what may change, and the seed of this batch's changes."""
    pixels = torch.from_numpy(np.ascontiguousarray(samples.data.images[indices])).to(device)
    images = pixels[:, None].float() / 255.0
    geometries = [replace(samples.data.geometries[index], grid=preprocess.grid) for index in indices]
    if augment is not None:
        images, geometries = _changed(images, geometries, *augment, preprocess.padding)
    targets = make_targets([samples.labels[int(index)] for index in indices], geometries)
    by_text = torch.tensor([samples.text_mined[int(index)] for index in indices])  # (B, F)
    patches = (targets.patches >= 0.5).float() if hard else targets.patches
    targets = replace(targets, patches=patches, patches_known=targets.patches_known & ~by_text[..., None])
    mean = torch.tensor(preprocess.mean, device=device)[:, None, None]
    std = torch.tensor(preprocess.std, device=device)[:, None, None]
    return Batch((images - mean) / std, targets.to(device))


def check_fit(data: PreparedData, preprocess: PreprocessSettings) -> None:
    """Raise `DataError` where data were prepared for another input than the network's."""
    if data.settings.input_px != preprocess.input_px:
        raise DataError(
            f"{data.folder} was prepared at {data.settings.input_px} px, the network takes {preprocess.input_px} px: "
            f"run `patchclip-trainer prepare ... --input-px {preprocess.input_px}` into a new folder"
        )
    if (data.settings.padding, data.settings.filter) != (preprocess.padding, preprocess.filter):
        raise DataError(f"{data.folder} was prepared with another padding or filter than the network's: prepare anew")


def moved(geometry: Geometry, scale: float, shift_x_px: float, shift_y_px: float) -> Geometry:
    """Return the geometry of an input that was scaled about its centre, then shifted."""
    x, y = geometry.input_columns / 2, geometry.input_rows / 2
    return replace(
        geometry,
        scale_x=geometry.scale_x * scale,
        scale_y=geometry.scale_y * scale,
        offset_x_px=(geometry.offset_x_px - x) * scale + x + shift_x_px,
        offset_y_px=(geometry.offset_y_px - y) * scale + y + shift_y_px,
    )


def _changed(
    images: torch.Tensor, geometries: Sequence[Geometry], augment: AugmentRecipe, seed: Sequence[int], padding: float
) -> tuple[torch.Tensor, list[Geometry]]:
    """Shift, scale, brighten: (B, 1, side, side) in [0, 1] before and after."""
    count, side = len(images), images.shape[-1]
    draw = np.random.default_rng(seed).uniform(-1, 1, (count, 5)).astype(np.float32)
    scale, shift = 1 + augment.scale * draw[:, 0], augment.shift * draw[:, 1:3]
    contrast, brightness = (
        torch.from_numpy(values)[:, None, None, None].to(images.device)
        for values in (1 + augment.contrast * draw[:, 3], augment.brightness * draw[:, 4])
    )
    if augment.scale or augment.shift:
        # Where each output pixel comes from, in units of half a side from the centre.
        theta = np.zeros((count, 2, 3), dtype=np.float32)
        theta[:, 0, 0] = theta[:, 1, 1] = 1 / scale
        theta[:, :, 2] = -2 * shift / scale[:, None]
        grid = torch.nn.functional.affine_grid(
            torch.from_numpy(theta).to(images.device), list(images.shape), align_corners=False
        )
        images = torch.nn.functional.grid_sample(images - padding, grid, align_corners=False) + padding
        geometries = [
            moved(geometry, float(scale[i]), float(shift[i, 0]) * side, float(shift[i, 1]) * side)
            for i, geometry in enumerate(geometries)
        ]
    return ((images - 0.5) * contrast + 0.5 + brightness).clamp(0, 1), list(geometries)


def _label(
    data: PreparedData, index: int, key: str, recipe: TrainingRecipe, domains: LabelDomains
) -> tuple[FindingLabel, bool]:
    """What is known of a finding in an image, and whether only a text says it."""
    row, boxes = data.rows[index], data.boxes_of(index)
    state = label_of(row, boxes, key, domains)
    if state is LabelState.POSITIVE:
        drawn = tuple(box for lesion in lesions_of(boxes, key, domains) for box in lesion.boxes)
        return FindingLabel(True, drawn), False
    if state is LabelState.READER_NEGATIVE:
        return FindingLabel(False), False
    if recipe.text_mined and state in _TEXT:
        return FindingLabel(_TEXT[state]), True
    return FindingLabel(None), False


def _held_out(data: PreparedData, used: Sequence[int], recipe: TrainingRecipe) -> set[int]:
    if recipe.held_out_fold is None:
        return set()
    rows = [data.rows[index] for index in used]
    folds = assign_folds([row.patient_id for row in rows], recipe.folds, strata=[row.source for row in rows])
    return {index for index, fold in zip(used, folds, strict=True) if fold == recipe.held_out_fold}
