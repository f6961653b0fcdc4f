"""How far the node and another reader agree on a finding: counts, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FindingAgreement:
    """Answers of the node and of a reader for one finding, of the same images or studies.

    both: both say that it is there. node_only, reader_only: one of them does. neither: none does.
    """

    finding: str
    both: int = 0
    node_only: int = 0
    reader_only: int = 0
    neither: int = 0

    @property
    def number(self) -> int:
        """How many were compared."""
        return self.both + self.node_only + self.reader_only + self.neither

    @property
    def sensitivity(self) -> float | None:
        """Share of the reader's findings that the node has; None where the reader has none."""
        return _share(self.both, self.both + self.reader_only)

    @property
    def specificity(self) -> float | None:
        """Share of what the reader denies that the node denies, too; None where the reader denies nothing."""
        return _share(self.neither, self.neither + self.node_only)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; None where agreement by chance is certain, so that nothing can be said."""
        total = self.number
        if not total:
            return None
        node, reader = self.both + self.node_only, self.both + self.reader_only
        by_chance = (node * reader + (total - node) * (total - reader)) / total**2
        return None if by_chance == 1 else ((self.both + self.neither) / total - by_chance) / (1 - by_chance)


def agreement(answers: Iterable[tuple[str, bool, bool]]) -> list[FindingAgreement]:
    """Count answers, each (finding, the node says it is there, the reader says so); by the finding's name."""
    cells: dict[str, dict[tuple[bool, bool], int]] = {}
    for finding, node, reader in answers:
        of_finding = cells.setdefault(finding, {})
        of_finding[node, reader] = of_finding.get((node, reader), 0) + 1
    return [
        FindingAgreement(
            finding,
            both=counted.get((True, True), 0),
            node_only=counted.get((True, False), 0),
            reader_only=counted.get((False, True), 0),
            neither=counted.get((False, False), 0),
        )
        for finding, counted in sorted(cells.items())
    ]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
