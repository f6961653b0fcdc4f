"""What routes decide by is read from the header; what is not said is missing, never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset

from patchclip_node.dicom.headers import read_dataset
from patchclip_node.dicom.image_facts import age_years, image_facts
from patchclip_node.domain.records import Priority
from patchclip_node.domain.routes import ImageField
from tests.support.analysis import radiograph_file


def header(**attributes: str) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("attributes", "years"),
    [
        ({"PatientAge": "045Y"}, 45.0),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "000D"}, 0.0),
        ({"PatientAge": "5Y"}, 5.0),
        ({"PatientBirthDate": "20000302", "StudyDate": "20180301"}, 17.0),
        ({"PatientBirthDate": "20000301", "StudyDate": "20180301"}, 18.0),
        ({"PatientBirthDate": "20000301", "AcquisitionDate": "20180301"}, 18.0),
        ({"PatientBirthDate": "20040229", "StudyDate": "20050228"}, 365 / 365.25),
        ({"PatientAge": "045Y", "PatientBirthDate": "20000301", "StudyDate": "20180301"}, 45.0),
        ({"PatientAge": "old", "PatientBirthDate": "20000301", "StudyDate": "20180301"}, 18.0),
        ({"PatientBirthDate": "20180302", "StudyDate": "20180301"}, None),
        ({"PatientBirthDate": "20000301"}, None),
        ({"PatientBirthDate": "2000", "StudyDate": "20180301"}, None),
        ({"PatientAge": "045"}, None),
        ({}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_an_age_is_stated_or_follows_from_two_dates_or_is_missing(
    attributes: dict[str, str], years: float | None
) -> None:
    assert age_years(header(**attributes)) == (None if years is None else pytest.approx(years))


def test_words_are_those_of_the_header_and_what_is_heard_in_them(tmp_path: Path) -> None:
    path = radiograph_file(
        tmp_path,
        "one.dcm",
        BodyPartExamined="THORAX",
        ViewPosition="POSTEROANTERIOR",
        StationName="ROOM 2",
        StudyDescription="Aufnahme",
        SeriesDescription="pa stehend",
    )

    facts = image_facts(read_dataset(path), "ER1", Priority.STAT)

    assert facts.texts[ImageField.BODY_PART] == ("THORAX", "chest")
    assert facts.texts[ImageField.VIEW] == ("POSTEROANTERIOR", "PA")
    assert facts.texts[ImageField.DESCRIPTION] == ("Aufnahme", "pa stehend")
    assert (facts.texts[ImageField.SENDER], facts.texts[ImageField.PRIORITY]) == (("ER1",), ("STAT",))
    assert facts.texts[ImageField.STATION] == ("ROOM 2",)


def test_what_a_header_does_not_say_is_missing() -> None:
    facts = image_facts(Dataset(), "", Priority.ROUTINE)

    assert {what for what in ImageField if facts.said(what)} == {ImageField.PRIORITY}
    assert facts.age_years is None
