from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from highdicom.color import CIELabColor
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword

from patchclip_core.places.regions import region_mask
from patchclip_core.values.definitions import load_findings
from patchclip_node.domain.variants import ResultKind
from patchclip_node.product import MANUFACTURER
from patchclip_node.results import build_results, encode
from tests.support.content import items
from tests.support.objects import object_of, objects_of
from tests.support.synthetic import UNTRAINED, analysed, result_context

TWO = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "cardiomegaly": [(7, 5, 4, 5)], "edema": []}


def test_there_is_a_segment_for_each_present_finding_with_a_region() -> None:
    segmentation = object_of(ResultKind.SEG, analysed(TWO))

    assert segmentation.SegmentationType == "BINARY"
    assert sorted(segment.SegmentLabel for segment in segmentation.SegmentSequence) == ["cardiomegaly", "lung opacity"]


@pytest.mark.parametrize("present", [{}, {"edema": []}])
def test_without_a_region_there_is_no_segmentation(present: dict[str, list[tuple[int, int, int, int]]]) -> None:
    assert objects_of(ResultKind.SEG, analysed(present)) == []


def test_the_frames_hold_the_masks_of_the_regions() -> None:
    image = analysed(TWO, Rows=501, Columns=403)
    segmentation = object_of(ResultKind.SEG, image)

    read = dcmread(BytesIO(encode(segmentation)))

    assert (read.Rows, read.Columns) == (501, 403)
    frames = read.pixel_array
    for frame, segment in zip(frames, read.SegmentSequence, strict=True):
        key = {"lung opacity": "opacity", "cardiomegaly": "cardiomegaly"}[segment.SegmentLabel]
        expected = region_mask(image.findings[key], image.findings.geometry)
        assert expected.any()
        assert np.array_equal(frame.astype(bool), expected)


def test_a_segment_shares_its_tracking_with_the_report() -> None:
    image = analysed(TWO)
    report, segmentation = object_of(ResultKind.SR, [image]), object_of(ResultKind.SEG, image)

    groups = {
        items(group, "Tracking Unique Identifier")[0].UID: items(group, "Tracking Identifier")[0].TextValue
        for group in items(report, "Measurement Group")
    }
    for segment in segmentation.SegmentSequence:
        assert groups[segment.TrackingUID] == segment.TrackingID


def test_a_segment_has_the_findings_code_site_colour_and_algorithm() -> None:
    definition = load_findings()["cardiomegaly"]
    segmentation = object_of(ResultKind.SEG, analysed({"cardiomegaly": [(7, 5, 4, 5)]}))

    (segment,) = segmentation.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == definition.code.value
    assert segment.AnatomicRegionSequence[0].CodeValue == definition.site.value
    shown = CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue).to_rgb(clip=True)
    assert shown == pytest.approx(definition.colour_rgb, abs=1)
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmSource) == ("patchclip-test", MANUFACTURER)
    assert "sha256:abab" in algorithm.AlgorithmParameters
    assert "probability 87 %" in segment.SegmentDescription


def test_the_plane_is_the_display_convention_that_viewers_draw() -> None:
    segmentation = object_of(ResultKind.SEG, analysed(TWO))

    shared = segmentation.SharedFunctionalGroupsSequence[0]
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == [0.2, 0.2]
    assert shared.PixelMeasuresSequence[0].SliceThickness == 1
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == [0, 0, 0]
    assert segmentation.FrameOfReferenceUID.startswith("2.25.")
    assert list(segmentation.PatientOrientation) == ["L", "F"]


@pytest.mark.parametrize("present", [TWO, {"opacity": [(3, 3, 3, 3)]}])
def test_the_place_of_the_frames_is_told_as_that_of_slices(present: dict[str, list[tuple[int, int, int, int]]]) -> None:
    segmentation = object_of(ResultKind.SEG, analysed(present))

    shared, frames = segmentation.SharedFunctionalGroupsSequence[0], segmentation.PerFrameFunctionalGroupsSequence
    pointers = [index.DimensionIndexPointer for index in segmentation.DimensionIndexSequence]
    assert pointers == [tag_for_keyword("ReferencedSegmentNumber"), tag_for_keyword("ImagePositionPatient")]
    assert shared.PixelMeasuresSequence[0].SpacingBetweenSlices == 1
    assert "SegmentIdentificationSequence" not in shared
    for number, frame in enumerate(frames, 1):
        assert list(frame.FrameContentSequence[0].DimensionIndexValues) == [number, 1]
        assert frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number


def test_without_a_spacing_there_are_pixel_measures_nevertheless() -> None:
    segmentation = object_of(ResultKind.SEG, analysed(TWO, PixelSpacing=[0, 0], ImagerPixelSpacing=None))

    measures = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [1, 1]


def test_the_source_is_referenced() -> None:
    image = analysed(TWO)
    segmentation = object_of(ResultKind.SEG, image)

    (series,) = segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == image.facts.series_instance_uid
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == image.facts.sop_instance_uid


def test_lossy_compression_of_the_source_is_passed_on() -> None:
    segmentation = object_of(ResultKind.SEG, analysed(TWO, LossyImageCompression="01", LossyImageCompressionRatio="10"))

    assert (segmentation.LossyImageCompression, segmentation.LossyImageCompressionRatio) == ("01", 10)


def test_an_untrained_model_is_named_in_the_series() -> None:
    segmentation = object_of(ResultKind.SEG, analysed(TWO, UNTRAINED))

    assert "UNTRAINED" in segmentation.SeriesDescription


def test_two_images_have_a_segmentation_each_in_series_of_their_own() -> None:
    images = [analysed(TWO), analysed(TWO, SOPInstanceUID="1.2.3.9"), analysed({}, SOPInstanceUID="1.2.3.10")]

    results = build_results(images, [], result_context())

    assert [variant.kind.value for variant, _ in results] == ["sr", "seg", "seg"]
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber"):
        assert len({dataset[keyword].value for _, dataset in results}) == 3
    assert {dataset.StudyInstanceUID for _, dataset in results} == {images[0].facts.study_instance_uid}
