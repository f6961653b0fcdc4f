"""The one way in which a study revision changes: by the transition table, conditionally, with its event row."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Update, bindparam, insert, select, update

from patchclip_node.adapters.ledger.schema import events, studies
from patchclip_node.domain.errors import LostLeaseError
from patchclip_node.domain.states import INITIAL_STATES, StudyEvent, StudyState, next_state
from patchclip_node.domain.traces import TraceContext

_OPEN: Final = insert(studies)
_LOG: Final = insert(events)
_STATE: Final = select(studies.c.state).where(studies.c.id == bindparam("study_id"))
"""Made once: making a statement costs three times as much as running it."""


def open_revision(connection: Connection, event: StudyEvent, at: datetime, detail: str, **values: Any) -> int:
    """Insert a revision in the state that `event` opens one with; returns its id."""
    state = INITIAL_STATES[event]
    own = {"state": state.value, "state_since": at, "attempts": 0, "traceparent": TraceContext.new().traceparent}
    opened = connection.execute(_OPEN, {**own, **values})
    assert opened.inserted_primary_key is not None
    study_id = int(opened.inserted_primary_key[0])
    _log(connection, study_id, event, at, None, state, detail)
    return study_id


def change(
    connection: Connection,
    study_id: int,
    state: StudyState,
    event: StudyEvent,
    at: datetime,
    detail: str = "",
    owner: str | None = None,
    **values: Any,
) -> bool:
    """Let `event` happen to a revision that is in `state` and, where `owner` is given, leased by that owner.

    Returns False, and changes nothing, where it is not so. Raises `ForbiddenTransitionError` where the table has no
    entry.
    """
    after = next_state(state, event)
    if after is not state:
        values["state_since"] = at
    if state is StudyState.ANALYSING:
        values |= {"lease_owner": None, "lease_expires_at": None}
    values["state"] = after.value
    which = {"of_study": study_id, "before": state.value, "by": owner}
    statement = _changing(tuple(sorted(values)), of_an_owner=owner is not None)
    changed = connection.execute(statement, {**which, **{f"new_{name}": value for name, value in values.items()}})
    if changed.rowcount:
        _log(connection, study_id, event, at, state, after, detail)
    return bool(changed.rowcount)


@cache
def _changing(columns: tuple[str, ...], *, of_an_owner: bool) -> Update:
    """Return what changes these columns of a revision; there are some dozens of such statements."""
    which = (studies.c.id == bindparam("of_study")) & (studies.c.state == bindparam("before"))
    if of_an_owner:
        which &= studies.c.lease_owner == bindparam("by")
    return update(studies).where(which).values({name: bindparam(f"new_{name}") for name in columns})


def change_leased(
    connection: Connection, study_id: int, owner: str, event: StudyEvent, at: datetime, detail: str = "", **values: Any
) -> None:
    """End the analysis that `owner` leased. Raises `LostLeaseError` where it holds the lease no longer."""
    if not change(connection, study_id, StudyState.ANALYSING, event, at, detail, owner, **values):
        raise LostLeaseError(
            f"{owner} no longer holds the lease of study {study_id}; another worker has it, or it ended"
        )


def state_of(connection: Connection, study_id: int) -> StudyState:
    """Return where a revision stands. Raises `KeyError` for an unknown one."""
    state = connection.execute(_STATE, {"study_id": study_id}).scalar_one_or_none()
    if state is None:
        raise KeyError(study_id)
    return StudyState(state)


def _log(
    connection: Connection,
    study_id: int,
    event: StudyEvent,
    at: datetime,
    before: StudyState | None,
    after: StudyState,
    detail: str,
) -> None:
    logged = {
        "study_id": study_id,
        "at": at,
        "event": event.value,
        "state_before": None if before is None else before.value,
        "state_after": after.value,
        "detail": detail,
    }
    connection.execute(_LOG, logged)
