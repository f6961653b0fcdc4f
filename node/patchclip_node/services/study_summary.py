"""What the ledger keeps of an analysis, for the status pages and `studies show`: compact, versioned JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patchclip_core.values.results import FindingState, ModelIdentity
from patchclip_core.values.statement import NOTHING_SEEN
from patchclip_core.values.wording import ENGLISH
from patchclip_node.domain.records import ResultRecord, StudyRecord
from patchclip_node.domain.variants import NoteKind


class Say(Protocol):
    """Says a sentence that the program knows, in some language."""

    def __call__(self, sentence: str, **values: object) -> str:
        """Say it."""
        ...


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

    places, number: where it is, and what its probability is to be read by, in words; nothing in a summary of before
    they were kept. reason: why it was not evaluated, or what its absence, or its not being seen, rests on.
    """

    key: str
    name: str
    state: FindingState
    probability: float | None
    threshold: float | None
    reason: str | None
    regions: tuple[RegionSummary, ...]
    places: tuple[str, ...] = ()
    number: str = ""

    @property
    def where(self) -> str:
        """Where it was found; '' of what was not."""
        if not self.state.is_found:
            return ""
        return "; ".join(self.places) or ("" if self.regions else "no place marked")


class ImageSummary(_Value):
    """One analysed image. `maps_key`: its `analyse.maps` in the spool.

    `overlay_key`: its picture; None since pictures are drawn when someone asks for one.
    """

    sop_instance_uid: str
    rows: int
    columns: int
    overlay_key: str | None = None
    maps_key: str | None = None
    remarks: tuple[str, ...]
    findings: tuple[FindingSummary, ...]

    @property
    def spool_keys(self) -> list[str]:
        """What the spool keeps for the pages alone."""
        return [key for key in (self.overlay_key, self.maps_key) if key]

    @property
    def has_picture(self) -> bool:
        """Whether there is a picture, or what one is drawn from."""
        return bool(self.spool_keys)


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


def decision(summary: StudySummary) -> tuple[tuple[str, str], ...]:
    """Return what was decided, and on what weights, for the audit trail: pairs of a name and a value."""
    model = summary.model
    states: dict[str, set[str]] = {}
    for image in summary.images:
        for finding in image.findings:
            states.setdefault(finding.state.value, set()).add(finding.key)
    found = ((state, ", ".join(sorted(keys))) for state, keys in sorted(states.items()))
    return (
        ("decision", "analysed"),
        ("model", f"{model.name} {model.version}"),
        ("weights", model.weights_digest),
        *found,
    )


def outcome_line(
    study: StudyRecord,
    say: Say = ENGLISH.say,
    repeat: Callable[[str], str] = ENGLISH.repeat,
    name_of: Callable[[str, str], str] = lambda _, name: name,
) -> str:
    """Say in one line what came of a study: why not, or the verdicts on what was found; empty while nothing was.

    say, repeat: in which language, as `Wording` does. name_of: (key, English name) -> what a finding is called in it.
    'pleural effusion present, lung opacity possible': of several images the surest verdict.
    """
    summary = read_summary(study.summary_json)
    if summary is None or study.error:
        return repeat(study.reason) if study.reason else study.error or ""
    surest: dict[str, FindingState] = {}
    order = list(FindingState)
    for image in summary.images:
        for finding in image.findings:
            if finding.state.is_found:
                known = surest.get(name := name_of(finding.key, finding.name), finding.state)
                surest[name] = min(known, finding.state, key=order.index)
    found = sorted(surest.items(), key=lambda item: order.index(item[1]))
    line = ", ".join(f"{name} {say(state)}" for name, state in found) or say(NOTHING_SEEN)
    return line if summary.model.trained else say("untrained model, without meaning: {line}", line=line)
