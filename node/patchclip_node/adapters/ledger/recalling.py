"""Results are withdrawn, and the notes that tell destinations so are owed until they are among the deliveries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, exists, func, insert, select, update

from patchclip_node.adapters.ledger import rows
from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.changes import change, state_of
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.purged import bring_back, may_be_there, withdrawable
from patchclip_node.adapters.ledger.returning import end_if_settled
from patchclip_node.adapters.ledger.schema import deliveries, instances, is_built, owed_notes, recalls, results, studies
from patchclip_node.audit import events
from patchclip_node.audit.values import AuditEvent
from patchclip_node.domain.errors import RecalledError
from patchclip_node.domain.recalls import Recall, RecallReason, RecallRequest, RecallScope, Withdrawable
from patchclip_node.domain.records import DeliveryState, NewResult, OwedNote, ResultRecord
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.variants import NoteKind

_Key = TypeVar("_Key", int, str)

_AT_ONCE: Final = 500
"""Keys in one statement; databases bound them."""

_THIS_NODE: Final = "this node"
"""Who withdraws earlier results when later ones are made."""

_IS_NOTE: Final = results.c.kind.in_([kind.value for kind in NoteKind])


class SqlRecalls:
    """The port `Recalls`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def concerned(self, scope: RecallScope, subject: str) -> list[Withdrawable]:
        """See the port."""
        with self._database.read() as connection:
            live = _concerned(connection, _of_subject(scope, subject))
            return [*live.values(), *withdrawable(connection, scope, subject)]

    def withdraw(self, request: RecallRequest, now: datetime, chosen: Collection[str] | None = None) -> Recall:
        """See the port."""
        scope, subject = request.scope, request.subject
        with self._database.write() as connection:
            back = bring_back(connection, scope, subject, now)
            concerned = _concerned(connection, _of_subject(scope, subject))
            for uids in _batches(back):
                concerned |= _concerned(connection, results.c.sop_instance_uid.in_(uids))
            ids = [id_ for id_, one in concerned.items() if chosen is None or one.sop_instance_uid in set(chosen)]
            return withdraw(connection, request, now, ids)

    def of_model(self, weights_digest: str) -> Recall | None:
        """See the port."""
        with self._database.read() as connection:
            return recall_of_model(connection, weights_digest)

    def all(self) -> list[Recall]:
        """See the port."""
        with self._database.read() as connection:
            return [rows.recall(row) for row in connection.execute(rows.select_recalls())]

    def of_revisions(self, study_ids: Collection[int]) -> dict[int, Recall]:
        """See the port."""
        with self._database.read() as connection:
            return {
                study_id: recall
                for ids in _batches(sorted(set(study_ids)))
                for study_id, recall in _last_recalls(connection, ids)
            }

    def owed_notes(self, limit: int) -> list[OwedNote]:
        """See the port."""
        with self._database.read() as connection:
            chosen = select(owed_notes).where(_may_be_built()).order_by(owed_notes.c.id).limit(limit)
            return [_owed(connection, row) for row in connection.execute(chosen).all()]

    def settle_note(self, owed: OwedNote, note: NewResult, now: datetime) -> bool:
        """See the port."""
        with self._database.write() as connection:
            if not connection.execute(delete(owed_notes).where(owed_notes.c.id == owed.id)).rowcount:
                return False
            values = {
                "study_id": owed.carrier_id,
                "kind": note.kind.value,
                "variant": note.variant,
                "sop_class_uid": note.sop_class_uid,
                "sop_instance_uid": note.sop_instance_uid,
                "series_instance_uid": note.series_instance_uid,
                "spool_key": note.spool_key,
                "size_bytes": note.size_bytes,
                "sha256": note.sha256,
                "built_at": now,
                "recall_id": owed.recall.id,
            }
            inserted = connection.execute(insert(results).values(**values))
            assert inserted.inserted_primary_key is not None
            connection.execute(
                insert(deliveries).values(
                    study_id=owed.carrier_id,
                    result_id=int(inserted.inserted_primary_key[0]),
                    destination=owed.destination,
                    state=DeliveryState.PENDING.value,
                    due_since=now,
                    attempts=0,
                )
            )
            return True


