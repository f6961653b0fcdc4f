"""Results wait until a person lets them go, refuses them, or their time is over."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from patchclip_node.adapters.ledger.analysing import study_of
from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.changes import change, state_of
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.recalling import withdraw_earlier
from patchclip_node.adapters.ledger.returning import end_if_settled, refuse_held
from patchclip_node.adapters.ledger.schema import deliveries, studies
from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.domain.records import DeliveryState, StudyRecord
from patchclip_node.domain.release import AtTimeOut
from patchclip_node.domain.states import StudyEvent

TOO_LATE = "no one decided in time"


class SqlGates:
    """The port `Gates`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def release(
        self,
        study_instance_uid: str,
        now: datetime,
        by: Actor,
        reason: str,
        destination: str | None = None,
        *,
        withdraws_earlier: bool = False,
    ) -> StudyRecord:
        """See the port."""
        with self._database.write() as connection:
            held = _held(connection, study_instance_uid, destination)
            return _release(connection, held, now, by, reason, withdraws_earlier=withdraws_earlier)

    def refuse(
        self, study_instance_uid: str, now: datetime, by: Actor, reason: str, destination: str | None = None
    ) -> StudyRecord:
        """See the port."""
        with self._database.write() as connection:
            held = _held(connection, study_instance_uid, destination)
            return _refuse(connection, held, now, by, reason)

    def time_out(self, now: datetime, by: Actor, *, withdraws_earlier: bool = False) -> list[StudyRecord]:
        """See the port."""
        is_over = (deliveries.c.state == DeliveryState.HELD.value) & (deliveries.c.not_before <= now)
        over = select(deliveries).where(is_over).order_by(deliveries.c.study_id, deliveries.c.id)
        with self._database.read() as connection:  # it is looked often; a look takes no writer's lock
            if connection.execute(over.limit(1)).one_or_none() is None:
                return []
        with self._database.write() as connection:
            found = connection.execute(over).all()
            settled = []
            for study_id in dict.fromkeys(row.study_id for row in found):
                of_study = [row for row in found if row.study_id == study_id]
                if dropped := [row for row in of_study if row.at_time_out == AtTimeOut.DROP.value]:
                    settled.append(_refuse(connection, dropped, now, by, TOO_LATE))
                if released := [row for row in of_study if row.at_time_out == AtTimeOut.RELEASE.value]:
                    settled.append(
                        _release(connection, released, now, by, TOO_LATE, withdraws_earlier=withdraws_earlier)
                    )
            return settled


def _held(connection: Connection, study_instance_uid: str, destination: str | None) -> list[Row[Any]]:
    """Return the held deliveries of the newest revision that has any. Raises `KeyError`."""
    of_study = studies.c.study_instance_uid == study_instance_uid
    if connection.execute(select(studies.c.id).where(of_study).limit(1)).one_or_none() is None:
        raise KeyError(study_instance_uid)
    wanted = of_study & (deliveries.c.state == DeliveryState.HELD.value)
    if destination is not None:
        wanted &= deliveries.c.destination == destination
    held = connection.execute(
        select(deliveries, studies.c.revision)
        .join_from(deliveries, studies, deliveries.c.study_id == studies.c.id)
        .where(wanted)
        .order_by(deliveries.c.id)
    ).all()
    if not held:
        raise KeyError(destination)
    newest = max(row.revision for row in held)
    return [row for row in held if row.revision == newest]


def _release(
    connection: Connection,
    held: Collection[Row[Any]],
    now: datetime,
    by: Actor,
    reason: str,
    *,
    withdraws_earlier: bool,
) -> StudyRecord:
    (study_id,) = {row.study_id for row in held}
    free = {"state": DeliveryState.PENDING.value, "due_since": now}
    free |= {"not_before": None, "at_time_out": None, "last_error": None}
    connection.execute(update(deliveries).where(deliveries.c.id.in_([row.id for row in held])).values(**free))
    said = _said("released", held, by, reason)
    change(connection, study_id, state_of(connection, study_id), StudyEvent.RELEASED, now, said)
    record(connection, events.changed(study_of(connection, study_id), now, by, said))
    if withdraws_earlier:
        withdraw_earlier(connection, study_id, now)
    return study_of(connection, study_id)


def _refuse(connection: Connection, held: Collection[Row[Any]], now: datetime, by: Actor, reason: str) -> StudyRecord:
    (study_id,) = {row.study_id for row in held}
    said = _said("refused", held, by, reason)
    refuse_held(connection, study_id, [row.id for row in held], now, said)
    record(connection, events.changed(study_of(connection, study_id), now, by, said))
    end_if_settled(connection, study_id, now)
    return study_of(connection, study_id)


def _said(act: str, held: Collection[Row[Any]], by: Actor, reason: str) -> str:
    names = ", ".join(dict.fromkeys(row.destination for row in held))
    return f"{act} for {names} by {by.name}{f': {reason}' if reason else ''}"
