"""The table of all measures of predictions, whoever made them: what `metrics.json` says and pictures are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import Resamples, draw_patients
from patchclip_trainer.data.label_domains import LabelDomains, disagreements, view_of
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import MapSystem
from patchclip_trainer.evaluation.calibrated import CalibrationPair
from patchclip_trainer.evaluation.code_digest import code_digest
from patchclip_trainer.evaluation.collection import Collection, Part
from patchclip_trainer.evaluation.compare_predictions import Opponent, compare_images
from patchclip_trainer.evaluation.groups import group_measures
from patchclip_trainer.evaluation.image_measures import image_measures, label_measures
from patchclip_trainer.evaluation.journal import digest_of_names
from patchclip_trainer.evaluation.place_measures import (
    PATCH_MAP,
    PlacedMaps,
    better_saliency,
    box_overlap,
    compare_places,
    place_maps,
    place_measures,
)
from patchclip_trainer.evaluation.predictions import Predictions
from patchclip_trainer.evaluation.records import Record
from patchclip_trainer.evaluation.truth import FindingTruth, text_labelled, truth_of
from patchclip_trainer.metrics.candidates import GRID_CELLS, MAXIMUM_CANDIDATES, SEPARATION_CELLS

SCHEMA = 2
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""(what is done, number of images) -> a context that gives a function to call with how many are newly done."""
DOMAINS = ("readers", "text_mined")
"""Who says what is true of an image as a whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Predictions with what is true of their images.

    left_out, not_read: image -> reason. calibrated: domain -> finding -> probabilities before and after calibration.
    """

    collection: Collection
    part: Part
    domains: LabelDomains
    predictions: Predictions
    truths: Mapping[str, FindingTruth]
    left_out: Mapping[str, str]
    not_read: Mapping[str, str]
    calibrated: Mapping[str, Mapping[str, CalibrationPair]]


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are drawn."""

    draws: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Everything that was found: `metrics` as it is written, and what pictures are made from.

    warning: what every picture must say, such as that the model is untrained; empty where nothing must be said.
    """

    metrics: Record
    measured: Measured
    placed: Mapping[str, Mapping[str, PlacedMaps]]
    warning: str = ""

    @property
    def predictions(self) -> Predictions:
        """The predictions that were measured."""
        return self.measured.predictions

    @property
    def truths(self) -> Mapping[str, FindingTruth]:
        """What is true, by finding."""
        return self.measured.truths


def truths_of(predictions: Predictions, collection: Collection, domains: LabelDomains) -> dict[str, FindingTruth]:
    """Return what is known of each predicted finding."""
    return {key: truth_of(predictions.rows, collection.boxes, key, domains) for key in predictions.keys}


def judged_places(predictions: Predictions, truths: Mapping[str, FindingTruth]) -> dict[str, NDArray[np.bool_]]:
    """Return, for each finding with boxes and maps, the images (N,) in which its place is judged."""
    return {
        key: truth.placed
        for key, truth in truths.items()
        if truth.boxed.any() and not bool(np.isnan(predictions.of(key)[1][truth.placed]).any())
    }


def measure_table(
    measured: Measured,
    systems: Sequence[MapSystem],
    opponents: Sequence[Opponent],
    bootstrap: Bootstrap,
) -> tuple[Record, dict[str, Mapping[str, PlacedMaps]]]:
    """Measure predictions against what is true, and their maps against those of other systems.

    Returns the part of `metrics.json` that does not depend on where predictions came from, and the matched maps by
    finding and system. Raises `DataError` where two systems have one name.
    """
    predictions, domains, truths = measured.predictions, measured.domains, measured.truths
    maps = {key: predictions.of(key)[1] for key in predictions.keys}
    systems = [MapSystem(PATCH_MAP, maps, "the predictions' own maps"), *systems, *(each.system for each in opponents)]
    names = [system.name for system in systems]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise DataError(
            f"two systems to compare with are called {', '.join(doubled)}; rename the folder of one of them"
        )
    resamples = draw_patients([row.patient_id for row in predictions.rows], bootstrap.draws, bootstrap.seed)
    findings: dict[str, Record] = {}
    placed: dict[str, Mapping[str, PlacedMaps]] = {}
    for key, truth in truths.items():
        place, placed[key] = _place(key, truth, systems, predictions, resamples)
        findings[key] = {
            "images": truth.counts,
            "image_level": _image_level(key, truth, measured, resamples),
            "place": place,
            "box_overlap": box_overlap(predictions, key, truth, resamples),
        }
    labelled = text_labelled(predictions.rows, domains)
    scored_by = domains.image_labels.scored_by
    sources, views = [row.source for row in predictions.rows], [view_of(row) for row in predictions.rows]
    metrics: Record = {
        "schema": SCHEMA,
        "code_digest": code_digest(),
        "data": _data_record(measured),
        "settings": {
            "bootstrap_draws": bootstrap.draws,
            "seed": bootstrap.seed,
            "grid_cells": GRID_CELLS,
            "maximum_candidates": MAXIMUM_CANDIDATES,
            "separation_cells": SEPARATION_CELLS,
        },
        "systems": {system.name: system.about for system in systems},
        "findings": findings,
        "image_labels": label_measures(predictions, scored_by, labelled, resamples),
        "against": {
            other.name: compare_images(other, predictions, truths, scored_by, labelled, resamples)
            for other in opponents
        },
        "by_source": group_measures(sources, predictions, truths, placed, labelled, resamples, domains, opponents),
        "by_view": group_measures(views, predictions, truths, placed, labelled, resamples, domains, opponents),
    }
    return metrics, placed


