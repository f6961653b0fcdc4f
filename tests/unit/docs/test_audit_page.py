"""docs/audit.md has each event that the node tells, with its code, and no other."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import pytest

from patchclip_node.audit import events
from patchclip_node.audit.values import AuditEvent
from tests.support.audit_events import all_events
from tests.support.docs import in_code, page, table

ROWS = {in_code(row[3])[0]: row for row in table(page("docs/audit.md"), "event")}
SHOWN: Mapping[str, AuditEvent] = {name.partition(",")[0]: event for name, event in all_events().items()}


def constructors() -> list[str]:
    """Return the functions that make an event."""
    return [
        name
        for name, function in inspect.getmembers(events, inspect.isfunction)
        if function.__module__ == events.__name__ and inspect.signature(function).return_annotation == "AuditEvent"
    ]


def test_each_event_is_in_one_row() -> None:
    assert sorted(ROWS) == sorted(constructors())


def test_each_event_is_among_those_that_are_judged() -> None:
    assert sorted(SHOWN) == sorted(constructors())


@pytest.mark.parametrize("name", constructors())
def test_a_row_has_the_events_code_and_name(name: str) -> None:
    event = SHOWN[name]
    listed = list(ROWS.values())
    place = listed.index(ROWS[name])
    meaning = next(row[0] for row in reversed(listed[: place + 1]) if row[0])

    assert (ROWS[name][1], meaning) == (event.id.value, event.id.meaning)
