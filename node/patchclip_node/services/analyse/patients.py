"""Whose the images of a study are: a result must never stand in another patient's record."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Self

from pydicom import Dataset

from patchclip_core.io.elements import printable, text
from patchclip_node.results.source import valid_text

NAMES_NO_PATIENT: Final = (
    "the image names no patient, while others of its study do: correct it in the PACS and send it again"
)

_NAME_COMPONENTS: Final = 3
"""Family name, given name and middle name; prefix and suffix (PS3.5 6.2.1) do not tell patients apart."""


@dataclass(frozen=True, slots=True)
class Patient:
    """What an image says of its patient (PS3.3 C.7.1.1), as it is compared; '' is not stated.

    name: for each component group of the PN its family, given and middle name.
    """

    patient_id: str
    issuer: str
    birth_date: str
    name: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, source: Dataset) -> Self:
        """Read it from an image; padding, case and trailing delimiters of a name make no difference.

        What states nothing that a person could read is not stated: a birth date that is not a date, control characters
        alone.
        """
        return cls(
            printable(text(source, "PatientID")),
            printable(text(source, "IssuerOfPatientID")),
            valid_text(source, "PatientBirthDate"),
            tuple(_components(group) for group in printable(text(source, "PatientName")).split("=")),
        )

    @property
    def is_named(self) -> bool:
        """Whether there is a Patient ID or a name."""
        return bool(self.patient_id) or any(map(any, self.name))


def two_patients(patients: Sequence[Patient]) -> str | None:
    """Say so where two images contradict each other on whose they are; only what both state can.

    Two Patient IDs, one Patient ID of two issuers, two birth dates or two names are two patients. A name may change
    (marriage, another spelling) where Patient ID and birth date are stated and the same.
    """
    for one, other in combinations(dict.fromkeys(patients), 2):
        if difference := _difference(one, other):
            return (
                f"the images of this study name different patients ({difference}): correct them in the PACS and send "
                "again"
            )
    return None


def _difference(one: Patient, other: Patient) -> str | None:
    if _differ(one.patient_id, other.patient_id):
        return f"patient IDs {one.patient_id} and {other.patient_id}"
    if _differ(one.issuer, other.issuer):
        return "two issuers of patient IDs"
    if _differ(one.birth_date, other.birth_date):
        return "two birth dates"
    is_certain = bool(one.patient_id and other.patient_id and one.birth_date and other.birth_date)
    if not is_certain and _names_differ(one.name, other.name):
        return "two patient names"
    return None


def _differ(one: str, other: str) -> bool:
    return bool(one and other) and one != other


def _names_differ(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> bool:
    """Compare the first component group that both state, and of it the components that both state."""
    for mine, others in zip(one, other, strict=False):
        if any(mine) and any(others):
            return any(_differ(a, b) for a, b in zip(mine, others, strict=False))
    return False


def _components(group: str) -> tuple[str, ...]:
    parts = unicodedata.normalize("NFKC", group).casefold().split("^")
    return tuple(part.strip() for part in parts[:_NAME_COMPONENTS])


__all__ = ["NAMES_NO_PATIENT", "Patient", "two_patients"]
