"""What is known of a finding in an image, by `conf/label_domains.yaml`: who looked for what, and what they said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from patchclip_core.reports.names import NO_FINDING, names_of, plain
from patchclip_core.typed_yaml import read_model
from patchclip_core.values.definitions import conf_dir
from patchclip_core.values.results import Box
from patchclip_trainer.data.manifest import BoxRow, ImageRow
from patchclip_trainer.errors import DataError


class LabelState(StrEnum):
    """What is known of a finding in an image."""

    POSITIVE = "positive"
    """Radiologists saw it; there may be boxes."""
    READER_NEGATIVE = "reader negative"
    """Radiologists looked for it and did not see it."""
    TEXT_POSITIVE = "text-mined positive"
    TEXT_NEGATIVE = "text-mined negative"
    UNKNOWN = "unknown"
    """No reader looked for it, or those who did are not sure or contradict each other."""

    @property
    def read(self) -> bool:
        """Whether radiologists looked for it."""
        return self in {LabelState.POSITIVE, LabelState.READER_NEGATIVE}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Read(_Part):
    """A column in which radiologists answered, and what they looked for."""

    column: Literal["rsna_class", "chestxdet", "chestxdet10", "adjudicated"]
    looked_for: Annotated[tuple[str, ...], Field(min_length=1)]
    sources: tuple[str, ...] = ()
    """Where it holds; empty: wherever the column has an entry."""


class SourceLabels(_Part):
    """What a source's labels are worth."""

    by: Literal["text", "readers", "nobody"] = "text"
    looked_for: tuple[str, ...] = ()
    nothing_found_holds_in: tuple[Literal["AP", "PA"], ...] | None = None
    """Views in which the words that nothing was found make negatives; None: in every view, also where none is given."""


class Contradiction(_Part):
    """A read and a list of boxes that put the same question."""

    finding: str
    negative_read: str
    box_source: str
    """How the source of the boxes begins."""


class ImageLabels(_Part):
    """Text-mined labels that are measured one by one: on which sources, and what scores them."""

    sources: tuple[str, ...] = ()
    scored_by: dict[str, tuple[str, ...]] = {}


class LabelDomains(_Part):
    """The content of `conf/label_domains.yaml`; each field is explained there."""

    findings: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]
    reads: dict[str, Read] = {}
    labels: dict[str, SourceLabels] = {}
    mark_some: tuple[str, ...] = ()
    same_lesion_iou: Annotated[float, Field(ge=0, lt=1)] = 0.3
    same_box_iou: Annotated[float, Field(ge=0, lt=1)] = 0.6
    contradictions: tuple[Contradiction, ...] = ()
    image_labels: ImageLabels = ImageLabels()
    left_out: dict[str, str] = {}

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        used = {key for read in self.reads.values() for key in read.looked_for}
        used |= {key for labels in self.labels.values() for key in labels.looked_for}
        used |= {rule.finding for rule in self.contradictions}
        if unknown := sorted(used - set(self.findings)):
            raise ValueError(f"these findings are not listed under `findings`: {', '.join(unknown)}")
        if unknown := sorted({rule.negative_read for rule in self.contradictions} - set(self.reads)):
            raise ValueError(f"these reads are not listed under `reads`: {', '.join(unknown)}")
        return self

    def names(self, finding: str) -> frozenset[str]:
        """Return the plain names that sources have for a finding; the key itself is one of them."""
        return names_of(self.findings, finding)

    def labels_of(self, source: str) -> SourceLabels:
        """Return what a source's labels are worth; of a source that is not listed they are text-mined positives."""
        return self.labels.get(source, SourceLabels())

    def marks_some(self, source: str) -> bool:
        """Tell whether a source of boxes is a list that says nothing of what lies outside of them."""
        return any(source.startswith(beginning) for beginning in self.mark_some)


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion, as one reader or several drew it: a point hits it where it lies in any of its boxes."""

    boxes: tuple[Box, ...]

    def contains(self, x: float, y: float) -> bool:
        """Tell whether the point, in source pixels, lies in the lesion."""
        return any(box.contains(x, y) for box in self.boxes)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Readers of one image who do not say the same. left_out: whether the finding is unknown there because of it."""

    image: str
    finding: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    left_out: bool


