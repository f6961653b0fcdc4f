"""What a person thinks of a finding: whose word, on which image, about which model's answer, and how it reached us."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

MOST_BOXES: Final = 20
"""Boxes of one verdict at most."""

SMALLEST_BOX_PX: Final = 2.0
"""Side of the smallest box; less is a slip of the hand."""


class VerdictKind(StrEnum):
    """What is said of the node's answer for one finding of one image.

    ACCEPTED: it is right. REJECTED: it was said to be there, and is not. CORRECTED: it is there, and its place is that
    of the verdict's boxes. MISSED: it was not said to be there, and is; boxes say where, if any do.
    """

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CORRECTED = "corrected"
    MISSED = "missed"


class VerdictSource(StrEnum):
    """How a verdict came: from the node's page, or read from an object that a viewer made and an archive sent."""

    PAGE = "page"
    REPORT = "report"
    KEY_OBJECTS = "key objects"
    PRESENTATION_STATE = "presentation state"
    SEGMENTATION = "segmentation"


@dataclass(frozen=True, slots=True)
class Box:
    """A place in source pixels: left, top, width, height."""

    x: float
    y: float
    w: float
    h: float

    def is_within(self, rows: int, columns: int) -> bool:
        """Tell whether it is a box, and lies within an image of this size."""
        fits = self.x >= 0 and self.y >= 0 and self.x + self.w <= columns and self.y + self.h <= rows
        return fits and min(self.w, self.h) >= SMALLEST_BOX_PX  # false for NaN, too


@dataclass(frozen=True, slots=True)
class Opinion:
    """A verdict before anybody has checked it against what was found. finding: its key."""

    sop_instance_uid: str
    finding: str
    kind: VerdictKind
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class NewVerdict:
    """A verdict that fits what was found.

    revision: whose analysis it is about. was_found: what the node had said. weights_digest: of the model that said so.
    by: an account of the pages, or who an object names. source_uid: SOP Instance UID of that object, '' for the page.
    """

    study_instance_uid: str
    revision: int
    opinion: Opinion
    was_found: bool
    weights_digest: str
    by: str
    source: VerdictSource
    source_uid: str = ""

    @property
    def is_there(self) -> bool:
        """Whether the finding is there, by the person's word."""
        kind = self.opinion.kind
        return self.was_found if kind is VerdictKind.ACCEPTED else kind is not VerdictKind.REJECTED

    @property
    def line(self) -> str:
        """The verdict in words for the audit trail."""
        opinion = self.opinion
        places = f", {len(opinion.boxes)} boxes" if opinion.boxes else ""
        source = f"{self.source}{f' {self.source_uid}' if self.source_uid else ''}"
        return f"verdict: {opinion.finding} {opinion.kind}{places}, image {opinion.sop_instance_uid}, by {source}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict that the ledger keeps. It is never changed: a later one of the same finding and image counts."""

    id: int
    at: datetime
    said: NewVerdict

    @property
    def about(self) -> tuple[str, str]:
        """SOP Instance UID and finding."""
        return self.said.opinion.sop_instance_uid, self.said.opinion.finding


def that_count(verdicts: Iterable[Verdict]) -> dict[tuple[str, str], Verdict]:
    """Return the last verdict of each image and finding, by `Verdict.about`."""
    return {one.about: one for one in sorted(verdicts, key=lambda verdict: verdict.id)}


def may_be_said(*, was_found: bool) -> tuple[VerdictKind, ...]:
    """Return what can be said of a finding that the node found, or did not find."""
    if was_found:
        return VerdictKind.ACCEPTED, VerdictKind.REJECTED, VerdictKind.CORRECTED
    return VerdictKind.ACCEPTED, VerdictKind.MISSED
