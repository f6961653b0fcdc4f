from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage

from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import Finding, Findings, FindingState
from patchclip_node.domain.variants import PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.results import Predecessor, build_results, numbered
from patchclip_node.results.facts import AnalysedImage, SkippedImage
from tests.support.content import items
from tests.support.objects import object_of
from tests.support.synthetic import CR, TRAINED, UNTRAINED, HashedUids, analysed, result_context

REPORTS = [
    ResultVariant(kind, language=language) for kind in (ResultKind.SR, ResultKind.TEXT_SR) for language in ("en", "de")
]
OPACITY = {"opacity": [(3, 3, 3, 3)]}


def comments(report: Dataset) -> list[str]:
    return [item.TextValue for item in items(report, "Comment")]


def lines(report: Dataset) -> list[str]:
    """The sentences of a page."""
    return [item.TextValue for item in items(report, "Finding")]


def test_a_report_is_complete_unverified_and_preliminary() -> None:
    report = object_of(ResultKind.SR, [analysed(OPACITY)])

    assert report.SOPClassUID == ComprehensiveSRStorage
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    assert "VerifyingObserverSequence" not in report


def test_each_region_of_a_present_finding_is_a_group_with_tracking_finding_site_region_and_probability() -> None:
    image = analysed({"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)]})

    report = object_of(ResultKind.SR, [image])

    groups = items(report, "Measurement Group")
    assert [items(group, "Tracking Identifier")[0].TextValue for group in groups] == [
        "lung opacity 1",
        "lung opacity 2",
    ]
    assert len({items(group, "Tracking Unique Identifier")[0].UID for group in groups}) == 2
    for group in groups:
        assert group.ContentTemplateSequence[0].TemplateIdentifier == "1410"
        assert items(group, "Finding")[0].ConceptCodeSequence[0].CodeValue == "112001"
        assert items(group, "Finding Site")[0].ConceptCodeSequence[0].CodeValue == "39607008"
        (probability,) = [item for item in group.ContentSequence if item.ValueType == "NUM"]
        assert probability.ConceptNameCodeSequence[0].CodeMeaning == "Probability of lung opacity"
        assert probability.MeasuredValueSequence[0].NumericValue == 87
        assert probability.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "%"


def test_a_region_is_a_closed_outline_of_nine_points_that_refers_to_its_image() -> None:
    image = analysed(OPACITY)
    box = image.findings["opacity"].regions[0]

    report = object_of(ResultKind.SR, [image])

    (region,) = items(report, "Image Region")
    points = list(zip(region.GraphicData[::2], region.GraphicData[1::2], strict=True))
    assert region.GraphicType == "POLYLINE"
    assert len(points) == 9
    assert points[0] == points[-1]
    assert (min(x for x, _ in points), max(x for x, _ in points)) == pytest.approx((box.x, box.x + box.w))
    assert (min(y for _, y in points), max(y for _, y in points)) == pytest.approx((box.y, box.y + box.h))
    reference = region.ContentSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == image.facts.sop_instance_uid


@pytest.mark.parametrize(
    ("orientation", "cells", "side"),
    [
        (["L", "F"], (3, 2, 3, 3), "Right"),
        (["L", "F"], (3, 9, 3, 3), "Left"),
        (["R", "F"], (3, 2, 3, 3), "Left"),
        (["LH", "FL"], (3, 2, 3, 3), "Right"),
        (["R", "H"], (3, 2, 3, 3), "Left"),
        (["L", "H"], (3, 2, 3, 3), "Right"),
        (["F", "R"], (2, 6, 3, 3), "Left"),
        (["F", "R"], (10, 6, 3, 3), "Right"),
        (["F", "L"], (2, 6, 3, 3), "Right"),
        (["H", "L"], (10, 6, 3, 3), "Left"),
        (["F", "R"], (6, 2, 2, 3), None),
        (["H", "F"], (3, 2, 3, 3), None),
        (["L", "X"], (3, 2, 3, 3), None),
        (["L", "F"], (3, 6, 3, 2), None),
        (None, (3, 2, 3, 3), None),
        (["A", "F"], (3, 2, 3, 3), None),
        (["L", "L"], (3, 2, 3, 3), None),
        (["L", "R"], (3, 2, 3, 3), None),
        (["LR", "F"], (3, 2, 3, 3), None),
        (["", "F"], (3, 2, 3, 3), None),
    ],
)
def test_the_side_is_the_patients_where_the_header_says_how_the_patient_lies(
    orientation: list[str] | None, cells: tuple[int, int, int, int], side: str | None
) -> None:
    report = object_of(ResultKind.SR, [analysed({"opacity": [cells]}, PatientOrientation=orientation)])

    assert [item.ConceptCodeSequence[0].CodeMeaning for item in items(report, "Laterality")] == ([side] if side else [])


@pytest.mark.parametrize("orientation", [None, ["A", "F"], ["F", "P"], ["L", "L"], ["L", "R"], ["", ""], "L"])
def test_where_the_header_does_not_state_a_side_the_report_says_so(orientation: list[str] | str | None) -> None:
    report = object_of(ResultKind.SR, [analysed(OPACITY, PatientOrientation=orientation)])

    assert any("image" in comment and "does not state the patient's side" in comment for comment in comments(report))


def test_an_unpaired_site_has_no_side() -> None:
    report = object_of(ResultKind.SR, [analysed({"cardiomegaly": [(7, 2, 3, 3)]})])

    assert items(report, "Finding Site")
    assert items(report, "Laterality") == []


def evaluated(report: Dataset, container: str) -> dict[str, str]:
    """Finding -> what is said of it in codes, in a container of this name."""
    (found,) = items(report, container)
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0].CodeMeaning
        for item in found.ContentSequence
        if item.ValueType == "CODE"
    }


