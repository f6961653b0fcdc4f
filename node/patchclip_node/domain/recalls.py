"""Results that are withdrawn: what, by whom, when and why (IHE Radiology, Imaging Object Change Management)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

LONGEST_WORDS: Final = 1000
"""Characters of what a recall gives as its reason."""


class RecallScope(StrEnum):
    """What is withdrawn. IMAGE: the results that speak of one image. MODEL: all that one set of weights has found."""

    IMAGE = "image"
    STUDY = "study"
    MODEL = "model"


class RecallReason(StrEnum):
    """Why: each is the title of a rejection note (PS3.16 CID 7010), and says what an archive does with the objects.

    QUALITY: hidden, unless the archive is set up to show them. SAFETY: hidden. WORKLIST: the study was made under
    another order or patient; hidden. RETENTION: no longer kept; the archive may delete them.
    """

    QUALITY = "quality"
    SAFETY = "safety"
    WORKLIST = "worklist"
    RETENTION = "retention"


class EarlierResults(StrEnum):
    """What becomes of a study's earlier results when a later revision has some."""

    WITHDRAW = "withdraw"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """Who wants what withdrawn, and why. All that is known of a recall before it happens.

    subject: SOP Instance UID, Study Instance UID or weights digest. words: the reason as the person gave it. by: the
    account of the pages, or the user of the command line.
    """

    scope: RecallScope
    subject: str
    reason: RecallReason
    words: str
    by: str

    def __post_init__(self) -> None:
        if not self.subject:
            raise ValueError(f"name the {self.scope} whose results are recalled")
        if not self.words.strip():
            raise ValueError("a recall says why: give the reason in words")
        if len(self.words) > LONGEST_WORDS:
            raise ValueError(f"the reason has {len(self.words)} characters: give it in at most {LONGEST_WORDS}")


@dataclass(frozen=True, slots=True)
class Recall:
    """A recall that the ledger holds. It is never taken back."""

    id: int
    request: RecallRequest
    at: datetime

    @property
    def line(self) -> str:
        """What happened, in one line for a person."""
        asked = self.request
        when = self.at.strftime("%Y-%m-%d %H:%M:%S")
        return f"recalled ({asked.reason}) by {asked.by} on {when} UTC: {asked.words}"

    @property
    def refusal(self) -> str:
        """Why a model is not used any more, and what to do."""
        return (
            f"the model {self.request.subject} was {self.line}. Name another one under `model`, then "
            "`patchclip-node studies requeue --all-failed`"
        )


@dataclass(frozen=True, slots=True)
class Withdrawable:
    """A result that a recall would withdraw. destinations: those to which it was sent, or is being sent."""

    sop_instance_uid: str
    study_instance_uid: str
    spool_key: str
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecallExtent:
    """What a recall would withdraw, all of it."""

    results: Sequence[Withdrawable]

    @property
    def studies(self) -> int:
        """How many studies they are of."""
        return len({one.study_instance_uid for one in self.results})

    @property
    def by_destination(self) -> dict[str, int]:
        """How many results each destination was sent."""
        names = sorted({name for one in self.results for name in one.destinations})
        return {name: sum(name in one.destinations for one in self.results) for name in names}

    @property
    def line(self) -> str:
        """The same in words."""
        sent = ", ".join(f"{number} at {name}" for name, number in self.by_destination.items()) or "none was sent"
        return f"{_number(len(self.results), 'result')} in {_number(self.studies, 'study', 'studies')}: {sent}"


def _number(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
