from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclip_node.adapters.uid_generator import DerivedUidGenerator

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4)


@given(NAMES)
def test_a_uid_is_valid_and_of_a_uuid(names: list[str]) -> None:
    uid = DerivedUidGenerator().uid(*names)

    assert re.fullmatch(r"2\.25\.(0|[1-9]\d{0,38})", uid)  # PS3.5 9.1 and B.2
    made = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert (made.version, made.variant) == (8, uuid.RFC_4122)


@given(NAMES, NAMES)
def test_different_names_give_different_uids_and_the_same_names_the_same(one: list[str], other: list[str]) -> None:
    assert (DerivedUidGenerator().uid(*one) == DerivedUidGenerator().uid(*other)) is (one == other)


def test_boundaries_order_and_namespace_count() -> None:
    uids = {
        DerivedUidGenerator().uid("ab", "c"),
        DerivedUidGenerator().uid("a", "bc"),
        DerivedUidGenerator().uid("c", "ab"),
        DerivedUidGenerator().uid("abc"),
        DerivedUidGenerator("node-2").uid("abc"),
    }

    assert len(uids) == 5


def test_a_uid_never_changes_between_versions_of_the_program() -> None:
    """What was issued must be recognised for ever."""
    assert DerivedUidGenerator().uid("1.2.3", "1", "sr") == "2.25.327346733231973708527688699910969325644"


def test_no_name_gives_no_uid() -> None:
    with pytest.raises(ValueError, match="at least one name"):
        DerivedUidGenerator().uid()