def test_what_has_no_region_is_a_qualitative_evaluation_and_no_group() -> None:
    report = object_of(ResultKind.SR, [analysed(OPACITY | {"edema": []})])

    said = evaluated(report, "Qualitative Evaluations")

    assert len(items(report, "Measurement Group")) == 1
    assert said["Pulmonary edema"] == "Present"
    assert said["Pleural effusion"] == "Absent"
    assert said["Fracture of rib"] == "Not Attempted"
    assert len(said) == len(load_findings()) - 1


def test_an_evaluation_carries_its_probability_and_its_image() -> None:
    image = analysed(OPACITY | {"edema": []})

    report = object_of(ResultKind.SR, [image])

    (edema,) = items(report, "Pulmonary edema")
    (probability,) = items(edema, "Probability of pulmonary edema")
    assert probability.MeasuredValueSequence[0].NumericValue == 87
    (source,) = items(edema, "Source")
    assert source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.facts.sop_instance_uid


@pytest.mark.parametrize("present", [{}, OPACITY])
def test_an_evaluation_says_where_what_is_absent_was_looked_for(
    present: dict[str, list[tuple[int, int, int, int]]],
) -> None:
    report = object_of(ResultKind.SR, [analysed(present)])

    for definition in load_findings().values():
        for item in items(report, definition.code.meaning):
            (site,) = items(item, "Finding Site")
            assert site.RelationshipType == "HAS CONCEPT MOD"
            assert site.ConceptCodeSequence[0].CodeValue == definition.site.value
    assert len(items(report, "Finding Site")) == len(load_findings())


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
    assert any(line.startswith(f"pulmonary edema: {state.lower()}, probability") for line in lines(report))
    assert "Research software. Not for diagnosis." in [item.TextValue for item in items(report, "Summary")[1:]]
    assert items(report, "Algorithm Name")[0].TextValue == "patchclip-test"
    assert items(report, "Measurement Group") == []


def test_every_image_of_a_page_stands_below_what_is_said_of_it_and_has_no_name() -> None:
    image = analysed({"edema": []})

    report = object_of(ResultKind.SR, [image])

    assert "IMAGE" not in {item.ValueType for item in report.ContentSequence}
    (findings,) = items(report, "Findings")
    assert {item.ValueType for item in findings.ContentSequence} == {"TEXT", "CODE"}
    for item in findings.ContentSequence:
        (named,) = (below for below in item.ContentSequence if below.ValueType == "IMAGE")
        assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.facts.sop_instance_uid
        assert "ConceptNameCodeSequence" not in named


