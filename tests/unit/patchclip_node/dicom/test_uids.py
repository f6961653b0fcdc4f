from __future__ import annotations

import pytest
from pydicom.uid import UID

from patchclip_node.dicom.uids import is_uid, not_a_uid


@pytest.mark.parametrize("value", ["1.2", "0.0", "1.2.840.10008.1.2", "2.25." + "9" * 39, "1." + "2" * 62])
def test_a_uid_is_one(value: str) -> None:
    assert is_uid(value)
    assert UID(value).is_valid


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "..",
        "...",
        "1",
        "1.",
        ".1",
        "1..2",
        "1.-2",
        "1.a",
        "1.2 ",
        "1.²",
        "1." + "2" * 63,
    ],
)
def test_what_breaks_the_rules_is_not_one(value: str) -> None:
    assert not is_uid(value)


@pytest.mark.parametrize("value", ["1.02", "01.2", "1.00", "1.2.003.4"])
def test_leading_zeros_of_a_component_are_let_pass(value: str) -> None:
    """PS3.5 section 9.1 forbids them; devices send them, and what a hospital holds is not turned away for it."""
    assert is_uid(value)


@pytest.mark.parametrize("value", ["Doe^John", "1.2.Doe", "1.2.840.113619.Doe^John", "D" * 70, "1.2.3\\1.2.4", "山田"])
def test_other_characters_are_not_repeated(value: str) -> None:
    assert not is_uid(value)
    assert not_a_uid(value) == "is not a UID: it holds other characters than digits and dots"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1." + "2" * 64, "is too long: 66 characters, a UID has at most 64"),
        ("1..2", "is not a UID: '1..2'"),
        ("12", "is not a UID: '12'"),
        ("", "is not a UID: ''"),
    ],
)
def test_the_reason_is_its_own(value: str, said: str) -> None:
    assert not is_uid(value)
    assert not_a_uid(value) == said
