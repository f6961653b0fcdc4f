"""What a person looks for in the list: partial words, dates, states, an order; and the text that is searched."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.states import StudyState

MOST_WORDS: Final = 8
"""Words of a search that count."""

_LONGEST_NAME: Final = 160
_LONGEST_NUMBER: Final = 64
"""Characters that are searched. What peers send may be longer, and a row of an index of PostgreSQL has 2,704 bytes."""

SEARCHED: Final = ("patient_name", "patient_id", "accession_number")
"""Attributes of a study, in the order in which `searched` takes them."""

_LETTERS: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th", "\u0131": "i"}
)
"""Letters that no decomposition takes apart."""

_AS_SPELLED: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
"""How names with these letters are written where a keyboard lacks them."""

_PN_DELIMITERS: Final = str.maketrans("^=\\", "   ")
"""Of components, of component groups (PS3.5 6.2.1.2) and of values."""


class StudySort(StrEnum):
    """What the list is sorted by. All but the time of arrival go up."""

    RECEIVED = "received"
    NAME = "name"
    PATIENT_ID = "id"
    ACCESSION = "accession"


@dataclass(frozen=True, slots=True)
class StudySearch:
    """What is looked for. words: folded; each has to be in a study's `search_text`. No `states`: in any state.

    since, until: of the last arrival; `until` itself is not in it. reverse: the other way round.
    """

    words: tuple[str, ...] = ()
    states: tuple[StudyState, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    sort: StudySort = StudySort.RECEIVED
    reverse: bool = False

    @property
    def is_of_all(self) -> bool:
        """Whether nothing but a state is asked."""
        return not self.words and self.since is None and self.until is None


@dataclass(frozen=True, slots=True)
class FoundStudies:
    """A page of what was found, and how many there are on all pages."""

    studies: Sequence[StudyRecord]
    total: int


def folded(text: str) -> str:
    """Return a text in which case, accents and the delimiters of a DICOM name make no difference."""
    apart = unicodedata.normalize("NFKD", text.translate(_PN_DELIMITERS).casefold())
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return " ".join(unicodedata.normalize("NFC", bare).translate(_LETTERS).split())


def search_words(text: str) -> tuple[str, ...]:
    """Return the words of a search, each once."""
    return tuple(dict.fromkeys(folded(text).split()))[:MOST_WORDS]


def searched(patient_name: str, patient_id: str, accession_number: str) -> dict[str, str]:
    """Return what the ledger searches and sorts by: `search_text`, `sort_id` and `sort_accession`, all folded.

    `search_text` has a line each for name, ID and accession number. It begins with the name, so that it sorts as names
    do. A name with ä, ö, ü, ø or å is in it as ae, oe, ... as well.
    """
    composed = unicodedata.normalize("NFC", patient_name).casefold()
    names = dict.fromkeys((folded(patient_name), folded(composed.translate(_AS_SPELLED))))
    number, accession = folded(patient_id)[:_LONGEST_NUMBER], folded(accession_number)[:_LONGEST_NUMBER]
    lines = (*(name[:_LONGEST_NAME] for name in names), number, accession)
    return {"search_text": "\n".join(lines), "sort_id": number, "sort_accession": accession}
