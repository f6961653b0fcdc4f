"""What goes into the analysis of a study and what comes out of it, as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from pydicom import Dataset

from patchclip_node.domain.records import FinishedAnalysis, Priority
from patchclip_node.domain.routes import EVERYTHING_ELSE, Route
from patchclip_node.domain.variants import ResultVariant
from patchclip_node.results.facts import AnalysedImage


@dataclass(frozen=True, slots=True)
class StudyImage:
    """An instance of the study that is being analysed, as a local file.

    sender: calling AE title of whoever sent it; '' for a file that no one sent. priority: what the node works on it by.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    sender: str = ""
    priority: Priority = Priority.ROUTINE


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedFile:
    """An image that was analysed.

    result: the facts of its header and the findings in its pixels.
    overlay: the image as the model saw it, with what was found drawn into it; a complete file (`drawing.packed`), None
    where none was wanted.
    route: which took it.
    """

    image: StudyImage
    result: AnalysedImage
    overlay: bytes | None
    route: Route = EVERYTHING_ELSE


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """An image that was not analysed, and why, in words for the reader of the report."""

    image: StudyImage
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Analysed:
    """At least one image was analysed.

    results: the objects in the order they were built.
    seconds: step -> wall-clock seconds, in the order in which the steps first ended.
    """

    images: tuple[AnalysedFile, ...]
    skipped: tuple[SkippedFile, ...]
    results: tuple[tuple[ResultVariant, Dataset], ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nothing in the study can be analysed: the reason for the whole, and one for each image."""

    reason: str
    skipped: tuple[SkippedFile, ...]


StudyOutcome = Analysed | Rejected


@dataclass(frozen=True, slots=True)
class FinishedStudy:
    """A study whose results lie in the spool and wait to be committed.

    spool_keys: of all that was written for it, results and overlays. images, skipped: how many were analysed, and how
    many were not. seconds: step -> wall-clock seconds.
    """

    analysis: FinishedAnalysis
    spool_keys: tuple[str, ...]
    images: int
    skipped: int
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RejectedStudy:
    """A study of which nothing can be analysed; image_reasons: by instance id, why not."""

    reason: str
    image_reasons: Mapping[int, str]


class StepTimer:
    """Adds up the wall-clock seconds of named steps."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time spent in the context to the step `name`."""
        begin = perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + perf_counter() - begin

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by step so far, in the order in which the steps first ended."""
        return dict(self._seconds)