def withdraw(
    connection: Connection,
    request: RecallRequest,
    now: datetime,
    result_ids: Collection[int],
    carrier_id: int | None = None,
) -> Recall:
    """Withdraw results within the transaction: none of them is sent from now on.

    What was sent, or is being sent, is told to each destination by a note that is owed from now on. carrier_id: the
    revision among whose deliveries the notes go; by default the one whose results they are.
    """
    values = {
        "scope": request.scope.value,
        "subject": request.subject,
        "reason": request.reason.value,
        "words": request.words,
        "asked_by": request.by,
        "at": now,
    }
    inserted = connection.execute(insert(recalls).values(**values))
    assert inserted.inserted_primary_key is not None
    recall = Recall(int(inserted.inserted_primary_key[0]), request, now)
    for ids in _batches(sorted(result_ids)):
        connection.execute(update(results).where(results.c.id.in_(ids)).values(recall_id=recall.id))
        connection.execute(
            update(deliveries)
            .where(
                deliveries.c.result_id.in_(ids)
                & deliveries.c.state.not_in([DeliveryState.SENDING.value, DeliveryState.REPLACED.value])
            )
            .values(state=DeliveryState.RECALLED.value, not_before=None, transaction_uid=None, at_time_out=None)
        )
    for study_id in _studies_of(connection, recall):
        _owe_notes(connection, recall, study_id, carrier_id or study_id)
        _tell_study(connection, recall, study_id, now)
        record(connection, _audited(connection, request, study_id, now))
    return recall


def _audited(connection: Connection, request: RecallRequest, study_id: int, now: datetime) -> AuditEvent:
    study = rows.study(connection.execute(rows.select_studies().where(studies.c.id == study_id)).one())
    who = events.node(events.WORK, is_requestor=True) if request.by == _THIS_NODE else events.person(request.by)
    return events.changed(study, now, who, f"recall of the {request.scope}, {request.reason}: {request.words}")


def withdraw_earlier(connection: Connection, study_id: int, now: datetime) -> None:
    """Withdraw the results of a study's earlier revisions: the later ones say all that they said, and more."""
    of_it = connection.execute(rows.select_studies().where(studies.c.id == study_id)).one()
    earlier = (studies.c.study_instance_uid == of_it.study_instance_uid) & (studies.c.revision < of_it.revision)
    ids = connection.execute(
        select(results.c.id)
        .join_from(results, studies, results.c.study_id == studies.c.id)
        .where(earlier & results.c.recall_id.is_(None) & is_built)
    ).scalars()
    if replaced := list(ids):
        words = f"Replaced by the results of revision {of_it.revision} of this study."
        request = RecallRequest(RecallScope.STUDY, of_it.study_instance_uid, RecallReason.QUALITY, words, _THIS_NODE)
        withdraw(connection, request, now, replaced, carrier_id=study_id)


def notes_are_owed(connection: Connection, study_id: int) -> bool:
    """Tell whether a revision still has to carry a note."""
    return bool(connection.execute(select(exists().where(owed_notes.c.carrier_id == study_id))).scalar_one())


def refuse_recalled_model(connection: Connection, weights_digest: str) -> None:
    """Raise `RecalledError` where all that these weights find is withdrawn."""
    if (recall := recall_of_model(connection, weights_digest)) is not None:
        raise RecalledError(recall.refusal)


_RECALL_OF_MODEL: Final = (
    rows.select_recalls()
    .where((recalls.c.scope == RecallScope.MODEL.value) & (recalls.c.subject == bindparam("weights_digest")))
    .limit(1)
)
"""Made once: each study asks it, and it costs more to make than to run."""


def recall_of_model(connection: Connection, weights_digest: str) -> Recall | None:
    """Return the first recall of a model, None where there is none."""
    row = connection.execute(_RECALL_OF_MODEL, {"weights_digest": weights_digest}).one_or_none()
    return None if row is None else rows.recall(row)


def refuse_withdrawn(connection: Connection, study_id: int) -> None:
    """Raise `RecalledError` where a revision has results and all of them are withdrawn."""
    of_study = rows.select_results().where((results.c.study_id == study_id) & ~_IS_NOTE)
    found = [rows.result(row) for row in connection.execute(of_study)]
    if found and all(one.recall is not None for one in found):
        assert found[-1].recall is not None
        raise RecalledError(f"its results were {found[-1].recall.line}")


def _last_recalls(connection: Connection, study_ids: Collection[int]) -> Iterator[tuple[int, Recall]]:
    last = (
        select(results.c.study_id, func.max(results.c.recall_id).label("id"))
        .where(results.c.study_id.in_(study_ids) & results.c.recall_id.is_not(None) & ~_IS_NOTE)
        .group_by(results.c.study_id)
        .subquery()
    )
    of_them = rows.select_recalls().add_columns(last.c.study_id).join(last, last.c.id == recalls.c.id)
    for row in connection.execute(of_them):
        yield row.study_id, rows.recall(row)


