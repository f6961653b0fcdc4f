"""The report in words."""

from __future__ import annotations

from typing import Any

from pydicom import Dataset

from patchclip_node.domain.variants import ResultKind
from patchclip_node.results.facts import SkippedImage
from tests.support.objects import object_of
from tests.support.synthetic import CR, analysed

LUNGS: dict[str, Any] = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}


def sentences(report: Dataset) -> list[str]:
    return [
        item.TextValue
        for section in report.ContentSequence
        if section.ValueType == "CONTAINER"
        for item in section.ContentSequence
    ]


def test_a_text_report_says_what_was_found_where_and_what_was_not_analysed() -> None:
    skipped = [SkippedImage(CR, "1.2.3.5", "the view is lateral (LL)")]

    said = sentences(object_of(ResultKind.TEXT_SR, [analysed(LUNGS, remarks=("The view is unknown.",))], skipped))

    assert "lung opacity: present, probability 87 %, threshold 50 %" in said
    assert any(
        line.startswith("pleural effusion, place 1: the left of the image, the patient's right") for line in said
    )
    assert (
        "cardiomegaly: absent, probability 12 %, threshold 50 %; sensitivity 97 % (93 % to 99 %) in 210 images with "
        "it, by radiologists"
    ) in said
    assert "rib fracture: not evaluated, the model has no head for it" in said
    assert "The view is unknown." in said
    assert "Not analysed: image 1.2.3.5: the view is lateral (LL)" in said
    assert any("Not for diagnosis" in line for line in said)


def test_a_text_report_names_no_side_of_the_patient_where_the_header_does_not() -> None:
    said = sentences(object_of(ResultKind.TEXT_SR, [analysed(LUNGS, PatientOrientation=None)]))

    assert not any("the patient's right" in line or "the patient's left" in line for line in said)
    assert any("does not state the patient's side" in line for line in said)
