"""An administrator asks for a study once more."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, select, update

from patchclip_node.adapters.ledger.analysing import study_of
from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.changes import change, open_revision
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.recalling import refuse_withdrawn
from patchclip_node.adapters.ledger.receiving import newest_revision
from patchclip_node.adapters.ledger.returning import GIVEN_UP
from patchclip_node.adapters.ledger.schema import deliveries, results
from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.domain.listing import SEARCHED, searched
from patchclip_node.domain.records import DeliveryState, StudyRecord
from patchclip_node.domain.states import StudyEvent, StudyState

_CARRIED = (
    "study_instance_uid",
    "priority",
    "patient_id",
    "patient_name",
    "accession_number",
    "study_description",
    "first_received_at",
    "last_received_at",
    "instance_count",
)
"""What a revision over the same instances takes from the one before."""


class SqlRequeueing:
    """The port `Requeueing`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def requeue(self, study_instance_uid: str, now: datetime, by: Actor | None = None) -> StudyRecord:
        """See the port."""
        with self._database.write() as connection:
            newest = newest_revision(connection, study_instance_uid)
            if newest is None:
                raise KeyError(study_instance_uid)
            state = StudyState(newest.state)
            study_id = newest.id
            if state in {StudyState.RETURNED, StudyState.KEPT}:
                carried: dict[str, Any] = {name: getattr(newest, name) for name in _CARRIED}
                carried |= searched(*(carried[name] for name in SEARCHED))
                detail = f"as revision {newest.revision}, analysed again"
                study_id = open_revision(
                    connection, StudyEvent.REQUEUED, now, detail, revision=newest.revision + 1, **carried
                )
            elif state in {StudyState.FAILED, StudyState.PARTLY_RETURNED} and _has_results(connection, newest):
                change(connection, study_id, state, StudyEvent.DELIVERY_REQUEUED, now, error=None)
                _send_again(connection, study_id, GIVEN_UP, now)
            else:
                fresh: dict[str, Any] = {"attempts": 0, "not_before": None, "reason": None, "error": None}
                change(connection, study_id, state, StudyEvent.REQUEUED, now, **fresh)
            return _told(connection, study_id, now, by, "requeue")

    def resend(
        self, study_instance_uid: str, now: datetime, destination: str | None = None, by: Actor | None = None
    ) -> StudyRecord:
        """See the port."""
        with self._database.write() as connection:
            newest = newest_revision(connection, study_instance_uid)
            if newest is None:
                raise KeyError(study_instance_uid)
            refuse_withdrawn(connection, newest.id)
            change(connection, newest.id, StudyState(newest.state), StudyEvent.DELIVERY_REQUEUED, now, error=None)
            if not _send_again(connection, newest.id, {*GIVEN_UP, DeliveryState.DELIVERED}, now, destination):
                raise KeyError(destination or "any destination")
            return _told(connection, newest.id, now, by, "resend")


def _told(connection: Connection, study_id: int, now: datetime, by: Actor | None, act: str) -> StudyRecord:
    """Return the revision that is worked on again, once the audit trail tells whose wish that is."""
    study = study_of(connection, study_id)
    if by is not None:
        record(connection, events.changed(study, now, by, act))
    return study


def _send_again(
    connection: Connection,
    study_id: int,
    states: Collection[DeliveryState],
    now: datetime,
    destination: str | None = None,
) -> int:
    """Make deliveries due again; returns how many."""
    chosen = (deliveries.c.study_id == study_id) & deliveries.c.state.in_([state.value for state in states])
    if destination is not None:
        chosen &= deliveries.c.destination == destination
    again = {
        "state": DeliveryState.PENDING.value,
        "attempts": 0,
        "not_before": None,
        "due_since": now,
        "delivered_at": None,
    }
    return connection.execute(update(deliveries).where(chosen).values(**again)).rowcount


def _has_results(connection: Connection, study: Row[Any]) -> bool:
    return bool(connection.execute(select(exists().where(results.c.study_id == study.id))).scalar_one())
