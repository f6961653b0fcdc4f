"""docs/architecture.md: its table and its picture of the rooms are those of the code."""

from __future__ import annotations

from tests.support.docs import ROOT, in_code, page, table
from tools.draw_rooms import PACKAGES, drawn, rooms, without_implied

PAGE = page("docs/architecture.md")


def test_the_table_of_rooms_has_each_room_once_and_no_other() -> None:
    listed = [room for row in table(PAGE, "room") for room in in_code(row[0])]

    found, _ = rooms()

    assert sorted(listed) == sorted(found)


def test_rooms_are_found_in_the_code_and_not_in_a_list() -> None:
    folders = {"patchclip_core": "", "patchclip_node": "node", "patchclip_trainer": "trainer"}
    in_folders = {
        f"{package}.{path.stem}"
        for package in PACKAGES
        for path in (ROOT / folders[package] / package).iterdir()
        if path.suffix == ".py" or any(path.glob("*.py"))
    }

    assert rooms()[0] == {room for room in in_folders if "._" not in room}


def test_the_picture_of_the_rooms_is_that_of_the_imports() -> None:
    assert drawn(PAGE) == PAGE, "run python tools/draw_rooms.py and commit docs/architecture.md"


def test_an_arrow_that_others_imply_is_left_out() -> None:
    assert without_implied({("a", "b"), ("b", "c"), ("a", "c")}) == {("a", "b"), ("b", "c")}
    assert without_implied({("a", "b"), ("b", "a")}) == {("a", "b"), ("b", "a")}
    assert without_implied({("a", "b"), ("a", "c")}) == {("a", "b"), ("a", "c")}
