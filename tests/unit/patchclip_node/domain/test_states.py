from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from patchclip_node.domain.errors import ForbiddenTransitionError
from patchclip_node.domain.states import (
    FINAL_STATES,
    INITIAL_STATES,
    OPEN_TO_INSTANCES,
    TRANSITIONS,
    StudyEvent,
    StudyState,
    next_state,
)
from tests.support.docs import table

DIAGRAM = Path(__file__).parents[4] / "docs" / "states.md"


@pytest.mark.parametrize(("state", "event"), list(product(StudyState, StudyEvent)))
def test_a_study_follows_the_table_and_nothing_else(state: StudyState, event: StudyEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(ForbiddenTransitionError, match=f"{state} cannot take {event}"):
            next_state(state, event)


def test_only_studies_that_nobody_has_looked_at_take_instances() -> None:
    assert {StudyState.RECEIVING, StudyState.RECEIVED} == OPEN_TO_INSTANCES


def test_every_state_can_be_reached() -> None:
    assert _reachable_from(set(INITIAL_STATES.values())) == set(StudyState)


@pytest.mark.parametrize("state", list(StudyState))
def test_every_state_leads_to_an_end(state: StudyState) -> None:
    assert _reachable_from({state}) & FINAL_STATES


def test_a_returned_study_never_changes_but_its_results_may_go_once_more_or_be_recalled() -> None:
    assert [event for state, event in TRANSITIONS if state is StudyState.RETURNED] == [
        StudyEvent.DELIVERY_REQUEUED,
        StudyEvent.RECALLED,
    ]


def test_every_event_has_its_use() -> None:
    assert {event for _, event in TRANSITIONS} == set(StudyEvent)


def test_the_documented_diagram_is_the_table() -> None:
    written = DIAGRAM.read_text(encoding="utf-8")

    assert mermaid() in written, f"{DIAGRAM} must hold this diagram:\n{mermaid()}"


def test_the_page_says_of_each_state_what_it_means() -> None:
    rows = table(DIAGRAM.read_text(encoding="utf-8"), "state")

    assert [name for name, *_ in rows] == [str(state) for state in StudyState]


def mermaid() -> str:
    """Draw the table."""
    edges: list[tuple[str, str, str | None]] = [("[*]", state, event) for event, state in INITIAL_STATES.items()]
    edges += [(state, after, event) for (state, event), after in TRANSITIONS.items()]
    edges += [(state, "[*]", None) for state in StudyState if state in FINAL_STATES]
    lines = [f"    {before} --> {after}" + (f": {event}" if event else "") for before, after, event in edges]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def _reachable_from(states: set[StudyState]) -> set[StudyState]:
    reached: set[StudyState] = set()
    while states:
        reached |= states
        states = {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached
    return reached
