"""Which pixel spacing counts."""

from __future__ import annotations

import pytest

from patchclip_core.io.spacing import pixel_spacing_mm, positive_pair


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0.2",
        "0.2\\0.2\\0.2",
        "0\\0",
        "0.2\\0",
        "-0.2\\0.2",
        "a\\b",
        "\\",
        "0.2\\",
        "nan\\nan",
        "inf\\0.2",
        "0,2\\0,2",
    ],
)
def test_what_is_not_two_positive_finite_numbers_counts_as_absent(value: str) -> None:
    assert positive_pair(value) is None
    assert pixel_spacing_mm(value, "0.3\\0.1") == (0.3, 0.1)


def test_the_spacing_that_may_be_calibrated_goes_before_the_detectors() -> None:
    assert pixel_spacing_mm(" 0.2\\0.1 ", "0.3\\0.3") == (0.2, 0.1)
    assert pixel_spacing_mm("", "") is None
