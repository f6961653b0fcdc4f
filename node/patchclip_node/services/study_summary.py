"""What the ledger keeps of an analysis, for the status pages and `studies show`: compact, versioned JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patchclip_core.values.results import FindingState, ModelIdentity
from patchclip_node.domain.records import ResultRecord, StudyRecord
from patchclip_node.domain.variants import NoteKind

NOTHING_SEEN: Final = "nothing above its threshold, which rules nothing out"
"""What is said in one line of images without a present finding."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RegionSummary(_Value):
    """A box in source pixels and its score."""

    x: float
    y: float
    w: float
    h: float
    score: float


class FindingSummary(_Value):
    """One finding of one image; the fields of `patchclip_core.values.results.Finding` without its map.

    reason: why it was not evaluated, or what its absence, or its not being seen, rests on.
    """

    key: str
    name: str
    state: FindingState
    probability: float | None
    threshold: float | None
    reason: str | None
    regions: tuple[RegionSummary, ...]


class ImageSummary(_Value):
    """One analysed image. `overlay_key`: its overlay PNG in the spool."""

    sop_instance_uid: str
    rows: int
    columns: int
    overlay_key: str | None
    remarks: tuple[str, ...]
    findings: tuple[FindingSummary, ...]


class SkippedSummary(_Value):
    """One image that was not analysed."""

    sop_instance_uid: str
    reason: str


class StudySummary(_Value):
    """The whole analysis. `seconds`: step -> wall-clock seconds."""

    version: Literal[1] = 1
    model: ModelIdentity
    images: Annotated[tuple[ImageSummary, ...], Field(min_length=1)]
    skipped: tuple[SkippedSummary, ...]
    seconds: dict[str, float]

    def to_json(self) -> str:
        """Return compact JSON; `read_summary` reads it back."""
        return json.dumps(self.model_dump(mode="json"), separators=(",", ":"), ensure_ascii=False)


def read_summary(text: str | None) -> StudySummary | None:
    """Read what `to_json` wrote; None when there is nothing, or when another version of the product wrote it."""
    if text is None:
        return None
    try:
        return StudySummary.model_validate_json(text)
    except ValidationError:
        return None  # the rest of the study's record still says what happened


def recall_lines(results: Iterable[ResultRecord]) -> list[str]:
    """Say of results in which recalls they were withdrawn, each once; their notes are none of them."""
    withdrawn = [one for one in results if one.recall is not None and not isinstance(one.result.kind, NoteKind)]
    return list(dict.fromkeys(one.recall.line for one in withdrawn if one.recall is not None))


def outcome_line(study: StudyRecord) -> str:
    """Say in one line what came of a study: why not, or the present findings; empty while nothing has."""
    summary = read_summary(study.summary_json)
    if summary is None or study.error:
        return study.reason or study.error or ""
    present: dict[str, float] = {}
    for image in summary.images:
        for finding in image.findings:
            if finding.state is FindingState.PRESENT and finding.probability is not None:
                present[finding.name] = max(finding.probability, present.get(finding.name, 0.0))
    by_probability = sorted(present.items(), key=lambda item: -item[1])
    line = ", ".join(f"{name} {value:.0%}" for name, value in by_probability) or NOTHING_SEEN
    return line if summary.model.trained else f"untrained model, without meaning: {line}"
