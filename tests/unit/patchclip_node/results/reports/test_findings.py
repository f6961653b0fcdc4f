"""The structured report: its two forms, its sentences, its algorithm and image library."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage

from patchclip_core.values.results import Finding, Findings, FindingState
from patchclip_node.domain.variants import ResultKind
from patchclip_node.results import numbered
from patchclip_node.results.facts import SkippedImage
from tests.support.content import items
from tests.support.objects import object_of
from tests.support.synthetic import CR, MISSES_MANY, TRAINED, UNTRAINED, analysed, not_seen

OPACITY = {"opacity": [(3, 3, 3, 3)]}


def comments(report: Dataset) -> list[str]:
    return [item.TextValue for item in items(report, "Comment")]


def lines(report: Dataset) -> list[str]:
    """The sentences of a page."""
    return [item.TextValue for item in items(report, "Findings") if item.ValueType == "TEXT"]


@pytest.mark.parametrize("orientation", [None, ["A", "F"], ["F", "P"], ["L", "L"], ["L", "R"], ["", ""], "L"])
def test_where_the_header_does_not_state_a_side_the_report_says_so(orientation: list[str] | str | None) -> None:
    report = object_of(ResultKind.SR, [analysed(OPACITY, PatientOrientation=orientation)])

    assert any("image" in comment and "does not state the patient's side" in comment for comment in comments(report))


def evaluated(report: Dataset, container: str) -> dict[str, str]:
    """Finding -> what is said of it in codes, in a container of this name."""
    found = items(report, container)[0]
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0].CodeMeaning
        for item in found.ContentSequence
        if item.ValueType == "CODE"
    }


@pytest.mark.parametrize("present", [{}, {"edema": []}])
def test_a_report_without_a_region_is_a_page_that_says_the_same_in_words_and_codes(
    present: dict[str, list[tuple[int, int, int, int]]],
) -> None:
    image = analysed(present)

    report = object_of(ResultKind.SR, [image])

    state = "Present" if present else "Absent"
    assert report.SOPClassUID == ComprehensiveSRStorage
    assert report.ConceptNameCodeSequence[0].CodeMeaning == "Diagnostic Imaging Report"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "2000"
    assert evaluated(report, "Findings")["Pulmonary edema"] == state
    assert any(line.startswith(f"pulmonary edema: {state.lower()}") for line in lines(report))
    assert "Research software. Not for diagnosis." in [item.TextValue for item in items(report, "Summary")[1:]]
    assert items(report, "Algorithm Name")[0].TextValue == "patchclip-test"
    assert items(report, "Measurement Group") == []


def test_every_image_of_a_page_stands_below_what_is_said_of_it_and_has_no_name() -> None:
    image = analysed({"edema": []})

    report = object_of(ResultKind.SR, [image])

    assert "IMAGE" not in {item.ValueType for item in report.ContentSequence}
    findings = items(report, "Findings")[0]
    assert {item.ValueType for item in findings.ContentSequence} == {"TEXT", "CODE"}
    for item in findings.ContentSequence:
        (named,) = (below for below in item.ContentSequence if below.ValueType == "IMAGE")
        assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.facts.sop_instance_uid
        assert "ConceptNameCodeSequence" not in named


def test_a_study_in_which_one_image_has_a_region_is_measured() -> None:
    images = [analysed({}), analysed(OPACITY, SOPInstanceUID="1.2.3.9")]

    report = object_of(ResultKind.SR, images)

    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"


@pytest.mark.parametrize("present", [{}, OPACITY])
def test_what_the_model_often_misses_is_undetermined_and_never_absent(
    present: dict[str, list[tuple[int, int, int, int]]],
) -> None:
    image = analysed(present)
    items_of = {item.key: item for item in image.findings}
    items_of["edema"] = not_seen("edema", MISSES_MANY, ("nodule_mass",))
    findings = Findings(tuple(items_of.values()), image.findings.geometry, TRAINED)

    report = object_of(ResultKind.SR, [replace(image, findings=findings)])

    said = evaluated(report, "Qualitative Evaluations" if present else "Findings")
    assert said["Pulmonary edema"] == "Undetermined"
    assert said["Cardiomegaly"] == "Absent"
    (words,) = (line for line in (comments if present else lines)(report) if line.startswith("pulmonary edema"))
    assert words == (
        "pulmonary edema: not seen by this model; probability 16 %, threshold 55 %; sensitivity 64 % (54 % to 73 %) in "
        "144 images with it, by radiologists; could be seen as it, and is not evaluated: lung nodule or mass"
    )
    parameters = [item.TextValue for item in items(report, "Algorithm Parameters")]
    assert "sensitivity 64 % (54 % to 73 %) of edema" in parameters


def test_the_reason_why_a_finding_was_not_evaluated_is_told() -> None:
    report = object_of(ResultKind.SR, [analysed(OPACITY)])

    assert "rib fracture: not evaluated; the model has no head for it" in comments(report)


def test_a_free_text_finding_is_marked_as_experimental() -> None:
    image = analysed({})
    asked = Finding("opacity", FindingState.PRESENT, 0.7, 0.5, experimental=True)
    findings = Findings((asked,), image.findings.geometry, TRAINED)

    report = object_of(ResultKind.SR, [replace(image, findings=findings)])

    assert any("experimental" in line for line in lines(report))


def test_every_report_says_that_it_is_research_and_an_untrained_model_says_so_first() -> None:
    trained, untrained = (object_of(ResultKind.SR, [analysed(OPACITY, model)]) for model in (TRAINED, UNTRAINED))

    assert comments(trained).count("Research software. Not for diagnosis.") == 1
    assert comments(trained)[0].startswith("lung opacity: present")
    assert not any("UNTRAINED" in comment for comment in comments(trained))
    assert comments(untrained)[1].startswith("UNTRAINED MODEL")
    assert "UNTRAINED" in untrained.SeriesDescription


def test_skipped_images_and_remarks_are_told() -> None:
    skipped = SkippedImage(CR, "1.2.3.77", "the view is lateral (LL)")

    report = object_of(ResultKind.SR, [analysed(OPACITY, remarks=("The view is unknown.",))], [skipped])

    assert "Not analysed: image 1.2.3.77: the view is lateral (LL)" in comments(report)
    assert "The view is unknown." in comments(report)


def test_the_algorithm_is_identified_with_its_weights_and_operating_points() -> None:
    report = object_of(ResultKind.SR, [analysed(OPACITY)])

    at_root = [
        item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning == "Algorithm Parameters"
    ]
    parameters = [item.TextValue for item in at_root]
    assert items(report, "Algorithm Name")[0].TextValue == TRAINED.name
    assert items(report, "Algorithm Version")[0].TextValue == TRAINED.version
    assert f"weights {TRAINED.weights_digest}" in parameters
    assert "operating point of opacity: 0.500" in parameters


def test_with_two_images_each_sentence_names_its_image() -> None:
    images = numbered([analysed(OPACITY), analysed({}, SOPInstanceUID="1.2.3.9")])

    report = object_of(ResultKind.SR, images)

    assert any(comment.startswith("Image 1: lung opacity: present") for comment in comments(report))
    assert any(comment.startswith("Image 2: lung opacity: absent") for comment in comments(report))


def test_the_image_library_states_what_the_header_states_and_no_more() -> None:
    full = object_of(ResultKind.SR, [analysed(OPACITY)])
    bare = object_of(
        ResultKind.SR,
        [analysed(OPACITY, PatientOrientation=None, PixelSpacing=[0, 0], ImagerPixelSpacing=None)],
    )

    assert items(full, "Horizontal Pixel Spacing")[0].MeasuredValueSequence[0].NumericValue == 0.2
    assert items(full, "Patient Orientation Row")[0].TextValue == "L"
    assert items(bare, "Horizontal Pixel Spacing") == []
    assert items(bare, "Patient Orientation Row") == []
    assert items(bare, "Pixel Data Rows")[0].MeasuredValueSequence[0].NumericValue == 500


def test_a_report_without_an_analysed_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one analysed image"):
        object_of(ResultKind.SR, [])