def load_label_domains(path: Path | None = None) -> LabelDomains:
    """Read a label domains file, by default the one in `conf/`. Raises `DataError`, which names what is wrong."""
    path = path or conf_dir() / "label_domains.yaml"
    return read_model(LabelDomains, path, DataError, "the label domains")


def label_of(
    row: ImageRow, boxes: Sequence[BoxRow], finding_key: str, domains: LabelDomains | None = None
) -> LabelState:
    """Return what is known of a finding in an image.

    boxes: those of the image. A box outweighs a negative read, unless the two are listed as a contradiction: the
    finding is unknown then. A read outweighs labels.
    """
    domains = domains or _shipped()
    positive, negative = readers_of(row, boxes, finding_key, domains)
    if positive and _contradicts(positive, negative, finding_key, domains):
        return LabelState.UNKNOWN
    if positive:
        return LabelState.POSITIVE
    if negative:
        return LabelState.READER_NEGATIVE
    return text_label_of(row, finding_key, domains)


def text_label_of(row: ImageRow, finding_key: str, domains: LabelDomains | None = None) -> LabelState:
    """Return what the text-mined labels alone say of a finding: text-mined positive, negative, or unknown."""
    domains = domains or _shipped()
    labels, said = domains.labels_of(row.source), _plain(row.labels)
    if labels.by != "text":
        return LabelState.UNKNOWN
    names = domains.names(finding_key)
    if names & said:
        return LabelState.TEXT_POSITIVE
    if names & _plain(row.uncertain) or finding_key not in labels.looked_for or not said:
        return LabelState.UNKNOWN
    views = labels.nothing_found_holds_in
    if said & NO_FINDING and views is not None and view_of(row) not in views:
        return LabelState.UNKNOWN
    return LabelState.TEXT_NEGATIVE


def normal_by_words(row: ImageRow, finding_key: str, domains: LabelDomains | None = None) -> bool:
    """Tell whether words alone say that nothing was found, in a view in which that is known to hold for a finding."""
    domains = domains or _shipped()
    holds = domains.labels_of(row.source).nothing_found_holds_in is not None and _plain(row.labels) & NO_FINDING
    return bool(holds) and text_label_of(row, finding_key, domains) is LabelState.TEXT_NEGATIVE


def rest_known(row: ImageRow, boxes: Sequence[BoxRow], finding_key: str, domains: LabelDomains | None = None) -> bool:
    """Tell whether a finding that has boxes in an image is known to be absent outside of them.

    It is where a reader looked for it in the whole image: a read, or a source of boxes that marks all it sees.
    """
    domains = domains or _shipped()
    positive, negative = readers_of(row, boxes, finding_key, domains)
    return any(not domains.marks_some(source) for source in (*positive, *negative))


