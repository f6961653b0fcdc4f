"""What a run of stage 2 learns from: images, what is known of them, and targets for any view of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.errors import not_known
from patchclip_core.models.card import TrainingCounts
from patchclip_core.places.targets import FindingLabel, Targets, make_targets
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import PatchGrid
from patchclip_trainer.data.label_domains import (
    LabelDomains,
    LabelState,
    label_of,
    lesions_of,
    normal_by_words,
    reason_to_leave_out,
    rest_known,
    view_of,
)
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.shards import DESCRIPTION, PreparedData
from patchclip_trainer.data.splits import draw, train_folds
from patchclip_trainer.errors import DataError
from patchclip_trainer.training.inputs.images_in_words import in_words
from patchclip_trainer.training.inputs.mixture import drawn
from patchclip_trainer.training.inputs.views import View
from patchclip_trainer.training.stage2.sampling import shares
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

_BALANCED = 1
"""Sets the draw of an epoch's images apart from that of their order."""
_TEXT = {LabelState.TEXT_POSITIVE: True, LabelState.TEXT_NEGATIVE: False}


@dataclass(frozen=True, eq=False)
class Samples:
    """The images that a run uses, and what is known of them.

    labels[i][f]: of image i of the prepared data and finding f. text_mined: (N, F) bool, where only a text says it.
    train, held_out: indices into the prepared data. left_out: how many images of the split say nothing, or are listed.
    balance: see the recipe.
    """

    data: PreparedData
    findings: tuple[FindingDefinition, ...]
    labels: dict[int, tuple[FindingLabel, ...]]
    text_mined: dict[int, tuple[bool, ...]]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    left_out: int
    balance: float | None = None

    def epoch(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return the images of an epoch: as many as there are training images, each once, or balanced."""
        if self.balance is None:
            return self.train
        return self.train[drawn(self._shares, np.random.default_rng((seed, epoch, _BALANCED)))]

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        known = [[label.present for label in self.labels[int(index)]] for index in self.train]
        present = np.array([[-1 if said is None else int(said) for said in row] for row in known], dtype=np.int8)
        assert self.balance is not None
        return shares(present, [view_of(self.data.rows[int(index)]) for index in self.train], self.balance)

    def counts(self) -> dict[str, TrainingCounts]:
        """Count, for each finding, positive and negative training images, and boxes."""
        counted = {}
        for place, finding in enumerate(self.findings):
            labels = [self.labels[int(index)][place] for index in self.train]
            counted[finding.key] = TrainingCounts(
                positive=sum(label.present is True for label in labels),
                negative=sum(label.present is False for label in labels),
                boxes=sum(len(label.boxes) for label in labels),
            )
        return counted

    def describe(self) -> str:
        """Say in a few words what a run is trained on; `counts` says it of each finding."""
        watched = f", another {len(self.held_out)} images for early stopping" if len(self.held_out) else ""
        return f"{in_words(self.data, self.train)}{watched}"

    def digest(self) -> str:
        """Return a digest of the data and of what is known of them."""
        digest = hashlib.sha256(self.known())
        digest.update(repr([self.train.tolist(), self.held_out.tolist()]).encode())
        return digest.hexdigest()

    def known(self) -> bytes:
        """Return the data's description, and what is known of each image."""
        described = (self.data.folder / DESCRIPTION).read_bytes()
        return described + repr([self.findings, self.labels, self.text_mined]).encode()


def collect(
    data: PreparedData, recipe: Stage2Recipe, definitions: dict[str, FindingDefinition], domains: LabelDomains
) -> Samples:
    """Choose images and findings of the train split. Raises `DataError` where nothing can be learned from them."""
    if unknown := sorted({*(recipe.findings or ()), *recipe.by_text} - set(definitions)):
        known = not_known(unknown[0], definitions)
        raise DataError(f"the recipe's findings {', '.join(unknown)} are not in the findings file: add them; {known}")
    split = [int(index) for index in data.split("train")]
    several = recipe.held_out_fold is not None or recipe.left_out_fold is not None
    folds = train_folds(data.rows, recipe.folds) if several else dict.fromkeys(split, -1)
    split = _part_of(split, data, recipe, domains)
    own = [index for index in split if folds[index] != recipe.left_out_fold]
    listed = [index for index in own if _may_be_used(data.rows[index], recipe, domains)]
    keys = tuple(key for key in recipe.findings or definitions if key not in recipe.by_text)
    found = {index: {key: _label(data, index, key, recipe, domains) for key in keys} for index in listed}
    used = [index for index in listed if any(label.present is not None for label, _ in found[index].values())]
    if not used:
        raise DataError(f"{data.folder}: no image of the train split has a label that this recipe can use")
    shown = [index for index in used if folds[index] != recipe.held_out_fold]
    chosen = keys if recipe.findings else tuple(key for key in keys if any(found[i][key][0].present for i in shown))
    # What is known of findings alone that are not trained teaches nothing.
    used = [index for index in used if any(found[index][key][0].present is not None for key in chosen)]
    train = [index for index in used if folds[index] != recipe.held_out_fold]
    if not chosen or not train:
        raise DataError(f"{data.folder}: no finding has a positive image to train on")
    return Samples(
        data=data,
        findings=tuple(definitions[key] for key in chosen),
        labels={index: tuple(found[index][key][0] for key in chosen) for index in used},
        text_mined={index: tuple(found[index][key][1] for key in chosen) for index in used},
        train=np.array(train, dtype=np.int64),
        held_out=np.array([index for index in used if folds[index] == recipe.held_out_fold], dtype=np.int64),
        left_out=len(own) - len(used),
        balance=recipe.balance,
    )


def _part_of(split: list[int], data: PreparedData, recipe: Stage2Recipe, domains: LabelDomains) -> list[int]:
    """Return the images of as many patients as bring `train_images` that may be used, drawn by the hash of each."""
    if recipe.train_images is None:
        return split
    usable = Counter(data.rows[index].patient_id for index in split if _may_be_used(data.rows[index], recipe, domains))
    kept, images = set[str](), 0
    for patient in sorted(usable, key=lambda each: draw(each, f"train-images-{recipe.seed}")):
        if images >= recipe.train_images:
            break
        kept.add(patient)
        images += usable[patient]
    return [index for index in split if data.rows[index].patient_id in kept]


def _may_be_used(row: ImageRow, recipe: Stage2Recipe, domains: LabelDomains) -> bool:
    licensed = recipe.licence_classes is None or row.licence_class in recipe.licence_classes
    return licensed and reason_to_leave_out(row, domains) is None


def targets_of(
    samples: Samples, indices: NDArray[np.int64], views: Sequence[View], grid: PatchGrid, hard: bool
) -> Targets:
    """Return the targets of images that are seen like this, on a network's patches.

    What only a text says teaches no single patch, unless the recipe gives the patches of normal images a weight. A
    finding of the image as a whole has no place, so no bag.
    """
    keys = [finding.key for finding in samples.findings]
    labels = [view.labels(keys, samples.labels[int(index)]) for index, view in zip(indices, views, strict=True)]
    targets = make_targets(labels, [replace(view.geometry, grid=grid) for view in views], whole=hard)
    by_text = torch.tensor([samples.text_mined[int(index)] for index in indices])  # (B, F)
    localised = torch.tensor([finding.extent == "localised" for finding in samples.findings])  # (F,)
    return replace(
        targets,
        patches_known=targets.patches_known & ~by_text[..., None],
        bags=targets.bags & localised[:, None],
    )


def _label(
    data: PreparedData, index: int, key: str, recipe: Stage2Recipe, domains: LabelDomains
) -> tuple[FindingLabel, bool]:
    """What is known of a finding in an image, and whether only a text says it, of the image as a whole."""
    row, boxes = data.rows[index], data.boxes_of(index)
    state = label_of(row, boxes, key, domains)
    if state is LabelState.POSITIVE:
        drawn = tuple(box for lesion in lesions_of(boxes, key, domains) for box in lesion.boxes)
        rest = 1.0 if rest_known(row, boxes, key, domains) else recipe.rest_of_lists
        return FindingLabel(True, drawn, rest, rim=recipe.box_rim), False
    if state is LabelState.READER_NEGATIVE:
        return FindingLabel(False), False
    if recipe.text_mined and recipe.normal_patches and normal_by_words(row, key, domains):
        return FindingLabel(False, weight=recipe.normal_patches), False
    if recipe.text_mined and state in _TEXT:
        return FindingLabel(_TEXT[state]), True
    return FindingLabel(None), False
