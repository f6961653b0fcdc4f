"""Instances arrive, studies open, go quiet and close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, exists, func, insert, select

from patchclip_node.adapters.ledger import rows
from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.backfill_tables import backfill
from patchclip_node.adapters.ledger.changes import change, open_revision
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.measuring import took
from patchclip_node.adapters.ledger.purged import newest_purged
from patchclip_node.adapters.ledger.schema import ForeignText, instances, is_built, results, returned_objects, studies
from patchclip_node.adapters.ledger.together import Together
from patchclip_node.adapters.ledger.tracing import trace_arrival
from patchclip_node.audit import events
from patchclip_node.audit.values import AuditEvent
from patchclip_node.domain.backfill import BackfillState
from patchclip_node.domain.listing import SEARCHED, searched
from patchclip_node.domain.records import Arrival, InstanceHeader, Priority, ReceivedInstance, StudyRecord
from patchclip_node.domain.states import OPEN_TO_INSTANCES, StudyEvent, StudyState
from patchclip_node.domain.steps import Step
from patchclip_node.domain.traces import Arriving, what_arrives

MADE_ELSEWHERE: Final = "this product made it, but not this node: another one did, or its ledger is gone"


def _asked(condition: ColumnElement[bool]) -> Select[Any]:
    return select(exists().where(condition))


_SOP_INSTANCE: Final = bindparam("sop_instance", type_=ForeignText())
_STUDY: Final = bindparam("study", type_=ForeignText())
_SAME_BYTES: Final = exists().where(
    (instances.c.sop_instance_uid == _SOP_INSTANCE) & (instances.c.sha256 == bindparam("digest"))
)
_IMAGE_OF_STUDY: Final = exists().where(
    (instances.c.study_instance_uid == _STUDY)
    & (instances.c.sop_instance_uid == _SOP_INSTANCE)
    & instances.c.study_id.is_not(None)
)
_PULLED: Final = exists().where(
    (backfill.c.study_instance_uid == _STUDY)
    & backfill.c.state.in_([BackfillState.ASKED.value, BackfillState.WAITING.value])
    & (backfill.c.attempts > 0)
)
_SEEN: Final = select(_SAME_BYTES.label("same_bytes"), _IMAGE_OF_STUDY.label("image_of_study"), _PULLED.label("pulled"))
_SAME_RESULT: Final = _asked((instances.c.sop_instance_uid == _SOP_INSTANCE) & instances.c.own_result)
_NEWEST_REVISION: Final = (
    rows.select_studies().where(studies.c.study_instance_uid == _STUDY).order_by(studies.c.revision.desc()).limit(1)
)
_KNOWN_STUDY: Final = _asked(studies.c.study_instance_uid == _STUDY)
_ISSUED: Final = _asked((results.c.sop_instance_uid == _SOP_INSTANCE) & is_built)
_INSERT: Final = insert(instances)
_IS_OPEN: Final = studies.c.state == StudyState.RECEIVING.value
_BY_NOW: Final = (studies.c.last_received_at <= bindparam("quiet_since")) | (
    studies.c.first_received_at <= bindparam("open_since")
)
_IS_OVER: Final = _asked(_IS_OPEN & _BY_NOW)
_OVER: Final = select(studies.c.id).where(_IS_OPEN & _BY_NOW).order_by(studies.c.id)
_CLOSED: Final = rows.select_studies().where(studies.c.id.in_(bindparam("ids", expanding=True))).order_by(studies.c.id)
_OPEN_SINCE: Final = select(func.min(studies.c.last_received_at), func.min(studies.c.first_received_at)).where(_IS_OPEN)
"""What is asked and written of each image. Made once: making a statement costs three times as much as running it."""

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Before any study began."""

_OF_INSTANCE: Final = tuple(field.name for field in fields(ReceivedInstance) if field.name != "header")
_OF_HEADER: Final = tuple(field.name for field in fields(InstanceHeader) if field.name != "priority")


_Brought = tuple[ReceivedInstance, Arriving | None]
"""An instance, and what its own thread knows of how it came: another thread may record it."""


