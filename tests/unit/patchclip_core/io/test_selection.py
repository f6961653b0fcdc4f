from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from patchclip_core.io.vocabulary import load_vocabulary
from patchclip_node.dicom.headers import read_dataset
from patchclip_node.dicom.select import select
from patchclip_trainer.data.adapters import dicom as trainer
from tests.support.headers import chest_image, code, order, with_raw_element, write_header

DX_RAW, SC = "1.2.840.10008.5.1.4.1.1.1.1.1", "1.2.840.10008.5.1.4.1.1.7"

MODALITIES = ("CR", "DX", "RG", "OT", None, "CT", "MG", "US")
VIEW_POSITIONS = (
    *("PA", "AP", "FRONTAL", "POSTEROANTERIOR", "ANTEROPOSTERIOR", "Postero-Anterior", "AP PORTABLE", None, "ERECT"),
    *("LL", "RL", "LAT", "LLAT", "RLAT", "LATERAL", "CROSS TABLE", "CROSSTABLE", "PROFILE"),
    *("OBLIQUE", "OBL", "LAO", "RAO", "LPO", "RPO", "LLO", "RLO", "DECUBITUS", "DECUB", "LLD", "RLD"),
)
BODY_PARTS = (
    *("CHEST", "THORAX", "TORAX", "LUNG", "LUNGS", "CHEST PA", "THORACIC SPINE", "CHEST VERTEBRAE", "HAND", None),
    *("UNKNOWN", "OTHER", "OT", "NONE", "NA", "UNDEFINED", "ANY", "BODY"),
)
VIEW_CODES = (
    *("272479007", "399348003", "399033003", "R-10202", "R-10206", "R-10214", "R-40888"),
    *("399067008", "399173006", "399198007", "R-102CD", "R-10236", "R-10232", "111069", "X1"),
)
REGION_CODES = ("51185008", "816094009", "T-D3000", "39607008", "T-28000", "302551006", "43799004", "85562004")
IMAGE_TYPES = ("AXIAL", "LOCALIZER", "MPR", "MIP", "CSA MPR", "CSA MIP", "PRIMARY")
ORIENTATIONS = (["L", "F"], ["A", "F"], ["P", "F"], ["R", "F"], ["F", "L"], ["L"])
DESCRIPTIONS = ("Chest PA", "W033 Chest lat.", "Chest PA and lateral", "Thorax")
DESCRIBED_IN = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")


def headers() -> Iterator[dict[str, Any]]:
    """What a header may say, each value that the node or the trainer ever decided by."""
    yield from ({"Modality": modality} for modality in MODALITIES)
    yield from ({"Modality": modality, "SOPClassUID": SC} for modality in MODALITIES)
    yield from ({"ViewPosition": view} for view in VIEW_POSITIONS)
    yield from ({"BodyPartExamined": part} for part in BODY_PARTS)
    yield from ({"ViewPosition": None, "ViewCodeSequence": [code(value, "a view")]} for value in VIEW_CODES)
    yield from (
        {"BodyPartExamined": None, "AnatomicRegionSequence": [code(value, "a region")]} for value in REGION_CODES
    )
    yield from ({"ImageType": ["ORIGINAL", "PRIMARY", kind]} for kind in IMAGE_TYPES)
    yield from ({"ViewPosition": None, "PatientOrientation": orientation} for orientation in ORIENTATIONS)
    yield from ({"ViewPosition": None, where: words} for where in DESCRIBED_IN for words in DESCRIPTIONS)
    yield {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}
    yield {"NumberOfFrames": 2}
    yield {"Rows": 0}
    yield {"SOPClassUID": DX_RAW, "Modality": "DX"}
    yield {"SOPClassUID": SC, "Modality": "OT", "BodyPartExamined": None}
    yield {"SOPClassUID": SC, "Modality": "DX", "SliceThickness": "5"}


@pytest.mark.parametrize("attributes", list(headers()), ids=str)
def test_node_and_trainer_give_the_same_answer(tmp_path: Path, attributes: dict[str, Any]) -> None:
    path = write_header(tmp_path / "image.dcm", chest_image(**attributes))

    of_node = select(read_dataset(path))
    of_trainer = trainer.read_header(path)

    assert of_trainer is not None
    assert (of_trainer.objection is None, of_trainer.objection) == (of_node.accepted, of_node.reason)


