"""What is done to a line of the trail is found, and where."""

from __future__ import annotations

import json

import pytest

from patchclip_node.audit.chain import BEGINNING, Verdict, next_line, verify

COUNT = 7


def _lines(count: int = COUNT) -> list[str]:
    lines, before = [], BEGINNING
    for number in range(1, count + 1):
        line = next_line(number, f"key{number}", before, f"<AuditMessage n='{number}'/>")
        lines.append(line.to_json())
        before = line.digest
    return lines


def _verified(lines: list[str], known: tuple[int, str] = (0, "")) -> Verdict:
    return verify([("a", number, text) for number, text in enumerate(lines, 1)], known)


def _last() -> tuple[int, str]:
    return COUNT, json.loads(_lines()[-1])["digest"]


def test_a_trail_that_nobody_touched_is_whole() -> None:
    verdict = _verified(_lines())

    assert verdict.faults == ()
    assert (verdict.lines, verdict.first, verdict.last) == (COUNT, 1, COUNT)


@pytest.mark.parametrize("place", range(COUNT))
@pytest.mark.parametrize("key", ["sequence", "key", "before", "message", "digest"])
def test_a_changed_line_is_found_where_it_stands(place: int, key: str) -> None:
    lines = _lines()
    values = json.loads(lines[place])
    values[key] = 99 if key == "sequence" else values[key] + "x"
    lines[place] = json.dumps(values, ensure_ascii=False)

    assert place + 1 in {fault.line for fault in _verified(lines).faults}


@pytest.mark.parametrize("place", range(COUNT - 1))
def test_a_line_that_was_changed_with_its_digest_is_found_by_the_next(place: int) -> None:
    lines = _lines()
    values = json.loads(lines[place])
    forged = next_line(values["sequence"], values["key"], values["before"], "<AuditMessage n='forged'/>")
    lines[place] = forged.to_json()

    faults = _verified(lines).faults

    assert [fault.line for fault in faults] == [place + 2]
    assert f"event {place + 1} or event {place + 2} was replaced" in faults[0].what


@pytest.mark.parametrize("place", range(1, COUNT - 1))
def test_a_removed_line_is_named(place: int) -> None:
    lines = _lines()
    del lines[place]

    faults = _verified(lines).faults

    assert [(fault.line, fault.what) for fault in faults] == [
        (place + 1, f"before it event {place + 1} was removed or moved")
    ]


def test_several_removed_lines_are_named() -> None:
    lines = _lines()
    del lines[2:5]

    assert [fault.what for fault in _verified(lines).faults] == ["before it events 3 to 5 were removed or moved"]


@pytest.mark.parametrize("place", range(1, COUNT + 1))
def test_an_inserted_line_is_found(place: int) -> None:
    lines = _lines()
    before = json.loads(lines[place - 1])
    lines.insert(place, next_line(before["sequence"], "other", before["digest"], "<AuditMessage/>").to_json())

    assert [fault.line for fault in _verified(lines).faults] == [place + 1]


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 4), (5, 6), (2, 6)])
def test_lines_that_changed_places_are_found(first: int, second: int) -> None:
    lines = _lines()
    lines[first], lines[second] = lines[second], lines[first]

    assert _verified(lines).faults


def test_what_stood_before_the_first_line_is_missed() -> None:
    values = json.loads(_lines()[3])
    forged = next_line(1, values["key"], values["before"], values["message"])

    assert "removed" in _verified([forged.to_json()]).faults[0].what


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"sequence": "1"}', "not JSON", "\udcff"])
def test_what_is_not_a_line_is_said_to_be_none(text: str) -> None:
    lines = _lines()
    lines[3] = text

    faults = _verified(lines).faults

    assert [fault.line for fault in faults] == [4]


def test_a_line_that_only_looks_the_same_is_found() -> None:
    lines = _lines()
    lines[2] = lines[2].replace('": ', '":')

    assert [fault.line for fault in _verified(lines).faults] == [3]


@pytest.mark.parametrize("left", range(COUNT))
def test_a_trail_that_was_cut_off_is_shorter_than_the_ledger_knows(left: int) -> None:
    assert _verified(_lines(), _last()).faults == ()

    faults = _verified(_lines()[:left], _last()).faults

    assert [fault.line for fault in faults] == [left]
    assert f"events up to {COUNT}" in faults[0].what


def test_a_trail_that_was_written_again_from_its_beginning_is_not_the_one_that_the_ledger_knows() -> None:
    forged, before = [], BEGINNING
    for number in range(1, COUNT + 1):
        line = next_line(number, f"key{number}", before, f"<AuditMessage n='{number}' forged=''/>")
        forged.append(line.to_json())
        before = line.digest

    assert _verified(forged).faults == ()
    assert [fault.line for fault in _verified(forged, _last()).faults] == [COUNT]
