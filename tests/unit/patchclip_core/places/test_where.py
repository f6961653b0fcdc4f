"""Where a region is, in words: the patient's side in every way in which an image may lie, and the image's else."""

from __future__ import annotations

import re

import pytest

from patchclip_core.places.where import place_of, places_of, side_of, states_side
from patchclip_core.values.results import Region
from patchclip_core.values.wording import load_wordings

ROWS, COLUMNS = 900, 600
UPPER_RIGHT = Region(480, 60, 90, 90, 0.9)
"""Of the image."""


@pytest.mark.parametrize(
    ("orientation", "said"),
    [
        (("L", "F"), "patient's left, upper half"),
        (("R", "F"), "patient's right, upper half"),  # mirrored
        (("L", "H"), "patient's left, lower half"),  # on its head, mirrored
        (("R", "H"), "patient's right, lower half"),
        (("F", "L"), "patient's right, lower half"),  # on its side: columns run from the patient's right to the left
        (("H", "R"), "patient's left, upper half"),
        (("LP", "FA"), "patient's left, upper half"),  # two letters: the first is the main direction
        (("A", "F"), "right of the image, upper half"),  # a lateral view has no sides
        (None, "right of the image, upper half"),
    ],
)
def test_a_place_is_on_the_patient_s_side_wherever_that_is_known(
    orientation: tuple[str, str] | None, said: str
) -> None:
    assert place_of(UPPER_RIGHT, orientation, ROWS, COLUMNS) == said
    assert states_side(orientation) == ("patient" in said)


@pytest.mark.parametrize("language", load_wordings())
@pytest.mark.parametrize("orientation", [("L", "F"), ("R", "F"), ("F", "L"), ("H", "R")])
def test_a_known_side_is_never_said_of_the_image(language: str, orientation: tuple[str, str]) -> None:
    wording, of_image = load_wordings()[language], re.compile("image|Bild")

    assert not of_image.search(place_of(UPPER_RIGHT, orientation, ROWS, COLUMNS, wording))
    assert of_image.search(place_of(UPPER_RIGHT, None, ROWS, COLUMNS, wording))


@pytest.mark.parametrize(
    ("x", "w", "side"), [(0, 300, "R"), (300, 300, "L"), (225, 150, None), (100, 250, "R"), (0, 600, None)]
)
def test_what_lies_less_than_three_quarters_in_one_half_is_on_neither_side(
    x: float, w: float, side: str | None
) -> None:
    region = Region(x, 400, w, 100, 0.9)

    assert side_of(region, ("L", "F"), ROWS, COLUMNS) == side
    if side is None:
        assert place_of(region, ("L", "F"), ROWS, COLUMNS) == "across the midline"


def test_each_place_is_said_once() -> None:
    beside = Region(470, 90, 90, 90, 0.8)
    below = Region(470, 800, 90, 90, 0.7)

    assert places_of([UPPER_RIGHT, beside, below], ("L", "F"), ROWS, COLUMNS) == (
        "patient's left, upper half",
        "patient's left, lower half",
    )
