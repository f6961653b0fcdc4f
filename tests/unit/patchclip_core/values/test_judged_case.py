"""A line of the file that a site calibrates by: what was written is read, to the last digit."""

from __future__ import annotations

import pytest

from patchclip_core.values.judged_case import CHECKPOINT_COLUMN, COLUMNS, JudgedCase

LINE = {"patient": "a", "finding": "opacity", "probability": "0.3", "verdict": "present"}


@pytest.mark.parametrize("is_there", [True, False])
def test_what_was_written_is_read(is_there: bool) -> None:
    case = JudgedCase("0123456789abcdef", "opacity", 0.1 + 0.2, is_there, "demo 1 sha256:00")

    assert JudgedCase.read(dict(zip((*COLUMNS, CHECKPOINT_COLUMN), case.cells, strict=True))) == case


def test_a_site_may_leave_the_checkpoint_out_and_write_words_as_it_likes() -> None:
    assert JudgedCase.read(LINE | {"verdict": "Present"}) == JudgedCase("a", "opacity", 0.3, is_there=True)


@pytest.mark.parametrize(
    "wrong",
    [{"patient": ""}, {"verdict": "unsure"}, {"probability": "1.2"}, {"probability": "nan"}, {"probability": "high"}],
)
def test_a_line_that_says_too_little_is_refused_with_what_it_has(wrong: dict[str, str]) -> None:
    (said,) = wrong.values()

    with pytest.raises(ValueError, match=rf"verdict present or absent; it has .*'{said}'"):
        JudgedCase.read(LINE | wrong)
