from __future__ import annotations

import pytest
from pydicom.uid import UID

from patchclip_node.dicom.uids import is_uid


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
