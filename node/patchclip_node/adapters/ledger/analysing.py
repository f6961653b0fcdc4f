"""Studies are leased for analysis and come back with results, a reason or an error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Connection, bindparam, exists, func, insert, select, update

from patchclip_node.adapters.ledger import rows
from patchclip_node.adapters.ledger.auditing import record
from patchclip_node.adapters.ledger.changes import change, change_leased
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.measuring import scored, took
from patchclip_node.adapters.ledger.recalling import refuse_recalled_model, withdraw_earlier
from patchclip_node.adapters.ledger.returning import end_if_settled, insert_results, refuse_held
from patchclip_node.adapters.ledger.schema import deliveries, instances, results, studies
from patchclip_node.audit import events
from patchclip_node.domain.errors import DefectError
from patchclip_node.domain.records import (
    DeliveryState,
    FinishedAnalysis,
    InstanceRecord,
    LeasedStudy,
    ResultRecord,
    StudyRecord,
)
from patchclip_node.domain.release import Held
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.steps import Step, known_steps

_BEFORE_ANALYSED = tuple(s.value for s in (StudyState.RECEIVING, StudyState.RECEIVED, StudyState.ANALYSING))


class SqlAnalyses:
    """The port `Analyses`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease(self, now: datetime, owner: str, lease_s: float) -> LeasedStudy | None:
        """See the port."""
        with self._database.write() as connection:
            row = connection.execute(_MOST_URGENT, {"now": now}).one_or_none()
            if row is None:
                return None
            took(connection, row.id, now, {Step.WAIT: (now - row.state_since).total_seconds()})
            change(
                connection,
                row.id,
                StudyState.RECEIVED,
                StudyEvent.LEASED,
                now,
                owner,
                attempts=row.attempts + 1,
                not_before=None,
                lease_owner=owner,
                lease_expires_at=now + timedelta(seconds=lease_s),
            )
            study = study_of(connection, row.id)
            return LeasedStudy(
                study=study,
                owner=owner,
                instances=images_of(connection, study),
                predecessors=_predecessors_of(connection, study),
            )

    def finish(self, study_id: int, owner: str, now: datetime, finished: FinishedAnalysis) -> None:
        """See the port."""
        detail = f"{len(finished.results)} results"
        values = {"summary_json": finished.summary_json, "error": None}
        with self._database.write() as connection:
            refuse_recalled_model(connection, finished.weights_digest)
            change_leased(connection, study_id, owner, StudyEvent.ANALYSIS_FINISHED, now, detail, **values)
            _keep_image_reasons(connection, study_id, finished.image_reasons)
            ids = insert_results(connection, study_id, now, finished.results)
            classes = [result.sop_class_uid for result in finished.results]
            record(connection, events.analysed(study_of(connection, study_id), now, classes, finished.decision))
            took(connection, study_id, now, known_steps(finished.seconds))
            scored(connection, finished.weights_digest, finished.scores)
            if finished.kept:
                change(connection, study_id, StudyState.ANALYSED, StudyEvent.KEPT_HERE, now, finished.kept)
                return
            _plan_deliveries(connection, study_id, now, finished, ids)
            _replace_held(connection, study_id, now)
            goes_out = not finished.destinations or any(name not in finished.held for name in finished.destinations)
            if finished.withdraws_earlier and ids and goes_out:
                withdraw_earlier(connection, study_id, now)
            end_if_settled(connection, study_id, now, "no destinations")

    def reject(self, study_id: int, owner: str, now: datetime, reason: str, image_reasons: Mapping[int, str]) -> None:
        """See the port."""
        with self._database.write() as connection:
            change_leased(
                connection, study_id, owner, StudyEvent.NOTHING_TO_ANALYSE, now, reason, reason=reason, error=None
            )
            _keep_image_reasons(connection, study_id, image_reasons)
            record(connection, events.not_analysed(study_of(connection, study_id), now, reason))

    def postpone(
        self, study_id: int, owner: str, now: datetime, error: str, not_before: datetime, *, counts: bool = True
    ) -> None:
        """See the port."""
        values: dict[str, Any] = {"error": error, "not_before": not_before}
        with self._database.write() as connection:
            if not counts:
                values["attempts"] = study_of(connection, study_id).attempts - 1
            change_leased(connection, study_id, owner, StudyEvent.ANALYSIS_POSTPONED, now, error, **values)

    def fail(self, study_id: int, owner: str, now: datetime, error: str) -> None:
        """See the port."""
        with self._database.write() as connection:
            change_leased(connection, study_id, owner, StudyEvent.ANALYSIS_FAILED, now, error, error=error)
            record(connection, events.not_analysed(study_of(connection, study_id), now, error, failed=True))