@pytest.mark.parametrize(
    ("attributes", "projection"),
    [
        ({}, "PA"),
        ({"ViewPosition": "AP PORTABLE"}, "AP"),
        ({"ViewPosition": "POSTEROANTERIOR"}, "PA"),
        ({"ViewPosition": "Antero Posterior"}, "AP"),
        ({"ViewPosition": "FRONTAL"}, ""),
        ({"ViewPosition": "PA AP"}, ""),
        ({"ViewPosition": None}, ""),
        ({"ViewPosition": None, "ViewCodeSequence": [code("272479007", "postero-anterior")]}, "PA"),
        ({"ViewPosition": None, "ViewCodeSequence": [code("R-10206", "antero-posterior", "SRT")]}, "AP"),
        ({"ViewPosition": "FRONTAL", "ViewCodeSequence": [code("399348003", "antero-posterior")]}, "AP"),
    ],
)
def test_the_direction_of_the_rays_is_known_where_a_header_says_it(attributes: dict[str, Any], projection: str) -> None:
    image: Dataset = chest_image(**attributes)

    assert select(image).projection == projection


@pytest.mark.parametrize(
    ("attributes", "part"),
    [
        ({"SeriesDescription": "HAND PA"}, "hand"),
        ({"SeriesDescription": "Knie li. seitlich"}, "leg"),
        ({"ProtocolName": "Zahn OPG"}, "teeth"),
        ({"StudyDescription": "Rx pied droit"}, "foot"),
        ({"AcquisitionDeviceProcessingDescription": "CRANIO,FRN P->A"}, "head"),
        ({"SeriesDescription": "Abdomen AP"}, "abdomen"),
        ({"SeriesDescription": "Beckenübersicht", "SpecificCharacterSet": "ISO_IR 192"}, "hip and pelvis"),
        ({"SeriesDescription": "Кисть прямая", "SpecificCharacterSet": "ISO_IR 192"}, "hand"),
        ({"SeriesDescription": "BWS a.p."}, "spine"),
        ({"StudyDescription": "Thorax", "SeriesDescription": "Schulter rechts"}, "shoulder"),
        ({"BodyPartExamined": "XQZT", "SeriesDescription": "Hombro"}, "shoulder"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "HAND"]}, "hand"),
        ({"SeriesDescription": "MAIN D F+P"}, "hand"),
        ({"SeriesDescription": "Staw kolanowy AP"}, "leg"),
        ({"SeriesDescription": "Rippenthorax re."}, "ribs"),
        ({"SeriesDescription": "Поясничный отдел", "SpecificCharacterSet": "ISO_IR 192"}, "spine"),
        ({"SeriesDescription": "颅骨正侧位", "SpecificCharacterSet": "ISO_IR 192"}, "head"),
        ({"SeriesDescription": "IVU 15 min"}, "abdomen"),
        ({"ProcedureCodeSequence": [code("X1", "XR Hand 2 views", "99HOSPITAL")]}, "hand"),
        ({"PerformedProtocolCodeSequence": [code("X1", "Schädel p.a.", "99HOSPITAL")]}, "head"),
        ({"PrimaryAnatomicStructureSequence": [code("85562004", "Hand")]}, "hand"),
        ({"RequestAttributesSequence": [order(ScheduledProcedureStepDescription="Foot AP")]}, "foot"),
        ({"RequestAttributesSequence": [order(RequestedProcedureDescription="RX BACINO")]}, "hip and pelvis"),
    ],
)
def test_another_body_part_in_a_description_alone_rejects(attributes: dict[str, Any], part: str) -> None:
    reason = select(chest_image(**({"BodyPartExamined": None, "ViewPosition": None} | attributes))).reason

    assert reason is not None
    assert reason.endswith(f"says {part}, not the chest")