def readers_of(
    row: ImageRow, boxes: Sequence[BoxRow], finding_key: str, domains: LabelDomains
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sources whose radiologists saw the finding, and those that looked for it and did not."""
    names = domains.names(finding_key)
    positive = {box.source for box in boxes if box.kind == "finding" and plain(box.finding) in names}
    negative = set()
    for name, read in domains.reads.items():
        if read.sources and row.source not in read.sources:
            continue
        answer = getattr(row, read.column)
        answers = [answer] if isinstance(answer, str) else answer
        said = _plain(item.removesuffix("=YES") for item in answers)  # `adjudicated` says NAME=YES or NAME=NO
        if said & names:
            positive.add(name)
        elif finding_key in read.looked_for and _is_denied(read, said, names):
            negative.add(name)
    labels = domains.labels_of(row.source)
    if labels.by == "readers":
        if names & _plain(row.labels):
            positive.add(row.source)
        elif finding_key in labels.looked_for and not names & _plain(row.uncertain):
            negative.add(row.source)
    return tuple(sorted(positive)), tuple(sorted(negative))


def _is_denied(read: Read, said: set[str], names: frozenset[str]) -> bool:
    """Tell whether a read says that a finding is not there; what `adjudicated` does not name is open."""
    if read.column == "adjudicated":
        return any(item.removesuffix("=no") in names for item in said if item.endswith("=no"))
    return bool(said - {""})


def lesions_of(boxes: Sequence[BoxRow], finding_key: str, domains: LabelDomains | None = None) -> tuple[Lesion, ...]:
    """Return the lesions of a finding in one image: boxes of different readers that overlap enough are one.

    So are nearly equal boxes of one name of which the source does not say that different readers drew them: a reader
    draws a lesion once.
    """
    domains = domains or _shipped()
    names = domains.names(finding_key)
    drawn = [box for box in boxes if box.kind == "finding" and plain(box.finding) in names]
    group = list(range(len(drawn)))
    for second in range(len(drawn)):
        for first in range(second):
            several = _reader(drawn[first]) != _reader(drawn[second])
            alike = plain(drawn[first].finding) == plain(drawn[second].finding)
            least = domains.same_lesion_iou if several else domains.same_box_iou
            if (several or alike) and intersection_over_union(drawn[first].box, drawn[second].box) > least:
                group = [group[first] if member == group[second] else member for member in group]
    merged: dict[int, list[Box]] = defaultdict(list)
    for member, box in zip(group, drawn, strict=True):
        merged[member].append(box.box)
    return tuple(Lesion(tuple(members)) for members in merged.values())


def disagreements(
    rows: Sequence[ImageRow], boxes: Mapping[str, Sequence[BoxRow]], domains: LabelDomains | None = None
) -> tuple[Disagreement, ...]:
    """List each image and finding whose readers do not say the same. boxes: by image."""
    domains = domains or _shipped()
    found = []
    for row in rows:
        for finding in domains.findings:
            positive, negative = readers_of(row, boxes.get(row.image, ()), finding, domains)
            if positive and negative:
                left_out = _contradicts(positive, negative, finding, domains)
                found.append(Disagreement(row.image, finding, positive, negative, left_out))
    return tuple(found)


def view_of(row: ImageRow) -> str:
    """Return AP or PA, whatever else the view says; empty where it is not given."""
    return row.view.split(" ")[0]


def reason_to_leave_out(row: ImageRow, domains: LabelDomains) -> str | None:
    """Return why an image is never evaluated; None where it is."""
    return domains.left_out.get(PurePosixPath(row.image).stem)


def intersection_over_union(first: Box, second: Box) -> float:
    """Return the IoU of two boxes, in [0, 1]; 0 for boxes without area."""
    width = min(first.x + first.w, second.x + second.w) - max(first.x, second.x)
    height = min(first.y + first.h, second.y + second.h) - max(first.y, second.y)
    shared = max(width, 0.0) * max(height, 0.0)
    union = first.w * first.h + second.w * second.h - shared
    return shared / union if union > 0 else 0.0


def _contradicts(positive: Sequence[str], negative: Sequence[str], finding: str, domains: LabelDomains) -> bool:
    return any(
        rule.finding == finding
        and rule.negative_read in negative
        and any(source.startswith(rule.box_source) for source in positive)
        for rule in domains.contradictions
    )


def _reader(box: BoxRow) -> tuple[str, str]:
    return box.source, box.reader


def _plain(names: Iterable[str]) -> set[str]:
    return {plain(name) for name in names}


@lru_cache(maxsize=1)
def _shipped() -> LabelDomains:
    return load_label_domains()