class SqlArrivals:
    """The ports `Arrivals` and `QuietStudies`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._together: Together[_Brought, Arrival] = Together(self._record_all)

    def record(self, instance: ReceivedInstance) -> Arrival:
        """See the port. What several threads record at the same time is committed with one sync of the disk."""
        return self._together.do((instance, what_arrives()))

    def _record_all(self, arrived: Sequence[_Brought]) -> list[Arrival]:
        with self._database.write() as connection:
            return [_record(connection, instance, came) for instance, came in arrived]

    def record_returned(self, instance: ReceivedInstance, note: str) -> Arrival:
        """See the port."""
        header = instance.header
        with self._database.write() as connection:
            if _seen(connection, instance).same_bytes:
                return Arrival.DUPLICATE
            newest = newest_revision(connection, header.study_instance_uid)
            if newest is None:
                raise KeyError(header.study_instance_uid)
            added = _insert(connection, instance, study_id=None, image_reason=note)
            connection.execute(insert(returned_objects).values(instance_id=added))
            sender = instance.calling_ae_title, instance.peer_address
            told = events.received(rows.study(newest), *sender, [header.sop_class_uid])
            record(connection, replace(told, at=instance.received_at))
            return Arrival.OF_A_READER

    def knows(self, study_instance_uid: str) -> bool:
        """See the port."""
        with self._database.read() as connection:
            return _is(connection, _KNOWN_STUDY, study=study_instance_uid)

    def issued(self, sop_instance_uid: str) -> bool:
        """See the port."""
        with self._database.read() as connection:
            return _is(connection, _ISSUED, sop_instance=sop_instance_uid)

    def held(self, sop_instance_uid: str) -> list[tuple[str, str]]:
        """See the port."""
        with self._database.read() as connection:
            return [
                (row.sop_class_uid, row.spool_key)
                for table in (instances, results)
                for row in connection.execute(
                    select(table.c.sop_class_uid, table.c.spool_key).where(
                        (table.c.sop_instance_uid == sop_instance_uid) & table.c.spool_key.is_not(None)
                    )
                )
            ]

    def recent_senders(self, instances_back: int) -> list[tuple[str, str]]:
        """See the port."""
        recent = select(instances.c.calling_ae_title, instances.c.peer_address)
        recent_rows = recent.order_by(instances.c.id.desc()).limit(instances_back).subquery()
        with self._database.read() as connection:
            return [(row[0], row[1]) for row in connection.execute(select(recent_rows).distinct())]

    def close_quiet(self, now: datetime, quiet_s: float, max_open_s: float | None = None) -> list[StudyRecord]:
        """See the port."""
        longest = now - timedelta(seconds=max_open_s) if max_open_s is not None else _NEVER
        over = {"quiet_since": now - timedelta(seconds=quiet_s), "open_since": longest}
        with self._database.read() as connection:  # mostly none is over, and a look takes no writer's lock
            if not _is(connection, _IS_OVER, **over):
                return []
        with self._database.write() as connection:
            ids = connection.execute(_OVER, over).scalars().all()
            for study_id in ids:
                change(connection, study_id, StudyState.RECEIVING, StudyEvent.WENT_QUIET, now)
            closed = [rows.study(row) for row in connection.execute(_CLOSED, {"ids": ids})]
            record(connection, *(event for study in closed for event in _received(connection, study)))
            for study in closed:
                took(connection, study.id, now, {Step.RECEIVE: (now - study.first_received_at).total_seconds()})
            return closed

    def next_quiet(self, quiet_s: float, max_open_s: float | None = None) -> datetime | None:
        """See the port."""
        with self._database.read() as connection:
            last_at, first_at = connection.execute(_OPEN_SINCE).one()
        if last_at is None:
            return None
        quiet_at: datetime = last_at + timedelta(seconds=quiet_s)
        return quiet_at if max_open_s is None else min(quiet_at, first_at + timedelta(seconds=max_open_s))


def _received(connection: Connection, study: StudyRecord) -> list[AuditEvent]:
    """Return what the audit trail tells of a revision that is complete: one event for each sender."""
    senders: dict[tuple[str, str], list[str]] = {}
    query = select(instances.c.calling_ae_title, instances.c.peer_address, instances.c.sop_class_uid)
    for title, address, uid in connection.execute(query.where(instances.c.study_id == study.id)):
        senders.setdefault((title, address), []).append(uid)
    return [events.received(study, title, address, uids) for (title, address), uids in senders.items()]


def newest_revision(connection: Connection, study_instance_uid: str) -> Row[Any] | None:
    """Return the newest revision's row, or None where the study is unknown."""
    return connection.execute(_NEWEST_REVISION, {"study": study_instance_uid}).one_or_none()