@pytest.mark.parametrize(
    "attributes",
    [
        {"BodyPartExamined": "TÓRAX", "SpecificCharacterSet": "ISO_IR 192"},
        {"BodyPartExamined": "BRUSTKORB"},
        {"BodyPartExamined": "POUMON"},
        {"BodyPartExamined": "PULMON"},
        {"BodyPartExamined": "PECHO"},
        {"BodyPartExamined": "THX"},
        {"BodyPartExamined": "KLATKA PIERSIOWA"},
        {"BodyPartExamined": "CHESTABDOMEN"},
        {"BodyPartExamined": None, "SeriesDescription": "CXR portable"},
        {"BodyPartExamined": None, "SeriesDescription": "Thorax und Abdomen"},
        {"BodyPartExamined": None, "StudyDescription": "Thorax p.a."},
        {"BodyPartExamined": None, "SeriesDescription": "chest and ribs"},
        {"BodyPartExamined": None, "SeriesDescription": "CHEST PICC LINE ARM"},
        {"BodyPartExamined": None, "AcquisitionDeviceProcessingDescription": "TORACE,FRN P->A"},
        {"BodyPartExamined": "XQZT", "ProtocolName": "Bettthorax"},
        {"BodyPartExamined": None, "AnatomicRegionSequence": [code("L1", "Brustkorb", "99HOSPITAL")]},
        {"BodyPartExamined": None, "AnatomicRegionSequence": [code("416550000", "Chest and Abdomen")]},
        {"BodyPartExamined": "плућа", "SpecificCharacterSet": "ISO_IR 192"},
        {"BodyPartExamined": "Гръден кош", "SpecificCharacterSet": "ISO_IR 192"},
        {"BodyPartExamined": None, "SeriesDescription": "เอกซเรย์ทรวงอก", "SpecificCharacterSet": "ISO_IR 192"},
        {"BodyPartExamined": None, "StudyDescription": "胸部正侧位", "SpecificCharacterSet": "ISO_IR 192"},
        {"BodyPartExamined": None, "StudyDescription": "Thorax F+P"},
        {"BodyPartExamined": None, "SeriesDescription": "CHEST PORT RIGHT SIDE"},
        {"BodyPartExamined": None, "RequestAttributesSequence": [order(RequestedProcedureDescription="XR CHEST")]},
    ],
)
def test_the_chest_in_the_words_of_a_site_is_analysed_without_a_remark(attributes: dict[str, Any]) -> None:
    selection = select(chest_image(**attributes))

    assert (selection.accepted, selection.reason, selection.remarks) == (True, None, ())


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"ViewPosition": "SEITL"}, "lateral"),
        ({"ViewPosition": "SEITLICH"}, "lateral"),
        ({"ViewPosition": "LATERO"}, "lateral"),
        ({"ViewPosition": "ML"}, "lateral"),
        ({"ViewPosition": "SWIMMERS"}, "lateral"),
        ({"ViewPosition": "PROFIL G"}, "lateral"),
        ({"ViewPosition": "DECUBITUS"}, "decubitus"),
        ({"ViewPosition": "AP DECUB LT"}, "decubitus"),
        ({"ViewPosition": "schräg", "SpecificCharacterSet": "ISO_IR 192"}, "oblique"),
        ({"ViewPosition": None, "SeriesDescription": "Thorax de profil"}, "lateral"),
        ({"ViewPosition": None, "BodyPartExamined": "CHEST_LAT"}, "lateral"),
        ({"ViewPosition": None, "StudyDescription": "RX torace latero-laterale"}, "lateral"),
        ({"ViewPosition": None, "ProtocolName": "Chest AP left lateral decubitus"}, "decubitus"),
        ({"ViewPosition": None, "ViewCodeSequence": [code("Q9", "Profilo", "99HOSPITAL")]}, "lateral"),
        ({"ViewPosition": "XTLAT"}, "lateral"),
        ({"ViewPosition": "dextro-sinistral"}, "lateral"),
        ({"ViewPosition": "БОК", "SpecificCharacterSet": "ISO_IR 192"}, "lateral"),
        ({"ViewPosition": None, "SeriesDescription": "Thorax ML"}, "lateral"),
        ({"ViewPosition": None, "SeriesDescription": "Toraks yan"}, "lateral"),
        ({"ViewPosition": None, "PerformedProtocolCodeSequence": [code("T2", "Thorax seitlich", "99H")]}, "lateral"),
        ({"ViewPosition": None, "ViewCodeSequence": [code("399135007", "left anterior oblique")]}, "oblique"),
    ],
)
def test_another_view_in_the_words_of_a_site_is_rejected(attributes: dict[str, Any], kind: str) -> None:
    reason = select(chest_image(**attributes)).reason

    assert reason is not None
    assert kind in reason
    assert "only frontal views (PA, AP) are analysed" in reason


@pytest.mark.parametrize(
    ("view", "projection"),
    [
        ("A.P.", "AP"),
        ("P-A", "PA"),
        ("P->A", "PA"),
        ("POSTEROANTERIOR", "PA"),
        ("pa erect", "PA"),
        ("AP SUPINE", "AP"),
        ("AP décubitus dorsal", "AP"),
        ("Antero-posteriore", "AP"),
        ("FACE", ""),
        ("ANTERIOR", ""),
        ("PAE", "PA"),
    ],
)
def test_a_frontal_view_in_the_words_of_a_site_is_analysed_without_a_remark(view: str, projection: str) -> None:
    selection = select(chest_image(ViewPosition=view, SpecificCharacterSet="ISO_IR 192"))

    assert (selection.accepted, selection.projection, selection.remarks) == (True, projection, ())


