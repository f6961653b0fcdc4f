"""A finding asked by a name that is not known is told the nearest one."""

from __future__ import annotations

import pytest

from patchclip_core.errors import PatchClipError, UnknownFindingError, not_known
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.places.preprocess import letterbox
from patchclip_core.values.results import Findings, ModelIdentity, PatchGrid
from tests.support.synthetic import absent

KNOWN = ("pneumothorax", "pleural_effusion", "opacity")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("pneumothorx", "pneumothorax"),
        ("effusion", "pleural_effusion"),
        ("Opacity", "opacity"),
        ("opacties", "opacity"),
    ],
)
def test_the_nearest_name_and_all_are_said(name: str, near: str) -> None:
    assert not_known(name, KNOWN) == f"'{near}' may be meant; known: pneumothorax, pleural_effusion, opacity"


def test_of_a_name_like_no_other_all_are_said() -> None:
    assert not_known("zzz", KNOWN) == "known: pneumothorax, pleural_effusion, opacity"


def test_findings_asked_by_a_name_that_they_have_not_say_so_in_one_line() -> None:
    settings = PreprocessSettings(input_px=64, grid=PatchGrid(2, 2, 32, 16))
    items = tuple(absent(key, 0.1) for key in KNOWN)
    findings = Findings(
        items, letterbox(64, 64, 1.0, settings), ModelIdentity("m", "1", "d", True, True, "t", "l", "s")
    )

    assert findings["opacity"].probability == 0.1
    with pytest.raises(UnknownFindingError) as raised:
        findings["pneumothorx"]
    assert isinstance(raised.value, PatchClipError)
    assert isinstance(raised.value, KeyError)
    assert str(raised.value) == (
        "there is no finding 'pneumothorx' in this result; 'pneumothorax' may be meant; "
        "known: pneumothorax, pleural_effusion, opacity"
    )
