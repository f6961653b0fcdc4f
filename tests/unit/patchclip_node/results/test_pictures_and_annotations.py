"""Secondary captures, presentation states, key objects and text reports: what they say, and where."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from patchclip_core.values.definitions import load_findings
from patchclip_node.domain.variants import PictureStyle, PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.results import build_results, encode
from patchclip_node.results.facts import Picture, SkippedImage
from tests.support.content import items
from tests.support.objects import object_of, objects_of
from tests.support.synthetic import CR, TRAINED, UNTRAINED, analysed, result_context, with_overlay

LUNGS: dict[str, Any] = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}


def gsps(present: dict[str, Any], **attributes: Any) -> Dataset:
    return object_of(ResultKind.GSPS, analysed(present, **attributes))


def texts(state: Dataset) -> list[str]:
    return [
        label.UnformattedTextValue
        for annotation in state.GraphicAnnotationSequence
        for label in annotation.get("TextObjectSequence", ())
    ]


def sentences(report: Dataset) -> list[str]:
    return [
        item.TextValue
        for section in report.ContentSequence
        if section.ValueType == "CONTAINER"
        for item in section.ContentSequence
    ]


def test_a_picture_is_the_overlay_pixel_by_pixel_at_no_more_than_1600_pixels() -> None:
    image = with_overlay(analysed(LUNGS, Rows=400, Columns=500))

    read = dcmread(BytesIO(encode(object_of(ResultKind.SC, image))))

    assert 1595 <= max(read.Rows, read.Columns) <= 1600
    assert read.pixel_array.tobytes() == image.pictures[PictureStyle()].rgb


def test_a_picture_shows_a_findings_colour_on_its_outline_and_not_elsewhere() -> None:
    image = with_overlay(analysed({"opacity": [(3, 3, 3, 3)]}, Rows=400, Columns=400))
    capture = object_of(ResultKind.SC, image)
    pixels = np.frombuffer(capture.PixelData, np.uint8)[: capture.Rows * capture.Columns * 3]
    picture = pixels.reshape(capture.Rows, capture.Columns, 3).astype(int)

    colour = np.array(load_findings()["opacity"].colour_rgb)
    side_px = capture.Rows
    rows, columns = np.nonzero((np.abs(picture[:, :side_px] - colour) < 30).all(axis=2))

    (region,) = image.findings["opacity"].regions
    half_a_patch_px = side_px / 28
    assert columns.min() == pytest.approx(region.x * side_px / 400, abs=half_a_patch_px)
    assert columns.max() == pytest.approx((region.x + region.w) * side_px / 400, abs=half_a_patch_px)
    assert rows.max() == pytest.approx((region.y + region.h) * side_px / 400, abs=half_a_patch_px)


def test_a_picture_of_odd_size_has_pixel_data_of_even_length() -> None:
    odd = Picture(rows=5, columns=3, rgb=bytes(45))

    capture = object_of(ResultKind.SC, replace(analysed(LUNGS), pictures={PictureStyle(): odd}))

    assert len(capture.PixelData) == 46


def test_a_picture_needs_its_overlay() -> None:
    with pytest.raises(ValueError, match="was not drawn as sc"):
        object_of(ResultKind.SC, analysed(LUNGS))


@pytest.mark.parametrize(("stated", "said"), [("YES", "YES"), ("NO", "NO"), (None, None)])
def test_a_picture_says_of_burned_in_identity_what_its_source_says(stated: str | None, said: str | None) -> None:
    capture = object_of(ResultKind.SC, with_overlay(analysed(LUNGS, BurnedInAnnotation=stated)))

    assert capture.get("BurnedInAnnotation") == said


def test_a_picture_of_an_untrained_model_says_so_in_its_series() -> None:
    capture = object_of(ResultKind.SC, with_overlay(analysed(LUNGS, UNTRAINED)))

    assert "UNTRAINED" in capture.SeriesDescription


def test_a_presentation_state_outlines_the_mask_of_every_finding_in_source_pixels() -> None:
    image = analysed(LUNGS)
    state = object_of(ResultKind.GSPS, image)

    drawn = [
        np.reshape(graphic.GraphicData, (-1, 2))
        for annotation in state.GraphicAnnotationSequence
        for graphic in annotation.get("GraphicObjectSequence", ())
    ]
    boxes = sorted([*points.min(axis=0), *points.max(axis=0)] for points in drawn)
    regions = [region for finding in image.findings for region in finding.regions]
    expected = sorted([region.x, region.y, region.x + region.w, region.y + region.h] for region in regions)
    assert np.abs(np.array(boxes) - np.array(expected)).max() <= 2
    assert all(len(points) > 5 for points in drawn)  # more than a box
    assert all(tuple(points[0]) == tuple(points[-1]) for points in drawn)


def test_a_presentation_state_labels_places_and_lists_what_has_none() -> None:
    state = gsps(LUNGS)

    assert "lung opacity 87 % (threshold 50 %)" in texts(state)
    assert "pleural effusion 87 % (threshold 50 %)" in texts(state)
    (notice,) = [text for text in texts(state) if "Not for diagnosis" in text]
    assert "pulmonary edema: present, probability 87 %" in notice


def notice(state: Dataset) -> Dataset:
    said: list[Dataset] = [
        label
        for annotation in state.GraphicAnnotationSequence
        for label in annotation.get("TextObjectSequence", ())
        if "BoundingBoxTopLeftHandCorner" in label
    ]
    assert len(said) == 1
    return said[0]


def test_a_notice_has_the_lines_that_its_1024_characters_have_room_for() -> None:
    """The research statement comes first; one line that is too long does not take those after it away."""
    remarks = tuple(f"Remark {number}: {'x' * 90}." for number in range(20))
    for statement in ("short", "long " * 300):
        state = object_of(ResultKind.GSPS, analysed(LUNGS, replace(TRAINED, statement=statement), remarks))

        assert state is not None
        said = notice(state).UnformattedTextValue
        lines = said.split("\r\n")
        assert len(said) <= 1024
        assert lines[0] == "AI: Research software. Not for diagnosis."
        assert any(line.startswith("pulmonary edema: present") and line.endswith("no place") for line in lines)
        assert remarks[0] in lines
        assert set(lines) & set(remarks) < set(remarks)


@pytest.mark.parametrize(("language", "begin"), [("de", "KI: Forschungssoftware."), ("fr", "IA : Logiciel de")])
def test_a_notice_says_in_its_language_that_it_is_artificial(language: str, begin: str) -> None:
    state = object_of(ResultKind.GSPS, analysed(LUNGS), language=language)

    assert notice(state).UnformattedTextValue.startswith(begin)


@pytest.mark.parametrize(("row", "top"), [(0, 0.8), (1, 0.8), (6, 0.02), (12, 0.02)])
def test_a_notice_lies_where_it_hides_no_place(row: int, top: float) -> None:
    state = gsps({"opacity": [(row, 3, 2, 3)]}, Rows=400, Columns=400)

    assert notice(state).BoundingBoxTopLeftHandCorner == [0.02, top]
    assert notice(state).BoundingBoxBottomRightHandCorner == pytest.approx([0.98, top + 0.18])


def test_a_notice_would_sooner_hide_an_outline_than_a_label() -> None:
    state = gsps({"opacity": [(0, 3, 3, 3)], "pleural_effusion": [(10, 2, 3, 3)]}, Rows=400, Columns=400)

    assert notice(state).BoundingBoxTopLeftHandCorner == [0.02, 0.8]


def test_every_layer_that_is_drawn_on_is_declared_once() -> None:
    state = gsps(LUNGS)

    declared = [layer.GraphicLayer for layer in state.GraphicLayerSequence]
    assert len(set(declared)) == len(declared)
    assert {annotation.GraphicLayer for annotation in state.GraphicAnnotationSequence} == set(declared)


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")])
def test_a_presentation_state_keeps_the_polarity_of_its_source(photometric: str, shape: str) -> None:
    assert gsps(LUNGS, PhotometricInterpretation=photometric).PresentationLUTShape == shape


def test_a_presentation_state_keeps_the_first_window_and_the_rescaling() -> None:
    state = gsps(
        LUNGS,
        WindowCenter=[2000, 1000],
        WindowWidth=[3000, 500],
        VOILUTFunction="SIGMOID",
        RescaleSlope=2,
        RescaleIntercept=-5,
        RescaleType="US",
    )

    (voi,) = state.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction) == (2000, 3000, "SIGMOID")
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (2, -5, "US")


def test_a_presentation_state_prefers_a_table_to_a_window() -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData, table.LUTExplanation = [4, 0, 16], [0, 100, 200, 300], "NORMAL"

    state = gsps(LUNGS, VOILUTSequence=[table], WindowCenter=2000, WindowWidth=3000)

    (voi,) = state.SoftcopyVOILUTSequence
    assert list(voi.VOILUTSequence[0].LUTData) == [0, 100, 200, 300]
    assert "WindowCenter" not in voi


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 5, "WindowWidth": 0}, {"WindowCenter": 5}])
def test_without_a_usable_window_a_presentation_state_has_none(window: dict[str, float]) -> None:
    assert "SoftcopyVOILUTSequence" not in gsps(LUNGS, **window)


@pytest.mark.parametrize(
    ("attributes", "keyword", "value"),
    [
        ({}, "PresentationPixelSpacing", [0.2, 0.2]),
        (
            {"PixelSpacing": None, "ImagerPixelSpacing": None, "PixelAspectRatio": [4, 3]},
            "PresentationPixelAspectRatio",
            [4, 3],
        ),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": None}, "PresentationPixelAspectRatio", [1, 1]),
    ],
)
def test_a_presentation_state_shows_the_whole_image_undistorted(
    attributes: dict[str, Any], keyword: str, value: list[float]
) -> None:
    (area,) = gsps(LUNGS, **attributes).DisplayedAreaSelectionSequence

    assert list(area.DisplayedAreaBottomRightHandCorner) == [400, 500]
    assert list(area[keyword].value) == value


def test_key_objects_are_the_images_above_a_threshold() -> None:
    images = [analysed({}), analysed(LUNGS, SOPInstanceUID="1.2.3.9")]

    selection = object_of(ResultKind.KO, images)

    (item,) = [item for item in selection.ContentSequence if item.ValueType == "IMAGE"]
    assert item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.9"
    assert "ConceptNameCodeSequence" not in item
    description = items(selection, "Key Object Description")[0].TextValue
    assert "lung opacity" in description
    assert "Not for diagnosis" in description


def test_where_nothing_is_present_there_is_nothing_to_point_at() -> None:
    image = analysed({})

    assert objects_of(ResultKind.KO, [image]) == []
    assert objects_of(ResultKind.GSPS, image) == []


def test_a_text_report_says_what_was_found_where_and_what_was_not_analysed() -> None:
    skipped = [SkippedImage(CR, "1.2.3.5", "the view is lateral (LL)")]

    said = sentences(object_of(ResultKind.TEXT_SR, [analysed(LUNGS, remarks=("The view is unknown.",))], skipped))

    assert "lung opacity: present, probability 87 %, threshold 50 %" in said
    assert any(
        line.startswith("pleural effusion, place 1: the left of the image, the patient's right") for line in said
    )
    assert "cardiomegaly: absent, probability 12 %, threshold 50 %" in said
    assert "rib fracture: not evaluated, the model has no head for it" in said
    assert "The view is unknown." in said
    assert "Not analysed: image 1.2.3.5: the view is lateral (LL)" in said
    assert any("Not for diagnosis" in line for line in said)


def test_a_text_report_names_no_side_of_the_patient_where_the_header_does_not() -> None:
    said = sentences(object_of(ResultKind.TEXT_SR, [analysed(LUNGS, PatientOrientation=None)]))

    assert not any("the patient's right" in line or "the patient's left" in line for line in said)
    assert any("does not state the patient's side" in line for line in said)


def test_each_geometry_is_an_instance_of_its_own() -> None:
    image = analysed(LUNGS)
    built = {geometry: object_of(ResultVariant(ResultKind.SEG, geometry), image) for geometry in PlaneGeometry}

    assert len({made.SOPInstanceUID for made in built.values() if made is not None}) == len(PlaneGeometry)
    oriented, bare = built[PlaneGeometry.ORIENTATION_ONLY], built[PlaneGeometry.NONE]
    assert oriented is not None
    assert bare is not None
    assert "FrameOfReferenceUID" not in oriented
    assert "PlaneOrientationSequence" in oriented.SharedFunctionalGroupsSequence[0]
    assert "PlaneOrientationSequence" not in bare.SharedFunctionalGroupsSequence[0]


def test_every_object_is_built_once_and_the_same_each_time() -> None:
    everything = [
        *map(ResultVariant.usual, ResultKind),
        ResultVariant(ResultKind.SEG, PlaneGeometry.NONE),
        ResultVariant(ResultKind.SR),
    ]
    images = [with_overlay(analysed(LUNGS))]

    first, second = (build_results(images, [], result_context(), everything) for _ in range(2))

    assert len(first) == len(ResultKind) + 1
    assert len({dataset.SOPInstanceUID for _, dataset in first}) == len(first)
    assert len({dataset.SeriesInstanceUID for _, dataset in first}) == len(first)
    assert len({dataset.SeriesNumber for _, dataset in first}) == len(first) - 1  # two planes of one segmentation
    assert [encode(dataset) for _, dataset in first] == [encode(dataset) for _, dataset in second]


def test_the_conformance_statement_names_every_class_that_is_returned() -> None:
    statement = (Path(__file__).parents[4] / "docs" / "conformance.md").read_text(encoding="utf-8")
    section = statement.split("## What is returned, as SCU")[1].split("\n## ")[0]
    variants = [ResultVariant.usual(kind) for kind in ResultKind]

    results = build_results([with_overlay(analysed(LUNGS))], [], result_context(), variants)

    assert len(results) == len(ResultKind)
    for variant, dataset in results:
        assert f"| {dataset.SOPClassUID.name} | `{dataset.SOPClassUID}` |" in section, variant


def test_a_segmentation_alone_has_a_geometry() -> None:
    with pytest.raises(ValueError, match="segmentation has a geometry"):
        ResultVariant(ResultKind.SEG)
    with pytest.raises(ValueError, match="segmentation has a geometry"):
        ResultVariant(ResultKind.SR, PlaneGeometry.NONE)
