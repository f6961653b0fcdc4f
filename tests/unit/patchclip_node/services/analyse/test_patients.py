"""Whose the images of a study are."""

from __future__ import annotations

import pytest
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR

from patchclip_node.domain.states import StudyState
from patchclip_node.services.analyse.patients import Patient, two_patients
from tests.support.bench import Bench, summary_of

JANE = {
    "PatientID": "A",
    "IssuerOfPatientID": "HOSPITAL",
    "PatientBirthDate": "19700101",
    "PatientName": "Doe^Jane^^Mrs=山田^花子",
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PatientID": "B"}, "patient IDs A and B"),
        ({"IssuerOfPatientID": "CLINIC"}, "two issuers of patient IDs"),
        ({"PatientBirthDate": "19700102"}, "two birth dates"),
        ({"PatientName": "Doe^John", "PatientBirthDate": ""}, "two patient names"),
        ({"PatientName": "Doe^Jane^Mary", "PatientID": ""}, None),  # a middle name that only one states
        ({"PatientName": "Roe^Jane"}, None),  # the same Patient ID and birth date: a name may change
        ({"PatientName": "DOE ^JANE^^"}, None),
        ({"PatientName": "=山田^花子", "PatientBirthDate": ""}, None),
        ({"PatientName": "=山田^太郎", "PatientBirthDate": ""}, "two patient names"),
        ({"PatientName": "", "IssuerOfPatientID": "", "PatientBirthDate": ""}, None),
        ({"PatientID": "", "PatientName": "Roe^Jane"}, "two patient names"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_images_that_contradict_each_other_reject_the_study(
    bench: Bench, changes: dict[str, str], words: str | None, order: int
) -> None:
    for name, attributes in [("one.dcm", JANE), ("two.dcm", JANE | changes)][::order]:
        bench.arrive(name, **attributes)

    bench.run_one()

    if words is None:
        assert bench.study().state is StudyState.ANALYSED
        assert len(summary_of(bench.study()).images) == 2
    else:
        assert bench.study().state is StudyState.REJECTED
        as_they_came = words if order == 1 else words.replace("A and B", "B and A")
        assert f"different patients ({as_they_came})" in (bench.study().reason or "")


def patient(**attributes: str) -> Patient:
    """What an image states, as it was received: no value is checked."""
    source = Dataset()
    for keyword, value in attributes.items():
        source.add(DataElement(keyword, dictionary_VR(keyword), value, validation_mode=IGNORE))
    return Patient.of(source)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        *(("PatientBirthDate", junk) for junk in ("\x01", "1970", "19701301", "unknown", "1970.01.01", "19700101\0")),
        *((keyword, "\x01 \x1b") for keyword in JANE),
    ],
)
def test_what_states_nothing_readable_contradicts_nobody(keyword: str, value: str) -> None:
    assert two_patients([patient(**JANE), patient(**JANE | {keyword: value})]) is None


@pytest.mark.parametrize("order", [1, -1])
def test_an_image_without_a_patient_is_left_out_beside_one_with(bench: Bench, order: int) -> None:
    named = {"PatientID": "", "PatientName": "Doe^Jane"}, {"PatientID": "", "PatientName": "", "PatientBirthDate": ""}
    uids = [bench.arrive(f"{number}.dcm", **attributes) for number, attributes in enumerate(named[::order])][::order]

    bench.run_one()

    summary = summary_of(bench.study())
    assert [image.sop_instance_uid for image in summary.images] == [uids[0]]
    assert [(one.sop_instance_uid, one.reason[:27]) for one in summary.skipped] == [
        (uids[1], "the image names no patient,")
    ]


def test_a_study_without_any_patient_is_analysed(bench: Bench) -> None:
    for name in ("one.dcm", "two.dcm"):
        bench.arrive(name, PatientID="", PatientName="")

    bench.run_one()

    assert len(summary_of(bench.study()).images) == 2
