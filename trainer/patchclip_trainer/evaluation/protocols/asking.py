"""Questions to a model, image by image, and answers from a file of predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from patchclip_core.inference.analysis import ReadsSentences
from patchclip_core.values.results import Analyzer
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.journal import Journal
from patchclip_trainer.evaluation.predictions import (
    Answer,
    NotRead,
    Said,
    answers_of,
    batches,
    line_of,
    read_batch,
    read_predictions,
    said_in,
)
from patchclip_trainer.evaluation.protocols.protocol import Benchmark, Question

Answers = Mapping[str, Said]
"""Image -> what was said of it, by the keys of questions."""


def ask_by_text(
    analyzer: Analyzer, benchmark: Benchmark, journal: Journal, advance: Callable[[int], None]
) -> tuple[Answers, tuple[NotRead, ...]]:
    """Ask a model each case's sentences. Raises `DataError` where it reads none."""
    if not isinstance(analyzer, ReadsSentences):
        raise DataError(f"{analyzer.identity.name} reads no sentences: ask it by its own findings (--ask findings)")
    known = {question.key: question for question in benchmark.questions}
    wanted: dict[str, list[str]] = defaultdict(list)
    for case in benchmark.cases:
        wanted[benchmark.rows[case.image].image].append(case.question)

    @lru_cache(maxsize=1)
    def model_for(keys: tuple[str, ...]) -> Analyzer:
        return analyzer.asking([known[key].definition for key in keys])

    def said(batch: Sequence[ImageRow]) -> Analyzer:
        return model_for(tuple(dict.fromkeys(key for row in batch for key in wanted[row.image])))

    return _ask(benchmark, journal, advance, said, lambda row: wanted[row.image])


def ask_by_findings(
    analyzer: Analyzer, benchmark: Benchmark, journal: Journal, advance: Callable[[int], None]
) -> tuple[Answers, tuple[NotRead, ...]]:
    """Take a model's own findings for the questions that they come nearest to; other questions stay unanswered."""
    own = set(analyzer.finding_keys)
    keys = tuple(dict.fromkeys(item.finding for item in benchmark.questions if item.finding in own))
    if not keys:
        raise DataError(f"{analyzer.identity.name} has none of the findings that this protocol asks for")
    said, problems = _ask(benchmark, journal, advance, lambda _: analyzer, lambda _: keys)
    return {image: _by_question(item, benchmark.questions) for image, item in said.items()}, problems


def answers_in(predictions: Path, benchmark: Benchmark) -> tuple[Answers, tuple[NotRead, ...]]:
    """Take the findings that `predictions.jsonl` speaks of for the questions that they come nearest to.

    Raises `DataError` where the file cannot be read or says nothing of the images.
    """
    found, missing = read_predictions(predictions, benchmark.rows, benchmark.size_px)
    if not found.rows:
        raise DataError(f"{predictions} says nothing of any image of this protocol")
    said: dict[str, Said] = {}
    for index, row in enumerate(found.rows):
        answers = {
            key: Answer(float(found.probabilities[index, number]), found.grids[index, number])
            for number, key in enumerate(found.keys)
        }
        size_px = int(found.sizes_px[index][0]), int(found.sizes_px[index][1])
        said[row.image] = _by_question(Said(size_px, answers), benchmark.questions)
    return said, tuple(NotRead(row.image, "the predictions say nothing of it") for row in missing)


def _by_question(said: Said, questions: Sequence[Question]) -> Said:
    return Said(
        said.size_px, {item.key: said.answers[item.finding] for item in questions if item.finding in said.answers}
    )


def _ask(
    benchmark: Benchmark,
    journal: Journal,
    advance: Callable[[int], None],
    model_for: Callable[[Sequence[ImageRow]], Analyzer],
    keys_of: Callable[[ImageRow], Sequence[str]],
) -> tuple[Answers, tuple[NotRead, ...]]:
    found = {str(line["image"]): said_in(line) for line in journal.lines()}
    left = [row for row in benchmark.rows if row.image not in found]
    advance(len(benchmark.rows) - len(left))
    problems: list[NotRead] = []
    for batch in batches(left):
        read, radiographs, refused = read_batch(batch, benchmark.radiograph)
        problems += refused
        if read:
            results = model_for(read).analyze_batch(radiographs)
            for row, findings in zip(read, results, strict=True):
                line = line_of(row.image, answers_of(findings, keys_of(row)))
                found[row.image] = said_in(line)
                journal.append(line)
        advance(len(batch))
    return found, tuple(problems)
