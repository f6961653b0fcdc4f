from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from patchclip_node.dicom.headers import read_dataset
from patchclip_node.dicom.select import select
from patchclip_node.dicom.storage import SECONDARY_CAPTURE
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME
from tests.support.headers import chest_image, code

DX, DX_RAW = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1.1"
SC, CT = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.2"


def test_a_frontal_chest_image_is_accepted_without_remarks() -> None:
    selection = select(chest_image())

    assert (selection.accepted, selection.reason, selection.remarks) == (True, None, ())


@pytest.mark.parametrize(
    "attributes",
    [
        {"ViewPosition": "AP"},
        {"ViewPosition": "AP PORTABLE"},
        {"BodyPartExamined": "THORAX"},
        {"BodyPartExamined": "CHEST PA"},
        {"SOPClassUID": DX, "Modality": "DX"},
        {"ViewPosition": None, "ViewCodeSequence": [code("272479007", "postero-anterior")]},
        {"ViewPosition": None, "ViewCodeSequence": [code("R-10206", "antero-posterior", "SRT")]},
        {"ViewPosition": None, "ViewCodeSequence": [code("X1", "Antero posterior", "99HOSPITAL")]},
        {"BodyPartExamined": None, "AnatomicRegionSequence": [code("51185008", "Chest")]},
    ],
)
def test_what_says_chest_and_frontal_in_its_own_way_is_accepted(attributes: dict[str, Any]) -> None:
    selection = select(chest_image(**attributes))

    assert (selection.accepted, selection.remarks) == (True, ())


@pytest.mark.parametrize(
    ("attributes", "remark"),
    [
        ({"ViewPosition": None}, "view is unknown"),
        ({"ViewPosition": "ERECT"}, "view is unknown"),
        ({"BodyPartExamined": None}, "body part is unknown"),
        ({"BodyPartExamined": "UNKNOWN"}, "body part is unknown"),
        ({"SOPClassUID": DX_RAW, "Modality": "DX"}, "For Processing"),
        ({"SOPClassUID": DX, "PresentationIntentType": "FOR PROCESSING"}, "For Processing"),
        ({"SOPClassUID": SC, "Modality": "DX"}, "Secondary Capture"),
        ({"SOPClassUID": SC, "Modality": "OT"}, "Secondary Capture"),
    ],
)
def test_what_a_reader_should_know_is_remarked(attributes: dict[str, Any], remark: str) -> None:
    selection = select(chest_image(**attributes))

    assert selection.accepted
    assert len(selection.remarks) == 1
    assert remark in selection.remarks[0]


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"ViewPosition": "LL"}, r"the view is lateral \(LL\)"),
        ({"ViewPosition": "LATERAL"}, "the view is lateral"),
        ({"ViewPosition": "RLD"}, "the view is decubitus"),
        ({"ViewPosition": "RAO"}, "the view is oblique"),
        ({"ViewPosition": None, "ViewCodeSequence": [code("399173006", "left lateral")]}, "lateral"),
        ({"ViewCodeSequence": [code("399067008", "lateral")]}, "lateral"),
        (
            {"ViewPosition": None, "PatientOrientation": ["A", "F"]},
            r"Patient Orientation A\\F says that the view is lateral",
        ),
        ({"ViewPosition": None, "SeriesDescription": "W033 Chest lat."}, "'W033 Chest lat.' says lateral"),
        ({"BodyPartExamined": "HAND"}, "Body Part Examined is HAND, not the chest"),
        ({"BodyPartExamined": "THORACIC SPINE"}, "not the chest"),
        ({"BodyPartExamined": None, "AnatomicRegionSequence": [code("85562004", "Hand")]}, "Anatomic Region is Hand"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "in colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "in colour"),
        ({"NumberOfFrames": 12}, "12 frames"),
        ({"Rows": None}, "no image"),
        ({"Columns": 0}, "no image"),
        ({"SOPClassUID": CT, "Modality": "CT"}, "SOP Class"),
        ({"Modality": "MG"}, "Modality is MG"),
    ],
)
def test_what_is_no_frontal_chest_radiograph_is_rejected_with_its_reason(
    attributes: dict[str, Any], reason: str
) -> None:
    selection = select(chest_image(**attributes))

    assert not selection.accepted
    with pytest.raises(AssertionError, match=reason):  # `match` shows both texts where they differ
        raise AssertionError(selection.reason)


def test_a_view_modifier_is_heard() -> None:
    view = code("399348003", "antero-posterior")
    view.ViewModifierCodeSequence = [code("X", "Left lateral decubitus")]

    assert not select(chest_image(ViewPosition=None, ViewCodeSequence=[view])).accepted


def test_a_series_of_both_views_stays_unknown() -> None:
    selection = select(chest_image(ViewPosition=None, SeriesDescription="Chest PA and lateral"))

    assert selection.accepted
    assert "view is unknown" in selection.remarks[0]


@pytest.mark.parametrize(
    "attributes",
    [
        {"Modality": "CT"},
        {"Modality": "OT", "BodyPartExamined": None},
        {"Modality": "OT", "ViewPosition": None},
        {"Modality": None, "ViewPosition": None, "Rows": 512, "Columns": 512},
        {"Modality": "CR", "ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
        {"Modality": "CR", "SliceThickness": "5"},
        {"Modality": "DX", "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    ],
)
def test_a_ct_stored_as_secondary_capture_is_rejected(attributes: dict[str, Any]) -> None:
    assert not select(chest_image(SOPClassUID=SC, **attributes)).accepted


def test_the_products_own_picture_is_rejected_and_a_radiograph_that_names_it_is_not() -> None:
    own = Dataset()
    own.Manufacturer, own.ManufacturerModelName = MANUFACTURER, PRODUCT_NAME
    assert select(chest_image(ContributingEquipmentSequence=[own])).accepted

    selection = select(chest_image(SOPClassUID=SECONDARY_CAPTURE, ContributingEquipmentSequence=[own]))

    assert selection.reason is not None
    assert "own results" in selection.reason


@pytest.mark.real_data
def test_every_real_frontal_chest_image_is_accepted(real_data_dir: Path) -> None:
    paths = sorted((real_data_dir / "dicom").glob("*.dcm"))

    reasons = {path.name: select(read_dataset(path)).reason for path in paths}

    assert paths
    assert set(reasons.values()) == {None}, reasons


@pytest.mark.parametrize(
    ("orientation", "words"),
    [
        (["L", "F"], []),
        (["LH", "FL"], []),
        (["R", "F"], ["is mirrored"]),
        (["R", "H"], ["stands on its head"]),
        (["L", "H"], ["stands on its head", "is mirrored"]),
        (["F", "R"], ["lies on its side"]),
        (["H", "L"], ["lies on its side"]),
        (["F", "L"], ["lies on its side", "is mirrored"]),
        (["L", "R"], ["is not two directions"]),
        (["L"], ["is not two directions"]),
        (["LEFT", "F"], ["is not two directions"]),
        (["", ""], []),
        (None, []),
    ],
)
def test_an_image_that_is_stored_turned_or_mirrored_gets_a_remark(
    orientation: list[str] | None, words: list[str]
) -> None:
    remarks = select(chest_image(PatientOrientation=orientation)).remarks

    assert len(remarks) == len(words)
    assert all(word in remark for word, remark in zip(words, remarks, strict=True))
