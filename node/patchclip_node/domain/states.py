"""The states of a study revision and the one table that says how they follow each other.

A revision is one closed set of a study's instances. A late image never changes a revision that a worker has seen: it
opens the next one.
"""

from __future__ import annotations

from enum import StrEnum

from patchclip_node.domain.errors import ForbiddenTransitionError


class StudyState(StrEnum):
    """Where a study revision stands."""

    RECEIVING = "RECEIVING"
    RECEIVED = "RECEIVED"
    ANALYSING = "ANALYSING"
    ANALYSED = "ANALYSED"
    RETURNING = "RETURNING"
    RETURNED = "RETURNED"
    PARTLY_RETURNED = "PARTLY_RETURNED"
    HELD = "HELD"
    KEPT = "KEPT"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


class StudyEvent(StrEnum):
    """What can happen to a study revision."""

    INSTANCE_ARRIVED = "INSTANCE_ARRIVED"
    WENT_QUIET = "WENT_QUIET"
    LEASED = "LEASED"
    LEASE_EXPIRED = "LEASE_EXPIRED"
    ANALYSIS_POSTPONED = "ANALYSIS_POSTPONED"
    ANALYSIS_FINISHED = "ANALYSIS_FINISHED"
    NOTHING_TO_ANALYSE = "NOTHING_TO_ANALYSE"
    ANALYSIS_FAILED = "ANALYSIS_FAILED"
    FORWARDED = "FORWARDED"
    DELIVERY_STARTED = "DELIVERY_STARTED"
    ALL_DELIVERED = "ALL_DELIVERED"
    SOME_DELIVERED = "SOME_DELIVERED"
    DELIVERY_FAILED = "DELIVERY_FAILED"
    REQUEUED = "REQUEUED"
    DELIVERY_REQUEUED = "DELIVERY_REQUEUED"
    RECALLED = "RECALLED"
    HELD_BACK = "HELD_BACK"
    RELEASED = "RELEASED"
    RELEASE_REFUSED = "RELEASE_REFUSED"
    KEPT_HERE = "KEPT_HERE"


S, E = StudyState, StudyEvent

TRANSITIONS: dict[tuple[StudyState, StudyEvent], StudyState] = {
    (S.RECEIVING, E.INSTANCE_ARRIVED): S.RECEIVING,
    (S.RECEIVED, E.INSTANCE_ARRIVED): S.RECEIVING,  # no worker has leased it yet: the same revision opens again
    (S.RECEIVING, E.WENT_QUIET): S.RECEIVED,
    (S.RECEIVED, E.LEASED): S.ANALYSING,
    (S.ANALYSING, E.LEASE_EXPIRED): S.RECEIVED,
    (S.ANALYSING, E.ANALYSIS_POSTPONED): S.RECEIVED,
    (S.ANALYSING, E.ANALYSIS_FINISHED): S.ANALYSED,
    (S.ANALYSING, E.NOTHING_TO_ANALYSE): S.REJECTED,
    (S.ANALYSING, E.ANALYSIS_FAILED): S.FAILED,
    (S.RECEIVED, E.FORWARDED): S.RETURNING,  # at an edge receiver: its images go on as they came
    (S.ANALYSED, E.DELIVERY_STARTED): S.RETURNING,
    (S.ANALYSED, E.ALL_DELIVERED): S.RETURNED,  # a node without destinations keeps its results
    (S.RETURNING, E.ALL_DELIVERED): S.RETURNED,
    (S.RETURNING, E.SOME_DELIVERED): S.PARTLY_RETURNED,  # one destination has all that it gets, another has not
    (S.RETURNING, E.DELIVERY_FAILED): S.FAILED,
    (S.REJECTED, E.REQUEUED): S.RECEIVED,
    (S.FAILED, E.REQUEUED): S.RECEIVED,
    (S.RETURNED, E.DELIVERY_REQUEUED): S.RETURNING,  # the same bytes once more
    (S.PARTLY_RETURNED, E.DELIVERY_REQUEUED): S.RETURNING,
    (S.FAILED, E.DELIVERY_REQUEUED): S.RETURNING,
    (S.ANALYSED, E.RECALLED): S.ANALYSED,  # nothing was sent yet
    (S.RETURNING, E.RECALLED): S.RETURNING,
    (S.RETURNED, E.RECALLED): S.RETURNING,  # the notes that say so are under way
    (S.PARTLY_RETURNED, E.RECALLED): S.RETURNING,
    (S.FAILED, E.RECALLED): S.RETURNING,
    (S.ANALYSED, E.HELD_BACK): S.HELD,
    (S.RETURNING, E.HELD_BACK): S.HELD,  # all else has arrived or failed
    (S.HELD, E.RELEASED): S.RETURNING,
    (S.ANALYSED, E.RELEASED): S.ANALYSED,  # beside what was never held
    (S.RETURNING, E.RELEASED): S.RETURNING,
    (S.ANALYSED, E.RELEASE_REFUSED): S.ANALYSED,
    (S.RETURNING, E.RELEASE_REFUSED): S.RETURNING,
    (S.HELD, E.RELEASE_REFUSED): S.HELD,  # what it ends as follows at once, unless more is held
    (S.HELD, E.RECALLED): S.HELD,
    (S.HELD, E.DELIVERY_STARTED): S.RETURNING,  # a rejection note
    (S.HELD, E.ALL_DELIVERED): S.RETURNED,
    (S.HELD, E.SOME_DELIVERED): S.PARTLY_RETURNED,
    (S.HELD, E.DELIVERY_FAILED): S.FAILED,
    (S.ANALYSED, E.KEPT_HERE): S.KEPT,
    (S.RETURNING, E.KEPT_HERE): S.KEPT,
    (S.HELD, E.KEPT_HERE): S.KEPT,
    (S.KEPT, E.RECALLED): S.KEPT,  # nothing of it was sent
}
"""(state, event) -> next state. What is not in here cannot happen."""

INITIAL_STATES: dict[StudyEvent, StudyState] = {
    E.INSTANCE_ARRIVED: S.RECEIVING,
    E.REQUEUED: S.RECEIVED,  # a RETURNED study that is analysed again does so as a new revision with new result UIDs
}
"""event that opens a revision -> its first state."""

FINAL_STATES = frozenset({S.RETURNED, S.PARTLY_RETURNED, S.KEPT, S.REJECTED, S.FAILED})
OPEN_TO_INSTANCES = frozenset(state for state, event in TRANSITIONS if event is E.INSTANCE_ARRIVED)


def next_state(state: StudyState, event: StudyEvent) -> StudyState:
    """Return the state that follows; raises `ForbiddenTransitionError` where the table has no entry."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ForbiddenTransitionError(f"a study that is {state} cannot take {event}") from None
