"""Rows to records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, select

from patchclip_node.adapters.ledger.schema import (
    SEARCH_COLUMNS,
    deliveries,
    events,
    instances,
    recalls,
    results,
    studies,
)
from patchclip_node.domain.recalls import Recall, RecallReason, RecallRequest, RecallScope
from patchclip_node.domain.records import (
    DeliveryRecord,
    DeliveryState,
    EventRecord,
    InstanceHeader,
    InstanceRecord,
    NewResult,
    Priority,
    ReceivedInstance,
    ResultRecord,
    StudyRecord,
)
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.variants import sent_kind

_RECALL = tuple(getattr(recalls.c, name) for name in ("scope", "subject", "reason", "words", "asked_by", "at"))
"""What `recall` reads beside `recall_id`."""


DESCRIBING: Final = ("patient_id", "patient_name", "accession_number", "study_description")
"""What a study is shown with."""


def select_studies() -> Select[Any]:
    """Select what `study` reads."""
    return select(*(column for column in studies.c if column.name not in SEARCH_COLUMNS))


def study(row: Row[Any]) -> StudyRecord:
    """Read a row of `select_studies`."""
    return study_of(dict(row._mapping))  # noqa: SLF001 - SQLAlchemy's public name for a row's mapping


def study_of(values: Mapping[str, Any]) -> StudyRecord:
    """Return the record of these values of a row of `select_studies`."""
    return StudyRecord(**{**values, "state": StudyState(values["state"]), "priority": Priority(values["priority"])})


def revision_of(connection: Connection, study_instance_uid: str, revision: int) -> StudyRecord:
    """Return a revision of a study. Raises `KeyError` with (UID, revision) where there is none."""
    wanted = (studies.c.study_instance_uid == study_instance_uid) & (studies.c.revision == revision)
    row = connection.execute(select_studies().where(wanted)).one_or_none()
    if row is None:
        raise KeyError(study_instance_uid, revision)
    return study(row)


def event(row: Row[Any]) -> EventRecord:
    """Read a row of the events table."""
    return EventRecord(
        at=row.at,
        event=StudyEvent(row.event),
        state_before=None if row.state_before is None else StudyState(row.state_before),
        state_after=StudyState(row.state_after),
        detail=row.detail,
    )


def select_events() -> Select[Any]:
    """Select what `event` reads, oldest first."""
    return select(events).order_by(events.c.id)


def select_instances() -> Select[Any]:
    """Select what `instance` reads, oldest first."""
    revision = func.coalesce(studies.c.revision, 0).label("revision")
    return (
        select(instances, revision)
        .outerjoin_from(instances, studies, instances.c.study_id == studies.c.id)
        .order_by(instances.c.id)
    )


def instance(row: Row[Any]) -> InstanceRecord:
    """Read a row of `select_instances`. Own results have joined no revision: theirs is 0."""
    header = InstanceHeader(
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        modality=row.modality,
        patient_id=row.patient_id,
        patient_name=row.patient_name,
        accession_number=row.accession_number,
        study_description=row.study_description,
        priority=Priority(row.priority),
        issued_by_product=row.issued_by_product,
    )
    received = ReceivedInstance(
        header=header,
        spool_key=row.spool_key,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        received_at=row.received_at,
        calling_ae_title=row.calling_ae_title,
        called_ae_title=row.called_ae_title,
        peer_address=row.peer_address,
    )
    return InstanceRecord(
        id=row.id,
        study_instance_uid=row.study_instance_uid,
        revision=row.revision,
        instance=received,
        own_result=row.own_result,
        image_reason=row.image_reason,
    )


def select_results() -> Select[Any]:
    """Select what `result` reads, in the order they were built."""
    return (
        select(results, studies.c.study_instance_uid, studies.c.revision, *_RECALL)
        .join_from(results, studies, results.c.study_id == studies.c.id)
        .outerjoin(recalls, results.c.recall_id == recalls.c.id)
        .order_by(results.c.id)
    )


def result(row: Row[Any]) -> ResultRecord:
    """Read a row of `select_results`."""
    new = NewResult(
        kind=sent_kind(row.kind),
        variant=row.variant,
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        series_instance_uid=row.series_instance_uid,
        spool_key=row.spool_key,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
    )
    return ResultRecord(
        id=row.id,
        study_instance_uid=row.study_instance_uid,
        revision=row.revision,
        result=new,
        built_at=row.built_at,
        recall=None if row.recall_id is None else recall(row),
    )


def select_recalls() -> Select[Any]:
    """Select what `recall` reads, oldest first."""
    return select(recalls.c.id.label("recall_id"), *_RECALL).order_by(recalls.c.id)


def recall(row: Row[Any]) -> Recall:
    """Read a row of `select_recalls`."""
    request = RecallRequest(RecallScope(row.scope), row.subject, RecallReason(row.reason), row.words, row.asked_by)
    return Recall(row.recall_id, request, row.at)


def select_deliveries() -> Select[Any]:
    """Select a delivery's own columns, in the order they were planned; `delivery` needs its result as well."""
    return select(deliveries).order_by(deliveries.c.id)


def delivery(row: Row[Any], of: ResultRecord) -> DeliveryRecord:
    """Read a row of `select_deliveries` and the result that it is about."""
    return DeliveryRecord(
        id=row.id,
        study_id=row.study_id,
        destination=row.destination,
        state=DeliveryState(row.state),
        due_since=row.due_since,
        attempts=row.attempts,
        not_before=row.not_before,
        last_error=row.last_error,
        delivered_at=row.delivered_at,
        result=of,
    )
