"""How far the node and another reader agree on a finding: counts, and what follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from patchclip_core.values.results import wilson

Interval = tuple[float, float]


class AgreementSource(StrEnum):
    """Whose word the node's is compared with. They are never counted together: they were asked differently."""

    PAGE = "page"
    """Who judged on the node's page, and saw what the node says."""
    RETURNED = "returned object"
    """What readers made in a viewer, and sent."""
    REPORT = "final report"
    """What a radiologist wrote of the study."""


class Compared(NamedTuple):
    """One finding of one image or study. reader: None where the reader is not sure."""

    source: AgreementSource
    finding: str
    node: bool
    reader: bool | None


@dataclass(frozen=True, slots=True)
class FindingAgreement:
    """Answers of the node and of a reader for one finding, of the same images or studies.

    both: both say that it is there. node_only, reader_only: one of them does. neither: none does. unsure: the reader
    is not sure; these count in no share.
    """

    source: AgreementSource
    finding: str
    both: int = 0
    node_only: int = 0
    reader_only: int = 0
    neither: int = 0
    unsure: int = 0

    @property
    def number(self) -> int:
        """How many were compared."""
        return self.both + self.node_only + self.reader_only + self.neither

    @property
    def sensitivity(self) -> float | None:
        """Share of the reader's findings that the node has; None where the reader has none."""
        return _share(self.both, self.both + self.reader_only)

    @property
    def sensitivity_interval(self) -> Interval | None:
        """Wilson's 95 % interval of it."""
        return _interval(self.both, self.both + self.reader_only)

    @property
    def specificity(self) -> float | None:
        """Share of what the reader denies that the node denies, too; None where the reader denies nothing."""
        return _share(self.neither, self.neither + self.node_only)

    @property
    def specificity_interval(self) -> Interval | None:
        """Wilson's 95 % interval of it."""
        return _interval(self.neither, self.neither + self.node_only)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; None where agreement by chance is certain, so that nothing can be said."""
        total = self.number
        if not total:
            return None
        node, reader = self.both + self.node_only, self.both + self.reader_only
        by_chance = (node * reader + (total - node) * (total - reader)) / total**2
        return None if by_chance == 1 else ((self.both + self.neither) / total - by_chance) / (1 - by_chance)


def agreement(compared: Iterable[Compared]) -> list[FindingAgreement]:
    """Count answers, each source by itself; in the order of sources, then by the finding's name."""
    counted = Counter(compared)
    order = list(AgreementSource)
    of = {(one.source, one.finding) for one in counted}
    return [
        FindingAgreement(
            source,
            finding,
            both=counted[Compared(source, finding, node=True, reader=True)],
            node_only=counted[Compared(source, finding, node=True, reader=False)],
            reader_only=counted[Compared(source, finding, node=False, reader=True)],
            neither=counted[Compared(source, finding, node=False, reader=False)],
            unsure=sum(counted[Compared(source, finding, node, None)] for node in (True, False)),
        )
        for source, finding in sorted(of, key=lambda one: (order.index(one[0]), one[1]))
    ]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _interval(part: int, whole: int) -> Interval | None:
    return wilson(part / whole, whole) if whole else None