def _is(connection: Connection, question: Select[Any], **facts: str | datetime) -> bool:
    return bool(connection.execute(question, facts).scalar_one())


def _seen(connection: Connection, instance: ReceivedInstance) -> Row[bool, bool, bool]:
    header = instance.header
    which = {"study": header.study_instance_uid, "sop_instance": header.sop_instance_uid, "digest": instance.sha256}
    return connection.execute(_SEEN, which).one()


def _record(connection: Connection, instance: ReceivedInstance, came: Arriving | None) -> Arrival:
    header = instance.header
    if instance.spool_key is None:
        if _is(connection, _SAME_RESULT, sop_instance=header.sop_instance_uid):
            return Arrival.DUPLICATE
        _insert(connection, instance, study_id=None)
        return Arrival.OWN_RESULT
    seen = _seen(connection, instance)
    if seen.same_bytes:
        return Arrival.DUPLICATE
    newest = newest_revision(connection, header.study_instance_uid)
    if newest is not None and header.issued_by_product:
        _insert(connection, instance, study_id=None, image_reason=MADE_ELSEWHERE)
        return Arrival.OWN_RESULT
    if seen.pulled:
        header = replace(header, priority=Priority.BACKFILL)
        instance = replace(instance, header=header)
    is_new_image = not seen.image_of_study
    if newest is not None and StudyState(newest.state) in OPEN_TO_INSTANCES:
        study_id, arrival = newest.id, Arrival.JOINED_STUDY
        _join(connection, newest, instance, is_new_image)
    else:
        study_id = _open(connection, newest, instance, is_new_image)
        arrival = Arrival.OPENED_STUDY if newest is None else Arrival.OPENED_REVISION
    _insert(connection, instance, study_id)
    trace_arrival(connection, study_id, instance, came)
    return arrival


def _insert(
    connection: Connection, instance: ReceivedInstance, study_id: int | None, image_reason: str | None = None
) -> int:
    header = instance.header
    values = {name: getattr(instance, name) for name in _OF_INSTANCE}
    values |= {name: getattr(header, name) for name in _OF_HEADER} | {"priority": int(header.priority)}
    of_study = {"study_id": study_id, "own_result": study_id is None, "image_reason": image_reason}
    added = connection.execute(_INSERT, values | of_study)
    assert added.inserted_primary_key is not None
    return int(added.inserted_primary_key[0])


def _open(connection: Connection, before: Row[Any] | None, instance: ReceivedInstance, is_new_image: bool) -> int:
    header = instance.header
    return open_revision(
        connection,
        StudyEvent.INSTANCE_ARRIVED,
        instance.received_at,
        header.sop_instance_uid,
        study_instance_uid=header.study_instance_uid,
        revision=1 + (newest_purged(connection, header.study_instance_uid) if before is None else before.revision),
        first_received_at=instance.received_at,
        last_received_at=instance.received_at,
        instance_count=int(is_new_image) + (0 if before is None else before.instance_count),
        **_seen_so_far(before, header, is_correction=not is_new_image),
    )


def _join(connection: Connection, study: Row[Any], instance: ReceivedInstance, is_new_image: bool) -> None:
    change(
        connection,
        study.id,
        StudyState(study.state),
        StudyEvent.INSTANCE_ARRIVED,
        instance.received_at,
        instance.header.sop_instance_uid,
        last_received_at=max(study.last_received_at, instance.received_at),
        instance_count=study.instance_count + int(is_new_image),
        **_seen_so_far(study, instance.header, is_correction=not is_new_image),
    )


def _seen_so_far(before: Row[Any] | None, header: InstanceHeader, *, is_correction: bool) -> dict[str, Any]:
    """Return a study's priority, the most urgent one, and its describing attributes with one more instance.

    An attribute has the first value that any of the study's instances had.

    A correction, which is an instance that came before with other bytes, describes the study better than what it
    corrects.
    """
    if before is None:
        described = {name: getattr(header, name) for name in rows.DESCRIBING}
        return described | _searched(described) | {"priority": int(header.priority)}
    first, then = (header, before) if is_correction else (before, header)
    described = {name: getattr(first, name) or getattr(then, name) for name in rows.DESCRIBING}
    return described | _searched(described) | {"priority": int(min(Priority(before.priority), header.priority))}


def _searched(described: dict[str, Any]) -> dict[str, str]:
    return searched(*(described[name] for name in SEARCHED))
