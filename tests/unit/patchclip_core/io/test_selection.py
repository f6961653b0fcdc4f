from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from patchclip_node.dicom.headers import read_dataset
from patchclip_node.dicom.select import select
from patchclip_trainer.data.adapters import dicom as trainer
from tests.support.headers import chest_image, code, write_header

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
