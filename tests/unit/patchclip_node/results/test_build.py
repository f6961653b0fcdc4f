"""The same input gives the same complete files."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian

from patchclip_node.dicom.headers import issued_by_product
from patchclip_node.dicom.storage import RESULT_SOP_CLASSES, SECONDARY_CAPTURE
from patchclip_node.product import IMPLEMENTATION_CLASS_UID
from patchclip_node.results import build_results, encode
from patchclip_node.results.build import BUILDERS
from tests.support.synthetic import (
    analysed,
    result_context,
    source_image,
)

LUNGS = {"opacity": [(3, 3, 3, 3)], "cardiomegaly": [(7, 5, 4, 5)]}


def test_the_same_input_gives_the_same_bytes() -> None:
    one, two = (
        [encode(dataset) for _, dataset in build_results([analysed(LUNGS)], [], result_context())] for _ in range(2)
    )

    assert len(one) == 2
    assert one == two


def test_no_uid_is_random() -> None:
    image = analysed(LUNGS)

    uids = [
        [str(element.value) for element in dataset.iterall() if element.VR == "UI"]
        for _ in range(2)
        for _, dataset in build_results([image], [], result_context())
    ]

    assert uids[:2] == uids[2:]


def test_an_encoded_result_is_a_complete_file_that_names_this_product() -> None:
    for _, dataset in build_results([analysed(LUNGS)], [], result_context()):
        content = encode(dataset)
        read = dcmread(BytesIO(content))
        assert content[128:132] == b"DICM"
        assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID
        assert read.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
        assert issued_by_product(read)


@pytest.mark.parametrize(
    "keyword",
    [
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientAge",
        "PatientSize",
        "PatientWeight",
        "StudyInstanceUID",
        "StudyID",
        "StudyDate",
        "StudyTime",
        "StudyDescription",
        "AccessionNumber",
        "ReferringPhysicianName",
    ],
)
def test_every_result_is_in_the_context_of_its_patient_and_study(keyword: str) -> None:
    image = analysed(LUNGS)

    for _, dataset in build_results([image], [], result_context()):
        assert dataset[keyword].value == source_image()[keyword].value


def test_results_need_no_torch() -> None:
    program = "import patchclip_node.results, patchclip_core.drawing, sys; assert 'torch' not in sys.modules"

    run = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)

    assert run.returncode == 0, run.stderr


def test_the_receiver_takes_back_each_class_that_is_built() -> None:
    built = {str(builder.sop_class_uid) for builder in BUILDERS.values()}

    assert built == {SECONDARY_CAPTURE, *RESULT_SOP_CLASSES}
    assert {uid: UID(uid).name for uid in RESULT_SOP_CLASSES} == RESULT_SOP_CLASSES