@pytest.mark.parametrize(
    ("attributes", "remark"),
    [
        ({"ViewPosition": "XQZT"}, "The view is unknown: View Position says 'XQZT', which is not a known word."),
        ({"ViewPosition": "SUPINE"}, "View Position says 'SUPINE', which is how the patient was placed."),
        ({"ViewPosition": None}, "The view is unknown: View Position is missing."),
        (
            {"ViewPosition": None, "SeriesDescription": "Thorax XQZT"},
            "says 'Thorax XQZT', in which no known word names",
        ),
        ({"ViewPosition": None, "BodyPartExamined": "CHEST XQZT"}, "Body Part Examined says 'CHEST XQZT', in which no"),
        (
            {"ViewPosition": None, "StudyDescription": "CXR XQZT"},
            "Study Description says 'CXR XQZT', in which no known",
        ),
        ({"ViewPosition": None, "ImageType": ["ORIGINAL", "PRIMARY", "XQZT"]}, "View Position is missing."),
        ({"BodyPartExamined": None, "SeriesDescription": "XQZT"}, "Series Description says 'XQZT', in which no known"),
        ({"BodyPartExamined": None, "ProtocolName": "Wqq Zrr"}, "Protocol Name says 'Wqq Zrr', in which no known word"),
        ({"BodyPartExamined": "", "ImageType": ["ORIGINAL", "PRIMARY", "XQZT"]}, "Body Part Examined is missing."),
        ({"BodyPartExamined": "XQZT"}, "The body part is unknown: Body Part Examined says 'XQZT', which is not"),
        ({"BodyPartExamined": "ŽĄSIS", "SpecificCharacterSet": "ISO_IR 192"}, "says 'ŽĄSIS', which is not"),
        (
            {"BodyPartExamined": None, "StudyDescription": "Trauma: chest, pelvis, C-spine"},
            "The body part is unknown: Study Description 'Trauma: chest, pelvis, C-spine' names several.",
        ),
        (
            {"BodyPartExamined": None, "StudyDescription": "Chest", "ProcedureCodeSequence": [code("1", "Hand", "L")]},
            "The body part is unknown: Procedure Code 'Hand' names another than the chest.",
        ),
        ({"BodyPartExamined": "UNKNOWN"}, "The body part is unknown: Body Part Examined is missing."),
        ({"ViewPosition": "LORDOTIC"}, "The view is lordotic: "),
        ({"ViewPosition": None, "SeriesDescription": "Chest PA and lat"}, "'Chest PA and lat' names several."),
        ({"SeriesDescription": "Thorax seitlich"}, "View Position says 'PA', but Series Description"),
        ({"SeriesDescription": "HAND"}, "Body Part Examined says chest, but Series Description 'HAND' says hand."),
        ({"PatientOrientation": ["X", "Y"]}, "Patient Orientation says 'X\\\\Y', which is not two directions."),
    ],
)
def test_what_is_unknown_or_contradicts_is_called_by_its_word(attributes: dict[str, Any], remark: str) -> None:
    selection = select(chest_image(**attributes))

    assert selection.accepted
    assert len(selection.remarks) == 1
    assert remark in selection.remarks[0]


def test_a_refused_part_is_shown_with_its_accent(tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    image = chest_image(SpecificCharacterSet="ISO_IR 192")
    path.write_bytes(with_raw_element(image, "BodyPartExamined", "CS", "CRÂNE ".encode() + b" "))

    assert select(read_dataset(path)).reason == "Body Part Examined is CRÂNE, not the chest"


def test_a_site_teaches_the_rule_its_words(tmp_path: Path) -> None:
    words = tmp_path / "ours.yaml"
    words.write_text("views: {lateral: [{source: our PACS, words: [XQZT]}]}", encoding="utf-8")
    path = write_header(tmp_path / "image.dcm", chest_image(ViewPosition="XQZT"))
    ours = load_vocabulary(words)

    of_trainer = trainer.read_header(path, ours)

    assert select(read_dataset(path)).accepted
    assert of_trainer is not None
    assert (
        of_trainer.objection
        == select(read_dataset(path), ours).reason
        == ("the view is lateral (XQZT); only frontal views (PA, AP) are analysed")
    )
