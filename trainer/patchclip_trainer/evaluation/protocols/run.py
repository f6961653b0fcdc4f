"""One run of a protocol: a data set's folder and a model in; a record of measures, each with its count and interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints.checkpoint import find, load, read_card
from patchclip_core.statistics.bootstrap import Numbers, Resamples, Statistic, draw_patients, estimate
from patchclip_trainer.data.label_domains import Lesion
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.code_digest import code_digest, core_digest
from patchclip_trainer.evaluation.image_measures import macro
from patchclip_trainer.evaluation.journal import Journal, digest_of_names
from patchclip_trainer.evaluation.measure_table import Bootstrap, Progress
from patchclip_trainer.evaluation.predictions import PREDICTIONS_FILE, Answer, NotRead, load_whole, predictions_file
from patchclip_trainer.evaluation.protocols.asking import Answers, answers_in, ask_by_findings, ask_by_text
from patchclip_trainer.evaluation.protocols.protocol import (
    Answered,
    Benchmark,
    Measure,
    Score,
    scaled,
)
from patchclip_trainer.evaluation.protocols.table import protocol_named
from patchclip_trainer.evaluation.records import Record, record_of
from patchclip_trainer.evaluation.training_patients import seen_in_training

SCHEMA = 1
Ask = Literal["text", "findings"]


@dataclass(frozen=True, slots=True)
class ProtocolSettings:
    """What is measured by which protocol.

    data: the data set's folder. split: None: the protocol's own. checkpoint: a folder or a shipped name; or
    predictions: a file, or the folder with it, of a model's own findings. ask: by the protocol's sentences, or by the
    findings that the model knows. out: where answers are kept as they come; resume: goes on with those that are
    there.
    """

    protocol: str
    data: Path
    out: Path
    checkpoint: str | None = None
    predictions: Path | None = None
    split: str | None = None
    ask: Ask = "text"
    resume: bool = False
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    device: str = "auto"


def run_protocol(settings: ProtocolSettings, progress: Progress) -> Record:
    """Return what `protocol.json` says. Raises `DataError` and `CheckpointError`, which say what to do."""
    protocol = protocol_named(settings.protocol)
    split = settings.split or protocol.split
    benchmark = protocol.read(settings.data, split)
    answers, not_read, answered_by = _answers(settings, benchmark, progress)
    resamples = draw_patients(
        [row.patient_id for row in benchmark.rows], settings.bootstrap.draws, settings.bootstrap.seed
    )
    classes = answered(benchmark, answers)
    groups = list(dict.fromkeys(question.group for question in benchmark.questions))
    return {
        "schema": SCHEMA,
        "protocol": protocol.name,
        "title": protocol.title,
        **answered_by,
        "data": {
            "folder": settings.data.resolve().name,
            "about": benchmark.about,
            "split": split,
            "whole_split": split == protocol.split and not not_read,
            "images": len(answers),
            "patients": len({row.patient_id for row in benchmark.rows if row.image in answers}),
            "lists_digest": benchmark.digest,
            "images_digest": digest_of_names(row.image for row in benchmark.rows),
            "not_read": [{"image": item.image, "reason": item.reason} for item in not_read],
            "left_out": list(benchmark.left_out),
        },
        "code_digest": code_digest(),
        "settings": {"bootstrap_draws": settings.bootstrap.draws, "seed": settings.bootstrap.seed},
        "questions": [
            {"group": item.group, "positive": list(item.positive), "negative": list(item.negative)}
            for item in benchmark.questions
        ],
        "unanswered": [group for group in groups if group not in classes],
        "measures": {
            measure.name: {
                "title": measure.title,
                "definition": measure.definition,
                **_measured(measure, classes, resamples),
            }
            for measure in protocol.measures
        },
        "beside": [asdict(row) for row in protocol.beside],
        "remark": protocol.remark,
    }


def answered(benchmark: Benchmark, answers: Answers) -> dict[str, Answered]:
    """Return the cases of each class that the model has answered, with their answers."""
    group_of = {question.key: question.group for question in benchmark.questions}
    cases: dict[str, list[tuple[int, bool, tuple[Lesion, ...], Answer, tuple[int, int]]]] = {}
    for case in benchmark.cases:
        row = benchmark.rows[case.image]
        said = answers.get(row.image)
        if said is None or case.question not in said.answers:
            continue
        lesions = scaled(case.lesions, benchmark.listed_px(row), said.size_px)
        entry = (case.image, case.positive, lesions, said.answers[case.question], said.size_px)
        cases.setdefault(group_of[case.question], []).append(entry)
    return {
        group: Answered(
            np.array([image for image, *_ in entries], dtype=np.intp),
            np.array([positive for _, positive, *_ in entries], dtype=bool),
            [lesions for _, _, lesions, _, _ in entries],
            [answer for *_, answer, _ in entries],
            [size for *_, size in entries],
        )
        for group, entries in cases.items()
    }


def _answers(
    settings: ProtocolSettings, benchmark: Benchmark, progress: Progress
) -> tuple[Answers, Sequence[NotRead], Record]:
    if settings.predictions is not None:
        file = predictions_file(settings.predictions)
        answers, missing = answers_in(file, benchmark)
        of = file.resolve().parent.name
        return (
            answers,
            missing,
            {
                "answered_by": "findings",
                "checkpoint": None,
                "trained_on_these": None,
                "predictions": of,
            },
        )
    if settings.checkpoint is None:
        raise DataError("name a checkpoint or predictions")
    by_text = settings.ask == "text"
    analyzer = (
        load(settings.checkpoint, settings.device) if by_text else load_whole(settings.checkpoint, settings.device)
    )
    made_from = {
        "weights": analyzer.identity.weights_digest,
        "card": digest_of_names([read_card(find(settings.checkpoint)).model_dump_json()]),
        "lists": benchmark.digest,
        "questions": digest_of_names(
            [settings.ask, *(item.definition.model_dump_json() for item in benchmark.questions)]
        ),
        "code": core_digest(),
    }
    journal = Journal.open(settings.out / PREDICTIONS_FILE, made_from, resume=settings.resume)
    ask = ask_by_text if by_text else ask_by_findings
    with progress("asking", len(benchmark.rows)) as advance:
        answers, problems = ask(analyzer, benchmark, journal, advance)
    read = [row for row in benchmark.rows if row.image in answers]
    seen = seen_in_training(read, find(settings.checkpoint))
    model = asdict(analyzer.identity)
    if not answers:
        raise DataError(f"{settings.data}: no image can be read")
    return (
        answers,
        problems,
        {
            "answered_by": settings.ask,
            "checkpoint": model,
            "trained_on_these": seen,
            "predictions": None,
        },
    )


def _measured(measure: Measure, classes: Mapping[str, Answered], resamples: Resamples) -> Record:
    """Return a measure of each class, and its mean over the classes that have it, on the same draws of patients."""
    found = {group: score for group, cases in classes.items() if (score := measure.score(cases)) is not None}
    statistics = {group: _over_images(score) for group, score in found.items()}
    whole = macro(list(statistics.values())) if statistics else None
    return {
        "mean_over_classes": record_of(estimate(whole, resamples) if whole else None),
        "classes_in_the_mean": list(found),
        "classes_without": [group for group in classes if group not in found],
        "classes": {
            group: {**record_of(estimate(statistics[group], resamples)), "counts": score.counts}
            for group, score in found.items()
        },
    }


def _over_images(score: Score) -> Statistic:
    """Return a statistic over the weights of all images; a case weighs what its image does."""
    return partial(_weighed, score.statistic, score.cases.image)


def _weighed(statistic: Callable[[Numbers], Numbers], image: NDArray[np.intp], weights: Numbers) -> Numbers:
    return statistic(weights[:, image])
