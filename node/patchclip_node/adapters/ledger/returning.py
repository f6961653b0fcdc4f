"""Results are leased for delivery and end delivered or failed; the study ends with the last of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    Update,
    bindparam,
    case,
    exists,
    insert,
    select,
    update,
)

from patchclip_node.adapters.ledger import rows
from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.changes import change, state_of
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.measuring import took
from patchclip_node.adapters.ledger.schema import deliveries, owed_notes, results, studies
from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.domain.errors import LostLeaseError
from patchclip_node.domain.records import DeliveryLease, DeliveryRecord, DeliveryState, NewResult
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.steps import Step
from patchclip_node.domain.variants import NoteKind

GIVEN_UP = frozenset({DeliveryState.FAILED, DeliveryState.CONFLICT})
"""What no clock, but an administrator may send again."""

OPEN = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT})
"""What is under way: the study is not settled."""

_UNSETTLED = frozenset({StudyState.ANALYSED, StudyState.RETURNING, StudyState.HELD})

NOT_COMMITTED = "it was taken and asked for, and no storage commitment came in time"

_NO_LEASE: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None, "transaction_uid": None}


class SqlDeliveries:
    """The port `Deliveries`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease(
        self, now: datetime, owner: str, lease_s: float, names: Collection[str], to: Actor | None = None
    ) -> DeliveryLease | None:
        """See the port."""
        to_these = {"now": now, "names": list(names)}
        with self._database.read() as connection:  # lanes look often; a look takes no writer's lock
            if not connection.execute(_IS_DUE, to_these).scalar_one():
                return None
        with self._database.write() as connection:
            if connection.execute(_IS_UNDER_WAY, {"names": list(names)}).scalar_one():
                return None
            found = connection.execute(_MOST_URGENT, to_these).one_or_none()
            if found is None:
                return None
            state = state_of(connection, found.study_id)
            if state in {StudyState.ANALYSED, StudyState.HELD}:
                change(connection, found.study_id, state, StudyEvent.DELIVERY_STARTED, now, owner)
            chosen = {"study_id": found.study_id, "destination_of": found.destination, "now": now}
            ids = connection.execute(_DUE_OF_STUDY, chosen).scalars().all()
            until = now + timedelta(seconds=lease_s)
            connection.execute(_LEASE, {"ids": ids, "owner": owner, "until": until})
            study = connection.execute(_STUDY, {"study_id": found.study_id}).one()
            lease = DeliveryLease(
                study=rows.study(study),
                destination=found.destination,
                owner=owner,
                deliveries=tuple(one for one in deliveries_of(connection, found.study_id) if one.id in ids),
            )
            destination = to or events.destination(found.destination)
            record(connection, events.begins_sending(lease.study, now, destination, lease.sop_class_uids))
            return lease

    def confirm(self, delivery_id: int, owner: str, now: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            row = _leased(connection, delivery_id, owner)
            took(connection, row.study_id, now, {Step.DELIVER: (now - row.due_since).total_seconds()}, row.destination)
            arrived = {"state": DeliveryState.DELIVERED.value, "delivered_at": now, "last_error": None}
            end_sending(connection, row.id, row.study_id, now, **arrived)

    def await_commitment(
        self, delivery_ids: Collection[int], owner: str, now: datetime, transaction_uid: str, until: datetime
    ) -> None:
        """See the port."""
        with self._database.write() as connection:
            for delivery_id in delivery_ids:
                row = _leased(connection, delivery_id, owner)
                sent = {"state": DeliveryState.SENT.value, "not_before": until, "transaction_uid": transaction_uid}
                end_sending(connection, row.id, row.study_id, now, **sent)

    def postpone(self, delivery_id: int, owner: str, now: datetime, error: str, not_before: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            row = _leased(connection, delivery_id, owner)
            again = {"state": DeliveryState.PENDING.value, "last_error": error, "not_before": not_before}
            end_sending(connection, row.id, row.study_id, now, **again)

    def replace(self, delivery_id: int, owner: str, now: datetime, error: str, variant: str) -> bool:
        """See the port."""
        with self._database.write() as connection:
            row = _leased(connection, delivery_id, owner)
            instead = (results.c.study_id == row.study_id) & (results.c.variant == variant)
            instead &= results.c.recall_id.is_(None)
            ids = set(connection.execute(select(results.c.id).where(instead)).scalars())
            if not ids:
                return False
            there = (deliveries.c.study_id == row.study_id) & (deliveries.c.destination == row.destination)
            planned = set(connection.execute(select(deliveries.c.result_id).where(there)).scalars())
            for result_id in sorted(ids - planned):
                connection.execute(
                    insert(deliveries).values(
                        study_id=row.study_id,
                        result_id=result_id,
                        destination=row.destination,
                        state=DeliveryState.PENDING.value,
                        due_since=now,
                        attempts=0,
                    )
                )
            end_sending(connection, row.id, row.study_id, now, state=DeliveryState.REPLACED.value, last_error=error)
            return True

    def add_pictures(self, delivery_id: int, owner: str, now: datetime, built: Sequence[NewResult]) -> bool:
        """See the port."""
        with self._database.write() as connection:
            row = _leased(connection, delivery_id, owner)
            variants = {one.variant for one in built}
            of_study = (results.c.study_id == row.study_id) & results.c.variant.in_(variants)
            is_withdrawn = connection.execute(_IS_WITHDRAWN, {"delivery_id": row.id}).scalar_one()
            if is_withdrawn or connection.execute(select(exists().where(of_study))).scalar_one():
                return False
            insert_results(connection, row.study_id, now, built)
            return True

    def fail(self, delivery_id: int, owner: str, now: datetime, error: str) -> None:
        """See the port."""
        self._give_up(delivery_id, owner, now, error, DeliveryState.FAILED)

    def hold(self, delivery_id: int, owner: str, now: datetime, error: str) -> None:
        """See the port."""
        self._give_up(delivery_id, owner, now, error, DeliveryState.CONFLICT)

    def _give_up(self, delivery_id: int, owner: str, now: datetime, error: str, state: DeliveryState) -> None:
        with self._database.write() as connection:
            row = _leased(connection, delivery_id, owner)
            end_sending(connection, row.id, row.study_id, now, state=state.value, last_error=error)


def insert_results(
    connection: Connection, study_id: int, built_at: datetime, new_results: Sequence[NewResult]
) -> dict[str, int]:
    """Return the new rows' ids by SOP Instance UID."""
    ids: dict[str, int] = {}
    for result in new_results:
        values: dict[str, Any] = asdict(result) | {"kind": result.kind.value}
        inserted = connection.execute(insert(results).values(study_id=study_id, built_at=built_at, **values))
        assert inserted.inserted_primary_key is not None
        ids[result.sop_instance_uid] = int(inserted.inserted_primary_key[0])
    return ids


def due_for_delivery(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Which deliveries can be leased: those that were not sent, and those whose commitment did not come in time."""
    is_time = deliveries.c.not_before.is_(None) | (deliveries.c.not_before <= now)
    return deliveries.c.state.in_([DeliveryState.PENDING.value, DeliveryState.SENT.value]) & is_time


def deliveries_of(connection: Connection, study_id: int) -> list[DeliveryRecord]:
    """Return a revision's deliveries with their results."""
    of_study = {"study_id": study_id}
    built = {row.id: rows.result(row) for row in connection.execute(_RESULTS, of_study)}
    found = connection.execute(_DELIVERIES, of_study)
    return [rows.delivery(row, built[row.result_id]) for row in found]


def take_back(connection: Connection, row: Row[Any], now: datetime, error: str) -> None:
    """End a delivery's lease from outside: due again at once."""
    end_sending(connection, row.id, row.study_id, now, state=DeliveryState.PENDING.value, last_error=error)


def end_sending(connection: Connection, delivery_id: int, study_id: int, now: datetime, **values: Any) -> None:
    """Change a delivery as `set_delivery` does, and end the study where that was the last one open.

    It may be however the sending ends: one that is to go again stays here where its result was withdrawn meanwhile.
    """
    set_delivery(connection, delivery_id, **values)
    end_if_settled(connection, study_id, now)


def end_if_settled(connection: Connection, study_id: int, now: datetime, detail: str = "") -> None:
    """End the study when none of its deliveries is open any more, and no rejection note is owed that goes with them.

    Where some are held it is HELD instead. detail: of the event, where everything has arrived or nothing was to.
    """
    state = state_of(connection, study_id)
    all_of_study = deliveries_of(connection, study_id)
    under_way = any(one.state in OPEN for one in all_of_study) or _is_owed(connection, study_id)
    if state not in _UNSETTLED or under_way:
        return
    if any(one.state is DeliveryState.HELD for one in all_of_study):
        if state is not StudyState.HELD:
            change(connection, study_id, state, StudyEvent.HELD_BACK, now)
        return
    failures = [one for one in all_of_study if one.state in GIVEN_UP]
    if not failures:
        event = StudyEvent.KEPT_HERE if _is_kept(state, all_of_study) else StudyEvent.ALL_DELIVERED
        if all_of_study and event is StudyEvent.ALL_DELIVERED and state is StudyState.RETURNING:
            first = connection.execute(select(studies.c.first_received_at).where(studies.c.id == study_id)).scalar_one()
            took(connection, study_id, now, {Step.WHOLE: (now - first).total_seconds()})
        change(connection, study_id, state, event, now, detail)
        return
    error = "; ".join(dict.fromkeys(f"{one.destination}: {one.last_error}" for one in failures))
    served = {one.destination for one in all_of_study if one.state is not DeliveryState.REFUSED}
    complete = served - {one.destination for one in failures}
    event = StudyEvent.SOME_DELIVERED if complete else StudyEvent.DELIVERY_FAILED
    change(connection, study_id, state, event, now, error, error=error)


def _is_owed(connection: Connection, study_id: int) -> bool:
    """Tell whether a rejection note is owed that goes with this revision."""
    return bool(connection.execute(_IS_OWED, {"study_id": study_id}).scalar_one())


def _is_kept(state: StudyState, of_study: Collection[DeliveryRecord]) -> bool:
    """Tell whether nothing of a settled study has arrived anywhere since it was held; rejection notes do not count."""
    results_of_it = [one for one in of_study if not isinstance(one.result.result.kind, NoteKind)]
    was_held = state is StudyState.HELD or any(one.state is DeliveryState.REFUSED for one in results_of_it)
    return was_held and all(one.state is not DeliveryState.DELIVERED for one in results_of_it)


def refuse_held(connection: Connection, study_id: int, delivery_ids: Collection[int], now: datetime, said: str) -> None:
    """Let held deliveries never go; the study ends by `end_if_settled`. said: by whom, and why."""
    for delivery_id in delivery_ids:
        refused = {"state": DeliveryState.REFUSED.value, "last_error": said}
        set_delivery(connection, delivery_id, not_before=None, at_time_out=None, **refused)
    change(connection, study_id, state_of(connection, study_id), StudyEvent.RELEASE_REFUSED, now, said)


def _leased(connection: Connection, delivery_id: int, owner: str) -> Row[Any]:
    row = connection.execute(_LEASED, {"delivery_id": delivery_id, "owner": owner}).one_or_none()
    if row is None:
        raise LostLeaseError(f"{owner} no longer holds the lease of delivery {delivery_id}")
    return row


def set_delivery(connection: Connection, delivery_id: int, **values: Any) -> None:
    """Change a delivery, which waits for no lease and no commitment any more unless `values` say so.

    Whatever became of it: one whose result was withdrawn meanwhile ends as RECALLED.
    """
    changed = _NO_LEASE | values
    if connection.execute(_IS_WITHDRAWN, {"delivery_id": delivery_id}).scalar_one():
        changed |= _NO_LEASE | {"state": DeliveryState.RECALLED.value, "not_before": None}
    new = {f"new_{name}": value for name, value in changed.items()}
    connection.execute(_setting(tuple(sorted(changed))), {"of_delivery": delivery_id, **new})


@cache
def _setting(columns: tuple[str, ...]) -> Update:
    """Return what sets these columns of a delivery; there are a dozen of such statements."""
    to_new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    return update(deliveries).where(deliveries.c.id == bindparam("of_delivery")).values(to_new)


def withdrawn_results() -> Select[Any]:
    """Select the ids of results that a recall has withdrawn; a note, which has a recall as well, is none."""
    is_note = results.c.kind.in_([kind.value for kind in NoteKind])
    return select(results.c.id).where(results.c.recall_id.is_not(None) & ~is_note)


# Made once: a lane asks them of each study, and making a statement costs more than running it.
_NAMES: Final = deliveries.c.destination.in_(bindparam("names", expanding=True))
_OF_STUDY: Final = deliveries.c.study_id == bindparam("study_id")
_DUE: Final = due_for_delivery(bindparam("now"))
_IS_DUE: Final = select(exists().where(_DUE & _NAMES))
_IS_UNDER_WAY: Final = select(exists().where((deliveries.c.state == DeliveryState.SENDING.value) & _NAMES))
_MOST_URGENT: Final = (
    select(deliveries.c.study_id, deliveries.c.destination)
    .join_from(deliveries, studies, deliveries.c.study_id == studies.c.id)
    .where(_DUE & _NAMES)
    .order_by(studies.c.priority, studies.c.first_received_at, studies.c.id, deliveries.c.destination)
    .limit(1)
)
_DUE_OF_STUDY: Final = select(deliveries.c.id).where(
    _OF_STUDY & (deliveries.c.destination == bindparam("destination_of")) & _DUE
)
_LEASE: Final = (
    update(deliveries)
    .where(deliveries.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        state=DeliveryState.SENDING.value,
        attempts=deliveries.c.attempts + 1,
        not_before=None,
        transaction_uid=None,
        was_sent=True,
        last_error=case((deliveries.c.state == DeliveryState.SENT.value, NOT_COMMITTED), else_=deliveries.c.last_error),
        lease_owner=bindparam("owner"),
        lease_expires_at=bindparam("until"),
    )
)
_STUDY: Final = rows.select_studies().where(studies.c.id == bindparam("study_id"))
_RESULTS: Final = rows.select_results().where(results.c.study_id == bindparam("study_id"))
_DELIVERIES: Final = rows.select_deliveries().where(_OF_STUDY)
_LEASED: Final = select(deliveries).where(
    (deliveries.c.id == bindparam("delivery_id"))
    & (deliveries.c.state == DeliveryState.SENDING.value)
    & (deliveries.c.lease_owner == bindparam("owner"))
)
_IS_OWED: Final = select(exists().where(owed_notes.c.carrier_id == bindparam("study_id")))
_IS_WITHDRAWN: Final = select(
    exists().where((deliveries.c.id == bindparam("delivery_id")) & deliveries.c.result_id.in_(withdrawn_results()))
)