def due_for_analysis(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Which studies can be leased: closed, waiting for no later moment, and with all earlier revisions analysed.

    A revision names its predecessors' results, so it waits until they exist.
    """
    earlier = studies.alias("earlier")
    unfinished_earlier = exists().where(
        earlier.c.study_instance_uid == studies.c.study_instance_uid,
        earlier.c.revision < studies.c.revision,
        earlier.c.state.in_(_BEFORE_ANALYSED),
    )
    is_time = studies.c.not_before.is_(None) | (studies.c.not_before <= now)
    return (studies.c.state == StudyState.RECEIVED.value) & is_time & ~unfinished_earlier


_MOST_URGENT: Final = (
    select(studies.c.id, studies.c.attempts, studies.c.state_since)
    .where(due_for_analysis(bindparam("now")))
    .order_by(studies.c.priority, studies.c.first_received_at, studies.c.id)
    .limit(1)
)
_STUDY: Final = rows.select_studies().where(studies.c.id == bindparam("study_id"))
_IMAGES: Final = rows.select_instances().where(
    (studies.c.study_instance_uid == bindparam("study")) & (studies.c.revision <= bindparam("revision"))
)


def study_of(connection: Connection, study_id: int) -> StudyRecord:
    """Return a revision that is there."""
    return rows.study(connection.execute(_STUDY, {"study_id": study_id}).one())


def images_of(connection: Connection, study: StudyRecord) -> tuple[InstanceRecord, ...]:
    """Return the images that a revision is about, oldest first: all that joined the study up to this revision."""
    which = {"study": study.study_instance_uid, "revision": study.revision}
    return tuple(rows.instance(row) for row in connection.execute(_IMAGES, which))


def _plan_deliveries(
    connection: Connection, study_id: int, now: datetime, finished: FinishedAnalysis, ids: Mapping[str, int]
) -> None:
    """Plan each result for each destination that gets it: due at once, or held."""
    planned = [(name, uid) for name, uids in finished.destinations.items() for uid in uids]
    unknown = sorted({uid for _, uid in planned if uid not in ids})
    if unknown:
        raise DefectError(f"a destination was promised {', '.join(unknown)}, which is none of the study's results")
    for name, uid in planned:
        connection.execute(
            insert(deliveries).values(
                study_id=study_id,
                result_id=ids[uid],
                destination=name,
                due_since=now,
                attempts=0,
                **_waiting(finished.held.get(name), now),
            )
        )


def _waiting(held: Held | None, now: datetime) -> dict[str, Any]:
    if held is None:
        return {"state": DeliveryState.PENDING.value}
    until = None if held.after_h is None else now + timedelta(hours=held.after_h)
    return {
        "state": DeliveryState.HELD.value,
        "not_before": until,
        "at_time_out": held.then.value,
        "last_error": held.why,
    }


def _replace_held(connection: Connection, study_id: int, now: datetime) -> None:
    """Refuse what is held of earlier revisions: the later one says all that they said, and more."""
    study = study_of(connection, study_id)
    of_earlier = (studies.c.study_instance_uid == study.study_instance_uid) & (studies.c.revision < study.revision)
    held = connection.execute(
        select(deliveries.c.id, deliveries.c.study_id)
        .join_from(deliveries, studies, deliveries.c.study_id == studies.c.id)
        .where(of_earlier & (deliveries.c.state == DeliveryState.HELD.value))
        .order_by(deliveries.c.id)
    ).all()
    for earlier_id in dict.fromkeys(row.study_id for row in held):
        ids = [row.id for row in held if row.study_id == earlier_id]
        refuse_held(connection, earlier_id, ids, now, f"replaced by revision {study.revision}")
        end_if_settled(connection, earlier_id, now)


def _keep_image_reasons(connection: Connection, study_id: int, image_reasons: Mapping[int, str]) -> None:
    for image in images_of(connection, study_of(connection, study_id)):
        reason = image_reasons.get(image.id)
        if reason != image.image_reason:
            connection.execute(update(instances).where(instances.c.id == image.id).values(image_reason=reason))


def _predecessors_of(connection: Connection, study: StudyRecord) -> tuple[ResultRecord, ...]:
    """Return the results of the last earlier revision that has any; they name their own predecessors themselves.

    What a recall has withdrawn precedes nothing.
    """
    of_earlier = (studies.c.study_instance_uid == study.study_instance_uid) & (studies.c.revision < study.revision)
    of_earlier &= results.c.recall_id.is_(None)
    last = select(func.max(studies.c.revision)).join(results, results.c.study_id == studies.c.id).where(of_earlier)
    found = connection.execute(rows.select_results().where(of_earlier & (studies.c.revision == last.scalar_subquery())))
    return tuple(rows.result(row) for row in found)
