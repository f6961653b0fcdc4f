"""Presentation states: what they do to the image, what they draw, and what is said to be left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from patchclip_node.domain.variants import ResultKind
from patchclip_node.rendering.annotations import read_presentation_state
from tests.support.rendered import (
    BOTTOM,
    COLUMNS,
    HALF_A_PATCH_PX,
    LEFT,
    LEGEND_PX,
    RIGHT,
    ROWS,
    TOP,
    Picture,
    bounds,
    coloured,
    drawn,
    item,
    without_words,
)


def presented(study: dict[ResultKind | str, Path], folder: Path, **attributes: Any) -> Picture:
    state = dcmread(study[ResultKind.GSPS])
    for keyword, value in attributes.items():
        setattr(state, keyword, value)
    path = folder / "state.dcm"
    state.save_as(path)
    return drawn(path, study["image"])


def test_a_presentation_states_window_and_polarity_replace_those_of_the_image(
    study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    narrow = Dataset()
    narrow.WindowCenter, narrow.WindowWidth = 1400, 1200

    wide, tight, inverse = (
        presented(study, tmp_path, **attributes)[1000:1300, 600:900].mean()
        for attributes in ({}, {"SoftcopyVOILUTSequence": [narrow]}, {"PresentationLUTShape": "INVERSE"})
    )

    grey = wide * 4095 / 255
    assert tight == pytest.approx((grey - 800) / 1200 * 255, abs=8)
    assert inverse == pytest.approx(255 - wide, abs=4)


def notes_of(study: dict[ResultKind | str, Path], **attributes: Any) -> tuple[str, ...]:
    state = dcmread(study[ResultKind.GSPS])
    for keyword, value in attributes.items():
        setattr(state, keyword, value)
    return read_presentation_state(state, dcmread(study["image"])).notes


def area(corner: list[int], opposite: list[int]) -> list[Dataset]:
    return [item(DisplayedAreaTopLeftHandCorner=corner, DisplayedAreaBottomRightHandCorner=opposite)]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"ShutterShape": ["RECTANGULAR", "CIRCULAR"]}, "not drawn: the shutter (rectangular, circular)"),
        ({"DisplayedAreaSelectionSequence": area([20, 20], [90, 90])}, "not kept to: the displayed area"),
        ({"PresentationLUTSequence": [Dataset()]}, "not applied: its presentation lookup table"),
        (
            {"GraphicAnnotationSequence": [item(CompoundGraphicSequence=[item(CompoundGraphicInstanceID=1)])]},
            "not drawn: 1 compound graphics",
        ),
    ],
)
def test_what_a_presentation_state_shows_and_the_picture_does_not_is_said(
    attributes: dict[str, Any], words: str, study: dict[ResultKind | str, Path]
) -> None:
    (said,) = set(notes_of(study, **attributes)) - set(notes_of(study))

    assert said.startswith(words)


def test_a_presentation_state_that_is_shown_as_it_is_has_nothing_left_out(
    study: dict[ResultKind | str, Path],
) -> None:
    simple = item(
        GraphicType="POINT", GraphicData=[9.0, 9.0], GraphicAnnotationUnits="PIXEL", CompoundGraphicInstanceID=1
    )
    equivalent = item(CompoundGraphicSequence=[item(CompoundGraphicInstanceID=1)], GraphicObjectSequence=[simple])

    for attributes in (
        {"GraphicAnnotationSequence": [equivalent]},
        {"DisplayedAreaSelectionSequence": area([COLUMNS, 1], [1, ROWS])},
    ):
        assert not [note for note in notes_of(study, **attributes) if note.startswith("not ")]


def test_overlay_planes_of_a_presentation_state_are_said_to_be_left_out(study: dict[ResultKind | str, Path]) -> None:
    state = dcmread(study[ResultKind.GSPS])
    state.add_new((0x6000, 0x3000), "OW", b"\0\0")

    assert "not drawn: its overlay planes" in read_presentation_state(state, dcmread(study["image"])).notes


def test_a_window_that_shows_nothing_is_remarked_in_the_legend(
    study: dict[ResultKind | str, Path], tmp_path: Path
) -> None:
    off = item(WindowCenter=60_000, WindowWidth=10)

    usual, remarked = (
        presented(study, tmp_path, **attributes)[:, -LEGEND_PX:]
        for attributes in ({}, {"SoftcopyVOILUTSequence": [off]})
    )

    assert (remarked.max(axis=2) > 100).sum() > (usual.max(axis=2) > 100).sum() + 1000


@pytest.mark.parametrize(
    ("rotation", "flip", "expected"),
    [
        (90, "N", [ROWS - BOTTOM, LEFT, ROWS - TOP, RIGHT]),
        (180, "N", [COLUMNS - RIGHT, ROWS - BOTTOM, COLUMNS - LEFT, ROWS - TOP]),
        (270, "N", [TOP, COLUMNS - RIGHT, BOTTOM, COLUMNS - LEFT]),
        (0, "Y", [COLUMNS - RIGHT, TOP, COLUMNS - LEFT, BOTTOM]),
        (90, "Y", [TOP, LEFT, BOTTOM, RIGHT]),
    ],
)
def test_a_presentation_state_turns_image_and_graphics_alike(
    rotation: int,
    flip: str,
    expected: list[float],
    study: dict[ResultKind | str, Path],
    unlabelled: None,
    tmp_path: Path,
) -> None:
    path = without_words(study[ResultKind.GSPS], tmp_path, ImageRotation=rotation, ImageHorizontalFlip=flip)

    picture = drawn(path, study["image"])

    assert bounds(coloured(picture)) == pytest.approx(expected, abs=1.2 * HALF_A_PATCH_PX)
    bright = picture[:, :-LEGEND_PX].min(axis=2) > 240
    assert bounds(bright) == pytest.approx(expected, abs=3)


def code(value: str, words: str) -> list[Dataset]:
    return [item(CodeValue=value, CodingSchemeDesignator="99X", CodeMeaning=words)]


def said(value_type: str, name: str, words: str, *within: Dataset) -> Dataset:
    """A content item that says something beside a region."""
    value = {"ConceptCodeSequence": code("V", words)} if value_type == "CODE" else {"TextValue": words}
    return item(ValueType=value_type, ConceptNameCodeSequence=code("N", name), ContentSequence=list(within), **value)
