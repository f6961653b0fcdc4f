"""What routes decide by, read from an image's header."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from pydicom import Dataset

from patchclip_core.io.elements import shown, text
from patchclip_core.io.selection import heard_parts, heard_views
from patchclip_core.io.vocabulary import Vocabulary, load_vocabulary
from patchclip_node.domain.records import Priority
from patchclip_node.domain.routes import ImageFacts, ImageField

_AGE: Final = re.compile(r"(\d{1,3})([DWMY])")
"""VR AS (PS3.5 6.2): 3 digits and a unit; some devices write fewer digits."""

_A_YEAR_HAS: Final = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}


def image_facts(dataset: Dataset, sender: str, priority: Priority, vocabulary: Vocabulary | None = None) -> ImageFacts:
    """Return what routes decide by. sender: calling AE title; '' where it is unknown.

    body_part, view: the word of the header and what the vocabulary hears in all elements that may name it, such as
    TÓRAX and chest. description: of study and series. vocabulary: by default the shipped one.
    """
    known = vocabulary or load_vocabulary()
    texts = {
        ImageField.SENDER: (sender,),
        ImageField.MODALITY: (shown(dataset, "Modality"),),
        ImageField.BODY_PART: (shown(dataset, "BodyPartExamined"), *heard_parts(dataset, known)),
        ImageField.VIEW: (shown(dataset, "ViewPosition"), *heard_views(dataset, known)),
        ImageField.STATION: (shown(dataset, "StationName"),),
        ImageField.DESCRIPTION: (shown(dataset, "StudyDescription"), shown(dataset, "SeriesDescription")),
        ImageField.PRIORITY: (priority.name,),
    }
    said = {what: tuple(dict.fromkeys(word for word in words if word)) for what, words in texts.items()}
    return ImageFacts(said, age_years(dataset))


def age_years(dataset: Dataset) -> float | None:
    """Return the patient's age at the study: Patient's Age (0010,1010), else from birth and study; None: missing."""
    if found := _AGE.fullmatch(text(dataset, "PatientAge").upper()):
        return int(found[1]) / _A_YEAR_HAS[found[2]]
    born, seen = _date(dataset, "PatientBirthDate"), _date(dataset, "StudyDate") or _date(dataset, "AcquisitionDate")
    if born is None or seen is None or seen < born:
        return None
    whole = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    return float(whole) if whole else (seen - born).days / 365.25


def _date(dataset: Dataset, keyword: str) -> date | None:
    try:
        return date.fromisoformat(text(dataset, keyword)[:8])
    except ValueError:
        return None
