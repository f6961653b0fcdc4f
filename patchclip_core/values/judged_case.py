"""What a reader said of a finding in an image, beside what a model had said: a line of the file a site calibrates by.

The node writes such files, and the trainer reads them: here is what a line holds, and in which words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from patchclip_core.values.results import ModelIdentity

COLUMNS: Final = ("patient", "finding", "probability", "verdict")
"""What each line has to have."""
CHECKPOINT_COLUMN: Final = "checkpoint"
"""Whose probability it is, where the file says so."""

_WORDS: Final = {True: "present", False: "absent"}


@dataclass(frozen=True, slots=True)
class JudgedCase:
    """A finding of one image.

    patient: a pseudonym, the same for all images of a person. finding: its key. probability: as the checkpoint said it.
    is_there: by the reader's word. checkpoint: `name_of` the one that said it; '' where that is not known.
    """

    patient: str
    finding: str
    probability: float
    is_there: bool
    checkpoint: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The line, in the order of `COLUMNS` and then `CHECKPOINT_COLUMN`; the probability to its last digit."""
        return self.patient, self.finding, repr(self.probability), _WORDS[self.is_there], self.checkpoint

    @classmethod
    def read(cls, cells: Mapping[str, str]) -> Self:
        """Read a line, by its columns. Raises `ValueError`, which says what a line needs and what this one has."""
        patient, verdict = cells["patient"], cells["verdict"].casefold()
        try:
            probability = float(cells["probability"])
        except ValueError:
            probability = -1.0
        if not 0 <= probability <= 1 or verdict not in _WORDS.values() or not patient:
            raise ValueError(
                "a line needs a patient, a probability from 0 to 1 and the verdict present or absent; it has "
                f"{patient!r}, {cells['probability']!r}, {cells['verdict']!r}"
            )
        there = verdict == _WORDS[True]
        return cls(patient, cells["finding"], probability, there, cells.get(CHECKPOINT_COLUMN, ""))


def name_of(model: ModelIdentity) -> str:
    """Name a checkpoint: by its weights, and by its version, as one that was calibrated since has the same weights."""
    return f"{model.name} {model.version} {model.weights_digest}"
