"""What a report says of a finding in codes: measurement groups, evaluations, sides."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset

from patchclip_core.values.definitions import load_findings
from patchclip_node.domain.variants import ResultKind
from patchclip_node.results.facts import AnalysedImage
from tests.support.content import items
from tests.support.objects import object_of
from tests.support.synthetic import analysed, result_context

OPACITY = {"opacity": [(3, 3, 3, 3)]}


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
        probability, threshold = [item for item in group.ContentSequence if item.ValueType == "NUM"]
        assert items(probability, "Finding Site")[0].ConceptCodeSequence[0].CodeValue == "39607008"
        assert "Finding Site" not in {item.ConceptNameCodeSequence[0].CodeMeaning for item in group.ContentSequence}
        names = [item.ConceptNameCodeSequence[0].CodeMeaning for item in (probability, threshold)]
        assert names == ["lung opacity, present", "threshold"]
        assert [item.MeasuredValueSequence[0].NumericValue for item in (probability, threshold)] == [87, 50]
        for number in (probability, threshold):
            assert number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "%"


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
    (probability,) = items(edema, "pulmonary edema, present")
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


def test_a_region_keeps_its_tracking_uid_in_a_later_revision() -> None:
    first, second = (object_of(ResultKind.SR, [analysed(OPACITY)], [], result_context(revision)) for revision in (1, 2))

    uids = [items(report, "Tracking Unique Identifier")[0].UID for report in (first, second)]
    assert uids[0] == uids[1]


@pytest.mark.parametrize(
    "orientation", [["L", "F"], ["R", "F"], ["R", "H"], ["L", "H"], ["F", "R"], ["H", "L"], ["F", "L"]]
)
def test_an_image_that_is_turned_or_mirrored_with_its_header_never_swaps_left_and_right(orientation: list[str]) -> None:
    """The same patient, stored in every way: what is left stays left, in both reports."""
    image = _turned("opacity", orientation)

    sr, words = object_of(ResultKind.SR, [image]), object_of(ResultKind.TEXT_SR, [image])

    assert [item.ConceptCodeSequence[0].CodeMeaning for item in items(sr, "Laterality")] == ["Left"]
    said = [item.TextValue for item in items(words, "Findings")[1:]]
    assert [line for line in said if "patient's left" in line]
    assert not [line for line in said if "patient's right" in line]


def _turned(key: str, orientation: list[str]) -> AnalysedImage:
    """A finding in the patient's left upper lung: right and up in an image that hangs as usual (L, F)."""
    towards = {"L": (1, 0), "R": (-1, 0), "F": (0, 1), "H": (0, -1)}
    across, down = (np.array(towards[value]) for value in orientation)
    place = np.array((4, -3))  # patches from the centre, towards the patient's left and feet
    column, row = 7 + int(place @ across), 7 + int(place @ down)
    return analysed({key: [(row - 1, column - 1, 2, 2)]}, PatientOrientation=orientation, Rows=400, Columns=400)