def _image_level(key: str, truth: FindingTruth, measured: Measured, resamples: Resamples) -> Record:
    """Return how well a finding is told in images as a whole, by what readers and by what texts say."""
    probabilities = measured.predictions.of(key)[0]
    known = {"readers": (truth.positive, truth.read), "text_mined": (truth.text_positive, truth.text_known)}
    return {
        domain: image_measures(probabilities, positive, images, resamples, measured.calibrated.get(domain, {}).get(key))
        for domain, (positive, images) in known.items()
    }


def _place(
    key: str, truth: FindingTruth, systems: Sequence[MapSystem], predictions: Predictions, resamples: Resamples
) -> tuple[Record, dict[str, PlacedMaps]]:
    """Return the record of a finding's place, and the matched maps by system."""
    judged = truth.placed
    record: Record = {
        "images": int(judged.sum()),
        "boxed_images": int(truth.boxed.sum()),
        "lesions": sum(len(drawn) for drawn in truth.lesions),
    }
    placed: dict[str, PlacedMaps] = {}
    if truth.boxed.any() and not np.isnan(predictions.of(key)[1][judged]).any():
        for system in systems:
            found = place_maps(system, key, truth, predictions.sizes_px, judged)
            if found is not None:
                placed[system.name] = found
    drawn = resamples.of(judged)
    ours = placed.get(PATCH_MAP)
    record["systems"] = {
        name: {
            "measures": place_measures(found, drawn),
            "patch_map_compared": compare_places(ours, found, drawn) if ours and name != PATCH_MAP else None,
        }
        for name, found in placed.items()
    }
    record["better_saliency"] = better_saliency(record["systems"])
    return record, placed


def _boxes_of(measured: Measured) -> Iterator[str]:
    """Yield each box of the images that were measured, as text."""
    for row in measured.predictions.rows:
        for box in measured.collection.boxes.get(row.image, ()):
            yield f"{row.image} {box.source} {box.finding} {box.box.x:g} {box.box.y:g} {box.box.w:g} {box.box.h:g}"


def _data_record(measured: Measured) -> Record:
    collection, predictions = measured.collection, measured.predictions
    place_of = {row.image: row.place for row in collection.rows}
    return {
        "folder": collection.folder.resolve().name,
        "manifest_digest": collection.digest,
        "images_digest": digest_of_names(row.image for row in predictions.rows),
        "boxes_digest": digest_of_names(_boxes_of(measured)),
        "split": measured.part.split,
        "source": measured.part.source,
        "view": measured.part.view,
        "images": len(predictions.rows),
        "patients": len({row.patient_id for row in predictions.rows}),
        "problem_counts": dict(Counter(problem.kind for problem in collection.problems)),
        "problems": [str(problem) for problem in collection.problems],
        "not_read": [
            {"image": image, "place": str(place_of[image]), "reason": reason}
            for image, reason in measured.not_read.items()
        ],
        "left_out": [{"image": image, "reason": reason} for image, reason in measured.left_out.items()],
        "disagreements": [
            {
                "image": item.image,
                "finding": item.finding,
                "positive": list(item.positive),
                "negative": list(item.negative),
                "left_out": item.left_out,
            }
            for item in disagreements(predictions.rows, collection.boxes, measured.domains)
        ],
    }
