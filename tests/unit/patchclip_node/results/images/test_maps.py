"""Fractional segmentations and parametric maps: the model's map, value by value."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread

from patchclip_core.places.regions import probability_surface
from patchclip_core.values.definitions import load_findings
from patchclip_node.domain.variants import ResultKind
from patchclip_node.results import encode
from tests.support.objects import object_of, objects_of
from tests.support.synthetic import analysed

LUNGS = {"opacity": [(3, 3, 3, 3)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}


def test_a_fractional_segmentation_holds_the_interpolated_map_of_each_segment() -> None:
    image = analysed(LUNGS, Rows=501, Columns=403)
    segmentation = object_of(ResultKind.FRACTIONAL_SEG, image)

    read = dcmread(BytesIO(encode(segmentation)))

    assert (read.SegmentationType, read.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert read.MaximumFractionalValue == 255
    mapped = [finding for finding in image.findings.found if finding.patch_map is not None]
    assert [segment.TrackingID for segment in read.SegmentSequence] == [
        f"{load_findings()[finding.key].name} 1" for finding in mapped
    ]
    for frame, finding in zip(read.pixel_array, mapped, strict=True):
        assert finding.patch_map is not None
        expected = probability_surface(finding.patch_map, image.findings.geometry, 501, 403)
        assert np.abs(frame / 255 - expected).max() <= 0.5 / 255 + 1e-6


def test_a_parametric_map_holds_the_patch_probabilities_of_every_evaluated_finding() -> None:
    image = analysed(LUNGS)
    result = object_of(ResultKind.PARAMETRIC_MAP, image)

    read = dcmread(BytesIO(encode(result)))

    mapped = [finding for finding in image.findings if finding.patch_map is not None]
    frames = np.frombuffer(read.FloatPixelData, "<f4").reshape(read.NumberOfFrames, read.Rows, read.Columns)
    assert len(mapped) == len(frames)
    for frame, group, finding in zip(frames, read.PerFrameFunctionalGroupsSequence, mapped, strict=True):
        assert np.array_equal(frame, np.asarray(finding.patch_map))
        mapping = group.RealWorldValueMappingSequence[0]
        assert mapping.LUTLabel == finding.key
        assert mapping.QuantityDefinitionSequence[1].ConceptCodeSequence[0].CodeValue == (
            load_findings()[finding.key].code.value
        )


@pytest.mark.parametrize("spacing", [[0.2, 0.1], None])
def test_the_patches_of_a_parametric_map_lie_on_the_plane_of_the_segmentation(spacing: list[float] | None) -> None:
    image = analysed(LUNGS, PixelSpacing=spacing, ImagerPixelSpacing=None)
    geometry = image.findings.geometry

    segmentation, parametric = object_of(ResultKind.SEG, image), object_of(ResultKind.PARAMETRIC_MAP, image)

    assert segmentation.FrameOfReferenceUID == parametric.FrameOfReferenceUID
    source = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    shared = parametric.SharedFunctionalGroupsSequence[0]
    pitch = shared.PixelMeasuresSequence[0].PixelSpacing
    x_mm, y_mm, _ = shared.PlanePositionSequence[0].ImagePositionPatient
    for row, column in ((0, 0), (5, 9)):
        x, y = geometry.patch_centre(row, column)
        assert (x_mm + column * pitch[1]) / source[1] + 0.5 == pytest.approx(x, abs=1e-3)
        assert (y_mm + row * pitch[0]) / source[0] + 0.5 == pytest.approx(y, abs=1e-3)


def test_where_no_finding_has_a_map_there_are_no_maps() -> None:
    image = analysed({"edema": []})
    findings = replace(
        image.findings, items=tuple(replace(item, patch_map=None, regions=()) for item in image.findings.items)
    )

    assert objects_of(ResultKind.FRACTIONAL_SEG, replace(image, findings=findings)) == []
    assert objects_of(ResultKind.PARAMETRIC_MAP, replace(image, findings=findings)) == []