def _batches(keys: Iterable[_Key]) -> Iterator[tuple[_Key, ...]]:
    rest = iter(keys)
    while batch := tuple(islice(rest, _AT_ONCE)):
        yield batch


def _concerned(connection: Connection, of_subject: ColumnElement[bool]) -> dict[int, Withdrawable]:
    """Return the results of the ledger that a recall withdraws, by their ids."""
    chosen = (
        select(results.c.id, results.c.sop_instance_uid, results.c.spool_key, studies.c.study_instance_uid)
        .join_from(results, studies, results.c.study_id == studies.c.id)
        .where(of_subject & results.c.recall_id.is_(None) & is_built)
        .order_by(results.c.id)
    )
    found = connection.execute(chosen).all()
    sent: dict[int, list[str]] = {}
    for ids in _batches(row.id for row in found):
        there = select(deliveries.c.result_id, deliveries.c.destination).where(
            deliveries.c.result_id.in_(ids) & may_be_there()
        )
        for row in connection.execute(there.order_by(deliveries.c.id)):
            sent.setdefault(row.result_id, []).append(row.destination)
    return {
        row.id: Withdrawable(row.sop_instance_uid, row.study_instance_uid, row.spool_key, tuple(sent.get(row.id, ())))
        for row in found
    }


def _of_subject(scope: RecallScope, subject: str) -> ColumnElement[bool]:
    match scope:
        case RecallScope.STUDY:
            return studies.c.study_instance_uid == subject
        case RecallScope.IMAGE:
            of_image = (instances.c.sop_instance_uid == subject) & instances.c.study_id.is_not(None)
            return studies.c.study_instance_uid.in_(select(instances.c.study_instance_uid).where(of_image))
        case RecallScope.MODEL:
            return studies.c.summary_json.contains(f'"weights_digest":"{subject}"', autoescape=True)


def _studies_of(connection: Connection, recall: Recall) -> list[int]:
    of_recall = (results.c.recall_id == recall.id) & ~_IS_NOTE
    return list(connection.execute(select(results.c.study_id).distinct().where(of_recall)).scalars())


def _owe_notes(connection: Connection, recall: Recall, study_id: int, carrier_id: int) -> None:
    told = (
        select(deliveries.c.destination)
        .distinct()
        .join_from(deliveries, results, deliveries.c.result_id == results.c.id)
        .where((results.c.recall_id == recall.id) & ~_IS_NOTE & (results.c.study_id == study_id) & may_be_there())
    )
    for destination in sorted(connection.execute(told).scalars()):
        values = {"recall_id": recall.id, "study_id": study_id, "carrier_id": carrier_id, "destination": destination}
        connection.execute(insert(owed_notes).values(**values))


def _tell_study(connection: Connection, recall: Recall, study_id: int, now: datetime) -> None:
    state = state_of(connection, study_id)
    change(connection, study_id, state, StudyEvent.RECALLED, now, recall.line, error=None)
    end_if_settled(connection, study_id, now, "all is recalled" if state is StudyState.ANALYSED else "")


def _may_be_built() -> ColumnElement[bool]:
    """Which notes can be built: none of the results that they withdraw is on its way to their destination."""
    sending = (
        select(deliveries.c.id)
        .where(
            (deliveries.c.study_id == owed_notes.c.study_id)
            & (deliveries.c.destination == owed_notes.c.destination)
            & (deliveries.c.state == DeliveryState.SENDING.value)
        )
        .exists()
    )
    return ~sending


def _owed(connection: Connection, row: Row[Any]) -> OwedNote:
    recall = rows.recall(connection.execute(rows.select_recalls().where(recalls.c.id == row.recall_id)).one())
    study = rows.study(connection.execute(rows.select_studies().where(studies.c.id == row.study_id)).one())
    return OwedNote(
        id=row.id,
        recall=recall,
        study=study,
        carrier_id=row.carrier_id,
        destination=row.destination,
        results=tuple(_told(connection, row)),
    )


def _told(connection: Connection, row: Row[Any]) -> Iterator[ResultRecord]:
    there = select(deliveries.c.result_id).where((deliveries.c.destination == row.destination) & may_be_there())
    of_note = (results.c.recall_id == row.recall_id) & (results.c.study_id == row.study_id) & ~_IS_NOTE
    chosen = rows.select_results().where(of_note & results.c.id.in_(there))
    yield from (rows.result(found) for found in connection.execute(chosen))
