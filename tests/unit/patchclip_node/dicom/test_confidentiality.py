"""Each attribute of PS3.15 table E.1-1 is treated as its action says, at the root and in items; nothing leads back."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import pytest
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag

from patchclip_node.dicom.confidentiality import (
    Action,
    BurnedInError,
    Deidentifier,
    action_of,
    actions,
    refuse_burned_in,
)
from patchclip_node.dicom.storage import SECONDARY_CAPTURE
from tests.peers.radiographs import radiograph

KEY = b"k" * 32
MARK = "Unmistakable"
IDENTIFIERS = ("doe", "unmistakable", "pat-17", "acc-99", "19620203", "1.2.826.0.1.7.17")
ON_PURPOSE = frozenset(
    {"PatientAge", "PatientSex", "PatientName", "PatientID", "SOPInstanceUID", "DeidentificationMethodCodeSequence"}
    | {"PatientIdentityRemoved", "LongitudinalTemporalInformationModified"}
)
"""Kept by an option, or set by the profile: their own tests look at these."""
KNOWN = [tag for tag in actions() if "X" not in tag and keyword_for_tag(int(tag, 16))]


def value_for(vr: str) -> Any:
    """Return a value that tells who it is, as far as its VR can hold one."""
    by_vr: dict[str, Any] = {
        "DA": "19620203",
        "DT": "19620203101112",
        "TM": "101112",
        "AS": "064Y",
        "UI": "1.2.826.0.1.7.17",
        "SQ": DicomSequence([item_of()]),
        "IS": 1717,
        "DS": 1717,
        "AT": 0x00100010,
        "CS": "UNMISTAKABLE",
        "AE": MARK,
        "UR": "https://unmistakable.example/doe",
        **dict.fromkeys(("US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"), 171),
        **dict.fromkeys(("OB", "OW", "UN", "OF", "OD", "OL", "OV"), b"Unmistakable Doe"),
    }
    return by_vr.get(vr, f"{MARK} Doe")


def item_of() -> Dataset:
    item = Dataset()
    item.PatientName, item.ReferencedSOPInstanceUID, item.TextValue = "Doe^Jane", "1.2.826.0.1.7.17", MARK
    return item


def source() -> Dataset:
    dataset = radiograph()
    dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = f"Doe^{MARK}", "PAT-17", "ACC-99"
    dataset.PatientBirthDate, dataset.StudyDate, dataset.StudyTime = "19620203", "20260102", "101112"
    dataset.StudyInstanceUID, dataset.SOPInstanceUID = "1.2.3", "1.2.3.4"
    dataset.PatientSex, dataset.PatientAge = "F", "063Y"
    return dataset


def vr_of(tag: int) -> str:
    return dictionary_VR(tag).split(" or ")[0]


def through_a_file(dataset: Dataset) -> Dataset:
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    written.seek(0)
    return dcmread(written)


def test_the_table_is_whole() -> None:
    assert len(actions()) == 655
    assert set(actions().values()) == {"D", "Z", "X", "U", "X/Z", "X/D", "X/Z/D", "X/Z/U*", "Z/D"}
    assert len(KNOWN) > 600


@pytest.mark.parametrize("within_an_item", [False, True])
def test_every_attribute_of_the_table_is_treated_as_its_action_says(within_an_item: bool) -> None:
    """All of them, one at a time: what was there is gone, and what has to stay is there."""
    wrong = []
    for listed in KNOWN:
        tag = Tag(int(listed, 16))
        vr, dataset = vr_of(tag), source()
        given = DataElement(tag, vr, value_for(vr))
        if within_an_item:
            item = Dataset()
            item.add(given)
            dataset.ReferencedImageSequence = DicomSequence([item])
        elif keyword_for_tag(tag) not in {"PatientAge", "PatientSex", "SOPInstanceUID"}:
            dataset.add(given)
        kept = Deidentifier(KEY).deidentified(dataset)
        where = kept.ReferencedImageSequence[0] if within_an_item else kept
        if not as_said(where.get(tag), given, action_of(tag), actions()[listed]):
            wrong.append(f"{listed} {keyword_for_tag(tag)} {vr} {actions()[listed]}: {where.get(tag)}")
    assert wrong == []


def as_said(kept: DataElement | None, given: DataElement, action: Action | None, listed: str) -> bool:
    """Tell whether an attribute was treated by the action, and the action is one that the table allows."""
    assert action is not None
    stays = given.keyword in ON_PURPOSE or action.value not in listed.replace("*", "")
    if stays:
        return given.keyword in ON_PURPOSE
    if given.VR in {"DA", "DT", "TM"} and given.tag.group != 0x0010:
        return kept is not None and (given.VR == "TM" or not str(kept.value).startswith("19620203"))
    if kept is None or action is Action.REMOVE:
        return kept is None and action is Action.REMOVE
    if action is Action.UID and given.VR == "UI":
        return str(kept.value).startswith("2.25.") and kept.value != given.value
    tells = any(one in str(kept).casefold() for one in IDENTIFIERS)
    return not kept.value if action is Action.EMPTY else not tells


def test_nothing_that_tells_the_patient_is_left_anywhere() -> None:
    """All of the table at once, private elements, texts that the table does not name, File Meta Information."""
    dataset = source()
    for listed in KNOWN:
        tag = int(listed, 16)
        is_of_a_file = tag >> 16 >= 0x0008  # below are commands and File Meta Information
        if is_of_a_file and keyword_for_tag(tag) not in {
            "PatientName",
            "PatientID",
            "AccessionNumber",
            "PatientAge",
            "PatientSex",
        }:
            dataset.add(DataElement(tag, vr_of(tag), value_for(vr_of(tag))))
    dataset.ImageType = ["ORIGINAL", "UNMISTAKABLE"]
    dataset.ViewPosition = "DOE"
    dataset.PatientOrientation = ["L", "F"]
    dataset.add(DataElement(0x60003000, "OW", b"Unmistakable Doe"))
    dataset.add(DataElement(0x50103000, "OW", b"Unmistakable Doe"))
    dataset.private_block(0x0009, "GEMS_IDEN_01", create=True).add_new(1, "LO", "Unmistakable Doe")
    dataset.private_block(0x0009, "UNMISTAKABLE", create=True).add_new(2, "UN", b"Unmistakable Doe")
    dataset.file_meta.SourceApplicationEntityTitle = "UNMISTAKABLE"
    dataset.preamble = b"Unmistakable".ljust(128)
    dataset.SOPInstanceUID = dataset.StudyInstanceUID = "1.2.826.0.1.7.17"
    dataset.StudyDate = "20260102"

    written = io.BytesIO()
    Deidentifier(KEY).deidentified(dataset).save_as(written, enforce_file_format=True)

    content = written.getvalue()
    read = dcmread(io.BytesIO(content))
    said = str(read).casefold() + str(read.file_meta).casefold()
    assert [one for one in IDENTIFIERS if one in said] == []
    assert [one for one in IDENTIFIERS if one.encode() in content.lower()] == []
    assert not [element.tag for element in read.iterall() if element.tag.is_private]
    assert b"20260102" not in content
    assert (read.PatientSex, list(read.PatientOrientation)) == ("F", ["L", "F"])


def test_uids_names_and_days_hold_together_under_one_key_and_under_no_other() -> None:
    one, other, foreign = source(), source(), source()
    other.StudyDate = "20260105"
    foreign.PatientID = "PAT-18"

    first, second, third = (Deidentifier(KEY).deidentified(each) for each in (one, other, foreign))
    elsewhere = Deidentifier(b"o" * 32).deidentified(one)

    assert first.StudyInstanceUID == second.StudyInstanceUID != elsewhere.StudyInstanceUID
    assert first.PatientID == second.PatientID != third.PatientID
    assert (day(second) - day(first)).days == 3
    assert day(first) != date(2026, 1, 2)
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert first.SOPClassUID == one.SOPClassUID


def day(dataset: Dataset) -> date:
    said = str(dataset.StudyDate)
    return date(int(said[:4]), int(said[4:6]), int(said[6:]))


def test_pixels_stay_and_the_file_says_what_was_done() -> None:
    given = source()

    read = through_a_file(Deidentifier(KEY).deidentified(given))

    assert read.PixelData == given.PixelData
    assert (read.PatientIdentityRemoved, read.LongitudinalTemporalInformationModified) == ("YES", "MODIFIED")
    assert [item.CodeValue for item in read.DeidentificationMethodCodeSequence] == ["113100", "113107", "113108"]


@pytest.mark.parametrize(("age", "kept"), [("089Y", "089Y"), ("090Y", "090Y"), ("103Y", "090Y"), ("003M", "003M")])
def test_who_is_very_old_is_said_to_be_ninety(age: str, kept: str) -> None:
    dataset = source()
    dataset.PatientAge = age

    assert Deidentifier(KEY).deidentified(dataset).PatientAge == kept


@pytest.mark.parametrize(
    ("said", "sop_class_uid", "refused"),
    [
        ("YES", "", True),
        ("NO", "", False),
        ("", "", False),
        ("", SECONDARY_CAPTURE, True),
        ("NO", SECONDARY_CAPTURE, False),
    ],
)
def test_what_may_be_burned_in_is_refused(said: str, sop_class_uid: str, refused: bool) -> None:
    dataset = source()
    dataset.SOPClassUID = sop_class_uid or dataset.SOPClassUID
    dataset.BurnedInAnnotation = said

    if refused:
        with pytest.raises(BurnedInError):
            refuse_burned_in(dataset)
    else:
        refuse_burned_in(dataset)
