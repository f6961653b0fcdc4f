"""The report in words."""

from __future__ import annotations

from typing import Any

from pydicom import Dataset

from patchclip_node.domain.variants import ResultKind
from patchclip_node.results.facts import SkippedImage
from tests.support.content import items
from tests.support.objects import object_of
from tests.support.synthetic import CR, TRAINED, UNTRAINED, analysed

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

    assert said[0] == (
        "lung opacity: present (patient's right, upper half; patient's left, lower half); probability 87 %, "
        "threshold 50 %"
    )
    assert "pleural effusion: present (patient's right, lower half); probability 87 %, threshold 50 %" in said
    assert "pulmonary edema: present (no place marked); probability 87 %, threshold 50 %" in said
    assert (
        "cardiomegaly: absent; probability 12 %, threshold 50 %; sensitivity 97 % (93 % to 99 %) in 210 images with "
        "it, by radiologists"
    ) in said
    assert "rib fracture: not evaluated; the model has no head for it" in said
    assert "The view is unknown." in said
    assert "Not analysed: image 1.2.3.5: the view is lateral (LL)" in said
    assert sum("Not for diagnosis" in line for line in said) == 1


def test_a_page_begins_with_its_findings_unless_the_model_is_untrained() -> None:
    trained, untrained = (
        sentences(object_of(ResultKind.TEXT_SR, [analysed(LUNGS, model)])) for model in (TRAINED, UNTRAINED)
    )

    assert trained[0].startswith("lung opacity: present")
    assert untrained[1].startswith("UNTRAINED MODEL")


def test_no_line_is_named_finding_since_ohif_wraps_none_that_is() -> None:
    report = object_of(ResultKind.TEXT_SR, [analysed(LUNGS)])

    assert items(report, "Finding") == []
    assert len(items(report, "Findings")) > len(LUNGS)


def test_a_text_report_names_no_side_of_the_patient_where_the_header_does_not() -> None:
    said = sentences(object_of(ResultKind.TEXT_SR, [analysed(LUNGS, PatientOrientation=None)]))

    assert not any("patient's right" in line or "patient's left" in line for line in said)
    assert any("left of the image" in line for line in said)
    assert any("does not state the patient's side" in line for line in said)
