"""One evaluation from a checkpoint and a folder of images to everything that is said of them."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoint import find, load, read_card
from patchclip_core.types import Analyzer, ModelIdentity
from patchclip_trainer.data.adapters.generic import GENERIC
from patchclip_trainer.data.label_domains import LabelDomains, disagreements, load_label_domains, reason_to_leave_out
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Manifest
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.against import compare_images, read_opponent
from patchclip_trainer.evaluation.baselines import SALIENCY, MapSystem, mean_box_prior, saliency_maps
from patchclip_trainer.evaluation.measures import (
    PATCH_MAP,
    PlacedMaps,
    Record,
    better_saliency,
    box_overlap,
    compare_places,
    image_measures,
    label_measures,
    place_maps,
    place_measures,
)
from patchclip_trainer.evaluation.predictions import NotRead, Predictions, predict
from patchclip_trainer.evaluation.scorings import Scoring, record_scoring, timestamp
from patchclip_trainer.evaluation.truth import FindingTruth, text_labelled, truth_of
from patchclip_trainer.metrics.bootstrap import Resamples, draw_patients
from patchclip_trainer.metrics.candidates import GRID_CELLS, MAXIMUM_CANDIDATES, SEPARATION_CELLS

SCHEMA = 1
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""(what is done, number of images) -> a context that gives a function to call with how many are newly done."""


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """What is evaluated, and how.

    checkpoint: a folder or a shipped name. data: a folder with manifest.csv. split: a part of it, or `all`.
    scorings: the list that this one is added to. global_only: a checkpoint of the same recipe trained without patch
        losses, for the comparison with its saliency.
    against: predictions of other systems for the same images. draws: bootstrap samples.
    saliency: whether saliency maps are made; they take a pass for each image and finding.
    """

    checkpoint: str
    data: Path
    split: str
    scorings: Path
    label_domains: Path | None = None
    global_only: str | None = None
    against: tuple[Path, ...] = ()
    draws: int = 1000
    seed: int = 0
    device: str = "auto"
    saliency: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Everything that an evaluation found: `metrics` as it is written, and what pictures are made from."""

    metrics: Record
    predictions: Predictions
    truths: Mapping[str, FindingTruth]
    placed: Mapping[str, Mapping[str, PlacedMaps]]
    identity: ModelIdentity
    domains: LabelDomains


def evaluate(settings: EvaluationSettings, progress: Progress) -> Evaluation:
    """Score a checkpoint on a split. Raises `DataError` and `CheckpointError`, which say what to do."""
    started_s = time.monotonic()
    domains = load_label_domains(settings.label_domains)
    manifest = GENERIC.read(settings.data)
    rows, left_out = _rows(manifest, settings.split, domains)
    boxes = _by_image(manifest.boxes)
    analyzer = load(settings.checkpoint, settings.device)
    with progress("analysing", len(rows)) as advance:
        predictions, not_read = predict(analyzer, settings.data, rows, advance)
    if not predictions.rows:
        raise DataError(f"{settings.data}: no image of the split '{settings.split}' can be read")
    analysed_s = time.monotonic() - started_s
    truths = {key: truth_of(predictions.rows, boxes, key, domains) for key in predictions.keys}
    resamples = draw_patients([row.patient_id for row in predictions.rows], settings.draws, settings.seed)
    systems = _systems(settings, analyzer, manifest, boxes, predictions, truths, domains, progress)
    opponents = [read_opponent(path, predictions) for path in settings.against]
    systems += [opponent.system for opponent in opponents]
    if len({system.name for system in systems}) < len(systems):
        raise DataError("two evaluations to compare with lie in folders of the same name; rename one of them")
    cards = {card.key: card for card in read_card(find(settings.checkpoint)).findings}
    findings: dict[str, Record] = {}
    placed: dict[str, Mapping[str, PlacedMaps]] = {}
    for key, truth in truths.items():
        place, placed[key] = _place(key, truth, systems, predictions, resamples)
        probabilities = predictions.of(key)[0]
        findings[key] = {
            "images": truth.counts,
            "image_level": {
                "readers": image_measures(probabilities, truth.positive, truth.read, resamples, cards.get(key)),
                "text_mined": image_measures(
                    probabilities, truth.text_positive, truth.text_known, resamples, cards.get(key)
                ),
            },
            "place": place,
            "box_overlap": box_overlap(predictions, key, truth, resamples),
        }
    labelled = text_labelled(predictions.rows, domains)
    digest = hashlib.sha256((settings.data / "manifest.csv").read_bytes()).hexdigest()
    identity = analyzer.identity
    scoring = Scoring(
        timestamp(datetime.now(UTC)),
        f"{identity.name} {identity.version}",
        identity.weights_digest,
        settings.split,
        f"sha256:{digest}",
        len(predictions.rows),
    )
    metrics: Record = {
        "schema": SCHEMA,
        "checkpoint": {
            "name": identity.name,
            "version": identity.version,
            "weights_digest": identity.weights_digest,
            "trained": identity.trained,
            "calibrated": identity.calibrated,
            "training_data": identity.training_data,
            "statement": identity.statement,
        },
        "data": _data_record(settings, manifest, boxes, predictions, not_read, left_out, domains, digest),
        "settings": {
            "bootstrap_draws": settings.draws,
            "seed": settings.seed,
            "grid_cells": GRID_CELLS,
            "maximum_candidates": MAXIMUM_CANDIDATES,
            "separation_cells": SEPARATION_CELLS,
            "label_domains": str(settings.label_domains or "shipped"),
        },
        "scorings_of_this_checkpoint_on_this_split": record_scoring(settings.scorings, scoring),
        "systems": {system.name: system.about for system in systems},
        "findings": findings,
        "image_labels": label_measures(predictions, domains.image_labels.scored_by, labelled, resamples),
        "against": {
            opponent.name: compare_images(
                opponent, predictions, truths, domains.image_labels.scored_by, labelled, resamples
            )
            for opponent in opponents
        },
        "by_source": _groups("source", predictions, truths, placed, labelled, resamples, domains),
        "by_view": _groups("view", predictions, truths, placed, labelled, resamples, domains),
        "seconds": {"analysis": round(analysed_s, 2), "all": round(time.monotonic() - started_s, 2)},
    }
    return Evaluation(metrics, predictions, truths, placed, identity, domains)


def _rows(manifest: Manifest, split: str, domains: LabelDomains) -> tuple[list[ImageRow], list[Record]]:
    chosen = [row for row in manifest.images if split in {"all", row.split}]
    if not chosen:
        found = ", ".join(sorted({row.split or "(none)" for row in manifest.images})) or "no images at all"
        raise DataError(f"no image is in the split '{split}'; the manifest has: {found}. `all` takes every image")
    reasons = {row.image: reason_to_leave_out(row, domains) for row in chosen}
    left_out = [{"image": image, "reason": reason} for image, reason in reasons.items() if reason]
    return [row for row in chosen if not reasons[row.image]], left_out


def _by_image(boxes: Sequence[BoxRow]) -> dict[str, list[BoxRow]]:
    found: dict[str, list[BoxRow]] = defaultdict(list)
    for box in boxes:
        found[box.image].append(box)
    return dict(found)


def _systems(
    settings: EvaluationSettings,
    analyzer: Analyzer,
    manifest: Manifest,
    boxes: Mapping[str, Sequence[BoxRow]],
    predictions: Predictions,
    truths: Mapping[str, FindingTruth],
    domains: LabelDomains,
    progress: Progress,
) -> list[MapSystem]:
    """Return the patch maps first, then what they are compared with."""
    maps = {key: predictions.of(key)[1] for key in predictions.keys}
    systems = [MapSystem(PATCH_MAP, maps, "the checkpoint's own maps")]
    train = [row for row in manifest.images if row.split == "train" and not reason_to_leave_out(row, domains)]
    systems.append(mean_box_prior(settings.data, train, boxes, predictions.keys, domains, len(predictions.rows)))
    if not settings.saliency:
        return systems
    judged = {key: truth.placed for key, truth in truths.items() if truth.boxed.any() and _has_map(predictions, key)}
    looked_at = [("", analyzer)]
    if settings.global_only is not None:
        looked_at.append(("global_only_", load(settings.global_only, settings.device)))
    for prefix, model in looked_at:
        for maker in SALIENCY:
            with progress(f"{prefix}{maker}", len(predictions.rows)) as advance:
                systems.append(
                    saliency_maps(f"{prefix}{maker}", maker, model, settings.data, predictions.rows, judged, advance)
                )
    return systems


def _has_map(predictions: Predictions, key: str) -> bool:
    return not bool(np.isnan(predictions.of(key)[1]).any())


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
    if truth.boxed.any():
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


def _groups(
    what: str,
    predictions: Predictions,
    truths: Mapping[str, FindingTruth],
    placed: Mapping[str, Mapping[str, PlacedMaps]],
    labelled: NDArray[np.bool_],
    resamples: Resamples,
    domains: LabelDomains,
) -> Record:
    """Return the main measures of each source or view apart; an empty name is `not given`."""
    names = np.array([getattr(row, what) or "not given" for row in predictions.rows])
    maps = {key: MapSystem(PATCH_MAP, {key: predictions.of(key)[1]}, "") for key in placed if PATCH_MAP in placed[key]}
    record: Record = {}
    for name in sorted(set(names)):
        members = names == name
        findings: Record = {}
        for key, truth in truths.items():
            judged = truth.placed & members
            found = None
            if key in maps and bool((truth.boxed & members).any()):
                found = place_maps(maps[key], key, truth, predictions.sizes_px, judged)
            probabilities = predictions.of(key)[0]
            findings[key] = {
                "readers": image_measures(probabilities, truth.positive, truth.read & members, resamples, None),
                "text_mined": image_measures(
                    probabilities, truth.text_positive, truth.text_known & members, resamples, None
                ),
                "place": place_measures(found, resamples.of(judged)) if found else None,
            }
        record[name] = {
            "images": int(members.sum()),
            "findings": findings,
            "image_labels": label_measures(predictions, domains.image_labels.scored_by, labelled & members, resamples),
        }
    return record


def _data_record(
    settings: EvaluationSettings,
    manifest: Manifest,
    boxes: Mapping[str, Sequence[BoxRow]],
    predictions: Predictions,
    not_read: Sequence[NotRead],
    left_out: Sequence[Record],
    domains: LabelDomains,
    digest: str,
) -> Record:
    return {
        "folder": settings.data.resolve().name,
        "manifest_digest": f"sha256:{digest}",
        "split": settings.split,
        "images": len(predictions.rows),
        "patients": len({row.patient_id for row in predictions.rows}),
        "problem_counts": dict(Counter(problem.kind for problem in manifest.problems)),
        "problems": [str(problem) for problem in manifest.problems],
        "not_read": [{"image": item.image, "reason": item.reason} for item in not_read],
        "left_out": list(left_out),
        "disagreements": [
            {
                "image": item.image,
                "finding": item.finding,
                "positive": list(item.positive),
                "negative": list(item.negative),
                "left_out": item.left_out,
            }
            for item in disagreements(predictions.rows, boxes, domains)
        ],
    }
