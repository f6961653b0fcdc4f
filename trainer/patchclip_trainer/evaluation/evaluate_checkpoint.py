"""One evaluation, from a checkpoint and a folder of images to everything that is said of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from patchclip_core.checkpoints.checkpoint import find, read_card
from patchclip_core.values.results import Analyzer
from patchclip_core.values.wording import UNTRAINED_WARNING
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.baselines import MapSystem, mean_box_prior, read_mean_boxes, saliency_maps
from patchclip_trainer.evaluation.calibrated import by_card
from patchclip_trainer.evaluation.code_digest import core_digest
from patchclip_trainer.evaluation.collection import Collection, Part, open_collection
from patchclip_trainer.evaluation.compare_predictions import read_opponent
from patchclip_trainer.evaluation.journal import Journal, digest_of_names
from patchclip_trainer.evaluation.measure_table import (
    DOMAINS,
    Bootstrap,
    Evaluation,
    Measured,
    Progress,
    judged_places,
    measure_table,
    truths_of,
)
from patchclip_trainer.evaluation.predictions import PREDICTIONS_FILE, load_whole, predict
from patchclip_trainer.evaluation.scorings import Scoring, record_scoring, timestamp
from patchclip_trainer.evaluation.training_patients import seen_in_training


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """What is evaluated, and how.

    checkpoint: a folder or a shipped name. data: a folder with manifest.csv, or prepared data. scorings: the list
    that this one is added to. global_only: a checkpoint of the same recipe trained without patch losses, for the
    comparison with its saliency. compared_with: predictions of other systems for the same images. saliency: whether
    saliency maps are made; they take a pass for each image and finding. out: where predictions are kept as they come,
    and with `resume` gone on with; None: nowhere.
    """

    checkpoint: str
    data: Path
    part: Part
    scorings: Path
    label_domains: Path | None = None
    global_only: str | None = None
    compared_with: tuple[Path, ...] = ()
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    device: str = "auto"
    saliency: bool = True
    out: Path | None = None
    resume: bool = False


def evaluate_checkpoint(
    settings: EvaluationSettings, progress: Progress, keep: Callable[[Evaluation], None] = lambda _: None
) -> Evaluation:
    """Score a checkpoint on a split. Raises `DataError` and `CheckpointError`, which say what to do.

    keep: takes what is known before saliency is made, which takes longest, so that a run that is stopped leaves it.
    """
    started_s = time.monotonic()
    collection = open_collection(settings.data)
    analyzer, folder = load_whole(settings.checkpoint, settings.device), find(settings.checkpoint)
    measured = _predicted(settings, collection, analyzer, folder, progress)
    analysed_s, predictions = time.monotonic() - started_s, measured.predictions
    prior = mean_box_prior(
        collection,
        predictions.rows,
        predictions.keys,
        measured.domains,
        source=settings.part.source,
        stored=read_mean_boxes(folder),
    )
    opponents = [read_opponent(path, predictions) for path in settings.compared_with]
    identity = analyzer.identity
    scoring = Scoring(
        timestamp(datetime.now(UTC)),
        f"{identity.name} {identity.version}",
        identity.weights_digest,
        str(settings.part),
        collection.digest,
        len(predictions.rows),
    )
    times = record_scoring(settings.scorings, scoring)

    def evaluation(systems: Sequence[MapSystem]) -> Evaluation:
        metrics, placed = measure_table(measured, systems, opponents, settings.bootstrap)
        metrics["settings"]["label_domains"] = str(settings.label_domains or "shipped")
        metrics |= {
            "title": f"{identity.name} {identity.version}",
            "checkpoint": asdict(identity),
            "calibration_by_group": None,
            "trained_on_these": seen_in_training(predictions.rows, folder),
            "out_of_fold": None,
            "scorings_of_this_checkpoint_on_this_split": times,
            "seconds": {"analysis": round(analysed_s, 2), "all": round(time.monotonic() - started_s, 2)},
        }
        return Evaluation(metrics, measured, placed, "" if identity.trained else UNTRAINED_WARNING)

    if not settings.saliency:
        return evaluation([prior])
    keep(evaluation([prior]))
    return evaluation([prior, *_saliency(settings, analyzer, measured, progress)])


def predicted(settings: EvaluationSettings, progress: Progress) -> Measured:
    """Return what a checkpoint says of a part, and what is true of it. Raises `DataError` and `CheckpointError`."""
    analyzer, folder = load_whole(settings.checkpoint, settings.device), find(settings.checkpoint)
    return _predicted(settings, open_collection(settings.data), analyzer, folder, progress)


def _predicted(
    settings: EvaluationSettings, collection: Collection, analyzer: Analyzer, folder: Path, progress: Progress
) -> Measured:
    """Return what a checkpoint says of the split's images, before and after calibration, and what is true of them."""
    domains = load_label_domains(settings.label_domains)
    rows, left_out = collection.choose(settings.part, domains)
    journal = None
    if settings.out is not None:
        made_from = {
            "weights": analyzer.identity.weights_digest,
            "card": digest_of_names([read_card(folder).model_dump_json()]),
            "list of images": collection.digest,
            "code": core_digest(),
        }
        journal = Journal.open(settings.out / PREDICTIONS_FILE, made_from, resume=settings.resume)
    with progress("analysing", len(rows)) as advance:
        predictions, not_read = predict(analyzer, collection, rows, advance, journal)
    if not predictions.rows:
        raise DataError(f"{settings.data}: no image of '{settings.part}' can be read")
    cards = {card.key: card for card in read_card(folder).findings}
    pairs = {key: by_card(predictions.of(key)[0], cards[key]) for key in predictions.keys if key in cards}
    return Measured(
        collection,
        settings.part,
        domains,
        predictions,
        truths_of(predictions, collection, domains),
        left_out,
        {item.image: item.reason for item in not_read},
        dict.fromkeys(DOMAINS, pairs),
    )


def _saliency(
    settings: EvaluationSettings, analyzer: Analyzer, measured: Measured, progress: Progress
) -> list[MapSystem]:
    """Return saliency of the checkpoint and of the global-only one."""
    rows = measured.predictions.rows
    judged = judged_places(measured.predictions, measured.truths)
    looked_at = [("", analyzer)]
    if settings.global_only is not None:
        looked_at.append(("global_only_", load_whole(settings.global_only, settings.device)))
    systems = []
    for prefix, model in looked_at:
        with progress(f"{prefix}saliency", len(rows)) as advance:
            systems += saliency_maps(prefix, model, measured.collection.radiograph, rows, judged, advance)
    return systems