def test_a_study_in_which_one_image_has_a_region_is_measured() -> None:
    images = [analysed({}), analysed(OPACITY, SOPInstanceUID="1.2.3.9")]

    report = object_of(ResultKind.SR, images)

    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_the_reason_why_a_finding_was_not_evaluated_is_told() -> None:
    report = object_of(ResultKind.SR, [analysed(OPACITY)])

    assert "rib fracture: not evaluated, the model has no head for it" in comments(report)


def test_a_free_text_finding_is_marked_as_experimental() -> None:
    image = analysed({})
    asked = Finding("opacity", FindingState.PRESENT, 0.7, 0.5, experimental=True)
    findings = Findings((asked,), image.findings.geometry, TRAINED)

    report = object_of(ResultKind.SR, [replace(image, findings=findings)])

    assert any("experimental" in line for line in lines(report))


def test_every_report_says_that_it_is_research_and_an_untrained_model_says_so_first() -> None:
    trained, untrained = (object_of(ResultKind.SR, [analysed(OPACITY, model)]) for model in (TRAINED, UNTRAINED))

    assert comments(trained)[0] == "Research software. Not for diagnosis."
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


def test_contributing_equipment_names_the_acquisition_device_and_this_product_with_its_weights() -> None:
    report = object_of(ResultKind.SR, [analysed(OPACITY)])

    acquisition, product = report.ContributingEquipmentSequence
    assert (acquisition.Manufacturer, acquisition.ManufacturerModelName) == ("Somebody", "Detector 1")
    assert (product.Manufacturer, product.ManufacturerModelName) == (MANUFACTURER, PRODUCT_NAME)
    assert list(product.SoftwareVersions) == [PRODUCT_VERSION, "patchclip-test 1.2.3"]
    assert TRAINED.weights_digest in product.ContributionDescription


def test_other_weights_are_another_device_and_other_results() -> None:
    other = replace(TRAINED, weights_digest="sha256:" + "ef" * 32)
    one, two = (object_of(ResultKind.SR, [analysed(OPACITY, model)]) for model in (TRAINED, other))

    assert one.ContributingEquipmentSequence[-1].DeviceUID != two.ContributingEquipmentSequence[-1].DeviceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.SeriesInstanceUID != two.SeriesInstanceUID


@pytest.mark.parametrize("variant", REPORTS, ids=lambda variant: variant.key)
def test_a_report_of_a_later_revision_has_other_uids_and_names_the_earlier_one_of_its_variant(
    variant: ResultVariant,
) -> None:
    """Not the one in another language or of another kind, which its destination may never have got."""
    everything = [*REPORTS, ResultVariant(ResultKind.SEG, PlaneGeometry.IDENTITY)]
    before = build_results([analysed(OPACITY)], [], result_context(), everything)
    earlier = tuple(
        Predecessor(each.key, report.SOPClassUID, report.SOPInstanceUID, report.SeriesInstanceUID)
        for each, report in before
    )

    ((_, second),) = build_results([analysed(OPACITY)], [], result_context(2, earlier), [variant])

    (first,) = (report for each, report in before if each == variant)
    assert second.SOPInstanceUID != first.SOPInstanceUID
    (study,) = second.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == [first.SOPInstanceUID]


def test_a_region_keeps_its_tracking_uid_in_a_later_revision() -> None:
    first, second = (object_of(ResultKind.SR, [analysed(OPACITY)], [], result_context(revision)) for revision in (1, 2))

    uids = [items(report, "Tracking Unique Identifier")[0].UID for report in (first, second)]
    assert uids[0] == uids[1]


