"""Presentation states: outlines, labels and notice, and the image as its header asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from patchclip_core.values.display import Display, Rescale, Window
from patchclip_node.domain.variants import ResultKind
from tests.support.objects import object_of
from tests.support.synthetic import TRAINED, analysed, analysed_source, source_image

LUNGS: dict[str, Any] = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}


def gsps(present: dict[str, Any], **attributes: Any) -> Dataset:
    return object_of(ResultKind.GSPS, analysed(present, **attributes))


def texts(state: Dataset) -> list[str]:
    return [
        label.UnformattedTextValue
        for annotation in state.GraphicAnnotationSequence
        for label in annotation.get("TextObjectSequence", ())
    ]


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

    assert "lung opacity: present" in texts(state)
    assert "pleural effusion: present" in texts(state)
    (notice,) = [text for text in texts(state) if "Not for diagnosis" in text]
    assert "pulmonary edema: present (no place marked)" in notice


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
        assert any(line == "pulmonary edema: present (no place marked)" for line in lines)
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


def test_a_presentation_state_shows_the_image_as_the_analysis_did_whatever_its_header_says() -> None:
    source = source_image(WindowCenter=5, WindowWidth=1, PhotometricInterpretation="MONOCHROME1", RescaleIntercept=7)
    display = Display(Rescale(), Window(2000, 3000), inverted=False)

    state = object_of(ResultKind.GSPS, analysed_source(source, LUNGS, display=display))

    (voi,) = state.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth) == (2000, 3000)
    assert state.PresentationLUTShape == "IDENTITY"
    assert "RescaleIntercept" not in state


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
