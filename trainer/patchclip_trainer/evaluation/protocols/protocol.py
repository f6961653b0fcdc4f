"""What a protocol is: how a data set is read, what is asked of each image, and how the answers are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import Statistic
from patchclip_core.values.definitions import Code, FindingDefinition
from patchclip_core.values.results import Box, Radiograph
from patchclip_trainer.data.label_domains import Lesion
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.evaluation.predictions import Answer

_NO_OPERATING_POINT = 1e-9
"""A question by text has no operating point: each image gets its probability."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of an image.

    key: what answers are called by. group: the class of the data set that it stands for. positive, negative: the
    sentences. finding: the finding of `conf/findings.yaml` that comes nearest, for a model that is measured by its own
    findings; empty: none does.
    """

    key: str
    group: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    finding: str = ""

    @property
    def definition(self) -> FindingDefinition:
        """The question as a model is asked it."""
        code = Code(value="question", scheme="99PATCHCLIP", meaning=self.group)
        return FindingDefinition(
            key=self.key,
            name=self.group[:48],
            code=code,
            site=code,
            colour="#ffffff",
            threshold=_NO_OPERATING_POINT,
            positive=self.positive,
            negative=self.negative,
        )


def there_is(name: str, finding: str = "", *, words: str = "") -> Question:
    """Return the question of a class: "There is {words}" against "There is no {words}"."""
    said = words or name.lower()
    key = "ask_" + "".join(letter if letter.isalnum() else "_" for letter in name.lower())
    return Question(key[:32], name, (f"There is {said}",), (f"There is no {said}",), finding)


@dataclass(frozen=True, slots=True)
class Case:
    """One question of one image, and what is true. image: index of the row. lesions: in the pixels of the list."""

    image: int
    question: str
    positive: bool
    lesions: tuple[Lesion, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Benchmark:
    """What a protocol has read of a folder.

    about: which part of the data set this is, in plain words. listed_px: rows and columns of the image that boxes were
    drawn in, where the list says them; the file may be smaller. digest: of the lists. left_out: what was not used.
    """

    about: str
    rows: tuple[ImageRow, ...]
    questions: tuple[Question, ...]
    cases: tuple[Case, ...]
    radiograph: Callable[[ImageRow], Radiograph]
    size_px: Callable[[ImageRow], tuple[int, int]]
    digest: str
    left_out: tuple[str, ...] = ()
    listed_px: Callable[[ImageRow], tuple[int, int] | None] = lambda _: None


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """The cases of one class with their answers, in one order. image: (n,), indices of the benchmark's rows.

    sizes_px: rows and columns of the images. lesions: in the images' own pixels.
    """

    image: NDArray[np.intp]
    positive: NDArray[np.bool_]
    lesions: Sequence[tuple[Lesion, ...]]
    answers: Sequence[Answer]
    sizes_px: Sequence[tuple[int, int]]

    @property
    def placed(self) -> NDArray[np.bool_]:
        """Cases in which place is judged: what is there is boxed, or it is not there. (n,)."""
        return np.array([bool(drawn) for drawn in self.lesions], dtype=bool) | ~self.positive

    def of(self, chosen: NDArray[np.bool_]) -> Answered:
        """Return some of the cases."""
        index = [int(number) for number in np.flatnonzero(chosen)]
        return Answered(
            self.image[index],
            self.positive[index],
            [self.lesions[number] for number in index],
            [self.answers[number] for number in index],
            [self.sizes_px[number] for number in index],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A measure of a class: a statistic over the weights of its cases (B, n), and the counts that it rests on."""

    cases: Answered
    statistic: Statistic
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure with its definition in words. score: None where a class has too little for it."""

    name: str
    title: str
    definition: str
    score: Callable[[Answered], Score | None]


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A published figure that a result may be laid beside. measure: the name of ours. who: model and conditions."""

    measure: str
    value: float
    who: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol: a row of the table.

    split: what is measured where nothing else is asked. beside: published rows. remark: how far they fit.
    """

    name: str
    title: str
    split: str
    read: Callable[..., Benchmark]
    measures: tuple[Measure, ...]
    beside: tuple[PublishedRow, ...]
    remark: str


def scaled(
    lesions: Sequence[Lesion], listed_px: tuple[int, int] | None, size_px: tuple[int, int]
) -> tuple[Lesion, ...]:
    """Return lesions in the pixels of a file of this size (rows, columns), drawn in an image of the listed one."""
    if listed_px is None or listed_px == size_px:
        return tuple(lesions)
    down, across = size_px[0] / listed_px[0], size_px[1] / listed_px[1]
    return tuple(
        Lesion(tuple(Box(box.x * across, box.y * down, box.w * across, box.h * down) for box in lesion.boxes))
        for lesion in lesions
    )