def test_the_evidence_is_the_analysed_images() -> None:
    images = [analysed(OPACITY), analysed({}, SOPInstanceUID="1.2.3.9")]

    report = object_of(ResultKind.SR, images)

    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    referenced = [
        item.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert sorted(referenced) == sorted(image.facts.sop_instance_uid for image in images)


def test_with_two_images_each_sentence_names_its_image() -> None:
    images = numbered([analysed(OPACITY), analysed({}, SOPInstanceUID="1.2.3.9")])

    report = object_of(ResultKind.SR, images)

    assert any(comment.startswith("Image 1: lung opacity: present") for comment in comments(report))
    assert any(comment.startswith("Image 2: lung opacity: absent") for comment in comments(report))


def test_the_order_is_passed_on() -> None:
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP1", "SPS1"

    report = object_of(ResultKind.SR, [analysed({}, RequestAttributesSequence=[request])])

    (item,) = report.ReferencedRequestSequence
    assert (item.RequestedProcedureID, item.AccessionNumber) == ("RP1", "A100")


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


@pytest.mark.parametrize(
    ("attributes", "date", "time"),
    [
        ({}, "20260102", "110000.123456"),
        ({"TimezoneOffsetFromUTC": "-1130"}, "20260101", "233000.123456"),
        ({"TimezoneOffsetFromUTC": "+0900"}, "20260102", "200000.123456"),
        ({"TimezoneOffsetFromUTC": "-1200"}, "20260101", "230000.123456"),
        ({"TimezoneOffsetFromUTC": "+1400"}, "20260103", "010000.123456"),
    ],
)
def test_times_are_in_the_zone_of_the_source(attributes: dict[str, Any], date: str, time: str) -> None:
    report = object_of(ResultKind.SR, [analysed({}, **attributes)])

    assert (report.ContentDate, report.ContentTime) == (date, time)
    assert (report.InstanceCreationDate, report.SeriesDate) == (date, date)
    assert report.get("TimezoneOffsetFromUTC") == attributes.get("TimezoneOffsetFromUTC")


@pytest.mark.parametrize("offset", ["+9999", "-1201", "+1401", "+0160", "0100", "CET"])
def test_a_time_zone_that_no_place_has_counts_as_absent(offset: str) -> None:
    report = object_of(ResultKind.SR, [analysed({}, TimezoneOffsetFromUTC=offset)])

    assert (report.ContentDate, report.ContentTime) == ("20260102", "110000.123456")
    assert "TimezoneOffsetFromUTC" not in report


def test_nothing_comes_from_the_systems_clock() -> None:
    context = replace(result_context(), now=datetime(1999, 12, 31, 23, 59, tzinfo=UTC), uids=HashedUids())

    report = object_of(ResultKind.SR, [analysed(OPACITY)], [], context)

    today = datetime.now(UTC).strftime("%Y%m%d")
    assert not [
        element for element in report.iterall() if element.VR in {"DA", "DT"} and str(element.value).startswith(today)
    ]


@pytest.mark.parametrize(
    "orientation", [["L", "F"], ["R", "F"], ["R", "H"], ["L", "H"], ["F", "R"], ["H", "L"], ["F", "L"]]
)
def test_an_image_that_is_turned_or_mirrored_with_its_header_never_swaps_left_and_right(orientation: list[str]) -> None:
    """The same patient, stored in every way: what is left stays left, in both reports."""
    image = _turned("opacity", orientation)

    sr, words = object_of(ResultKind.SR, [image]), object_of(ResultKind.TEXT_SR, [image])

    assert [item.ConceptCodeSequence[0].CodeMeaning for item in items(sr, "Laterality")] == ["Left"]
    said = [item.TextValue for item in items(words, "Finding")]
    assert [line for line in said if "the patient's left" in line]
    assert not [line for line in said if "the patient's right" in line]


def _turned(key: str, orientation: list[str]) -> AnalysedImage:
    """A finding in the patient's left upper lung: right and up in an image that hangs as usual (L, F)."""
    towards = {"L": (1, 0), "R": (-1, 0), "F": (0, 1), "H": (0, -1)}
    across, down = (np.array(towards[value]) for value in orientation)
    place = np.array((4, -3))  # patches from the centre, towards the patient's left and feet
    column, row = 7 + int(place @ across), 7 + int(place @ down)
    return analysed({key: [(row - 1, column - 1, 2, 2)]}, PatientOrientation=orientation, Rows=400, Columns=400)
