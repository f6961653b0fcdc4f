"""What is kept of studies that were purged: as much as a recall needs to withdraw what was sent of them.

A row for each revision of which a destination may have results. It has their UIDs, for whom they are, and what the
note that withdraws them says of patient and study; no file. A recall makes rows of the ledger of it again, and goes on
as with any other study.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, exists, func, insert, select

from patchclip_node.adapters.ledger import rows
from patchclip_node.adapters.ledger.schema import deliveries, instances, is_built, purged_revisions, results, studies
from patchclip_node.domain.listing import SEARCHED, searched
from patchclip_node.domain.recalls import RecallScope, Withdrawable
from patchclip_node.domain.records import DeliveryState, Priority
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import NoteKind

_DIGEST = re.compile(r'"weights_digest":"([^"]*)"')
_KEPT = (
    "kind",
    "variant",
    "sop_class_uid",
    "sop_instance_uid",
    "series_instance_uid",
    "spool_key",
    "size_bytes",
    "sha256",
)
"""Columns of a result that are kept of it."""
_NEWEST_PURGED: Final = select(func.max(purged_revisions.c.revision)).where(
    purged_revisions.c.study_instance_uid == bindparam("study")
)


def may_be_there() -> ColumnElement[bool]:
    """Which deliveries may have brought their result to its destination; REPLACED ones were refused there."""
    return deliveries.c.was_sent & (deliveries.c.state != DeliveryState.REPLACED.value)


def remember(connection: Connection, study_ids: Collection[int], now: datetime) -> None:
    """Keep what was sent of revisions that are about to be purged.

    What was withdrawn is not kept; that there was such a revision is, so that no later one takes its number, and with
    that the UIDs of its results.
    """
    for study in connection.execute(rows.select_studies().where(studies.c.id.in_(study_ids))).all():
        sent = _sent(connection, study.id)
        if not sent:
            continue
        open_ = [one for one, recall_id in sent if recall_id is None]
        images = (
            select(instances.c.sop_instance_uid)
            .distinct()
            .where((instances.c.study_instance_uid == study.study_instance_uid) & instances.c.study_id.is_not(None))
        )
        digest = _DIGEST.search(study.summary_json or "")
        connection.execute(
            insert(purged_revisions).values(
                study_instance_uid=study.study_instance_uid,
                revision=study.revision,
                weights_digest=digest[1] if digest else "",
                images_json=json.dumps(sorted(connection.execute(images).scalars()) if open_ else []),
                results_json=json.dumps(open_),
                purged_at=now,
                **{name: getattr(study, name) if open_ else "" for name in rows.DESCRIBING},
            )
        )


def _sent(connection: Connection, study_id: int) -> list[tuple[dict[str, Any], int | None]]:
    """Return the results of a revision that were sent, with their destinations and what withdrew them."""
    query = (
        select(results, deliveries.c.destination)
        .join_from(results, deliveries)
        .where(
            (results.c.study_id == study_id)
            & may_be_there()
            & is_built
            & results.c.kind.not_in([kind.value for kind in NoteKind])
        )
    )
    found: dict[int, tuple[dict[str, Any], int | None]] = {}
    for row in connection.execute(query.order_by(results.c.id, deliveries.c.destination)):
        kept = {name: getattr(row, name) for name in _KEPT} | {"destinations": []}
        found.setdefault(row.id, (kept, row.recall_id))[0]["destinations"].append(row.destination)
    return list(found.values())


def withdrawable(connection: Connection, scope: RecallScope, subject: str) -> list[Withdrawable]:
    """Return what a recall would withdraw of purged studies, in the order in which they were purged."""
    return [
        Withdrawable(one["sop_instance_uid"], row.study_instance_uid, one["spool_key"], tuple(one["destinations"]))
        for row in _of(connection, scope, subject)
        for one in json.loads(row.results_json)
        if not _is_there(connection, one)
    ]


def bring_back(connection: Connection, scope: RecallScope, subject: str, now: datetime) -> list[str]:
    """Make rows of the ledger again of what a recall withdraws; returns the SOP Instance UIDs of its results."""
    back = []
    for row in _of(connection, scope, subject):
        study_id = _study(connection, row, now)
        for one in json.loads(row.results_json):
            if not _is_there(connection, one):
                _result(connection, study_id, one, now)
                back.append(one["sop_instance_uid"])
        connection.execute(delete(purged_revisions).where(purged_revisions.c.id == row.id))
    return back


def newest_purged(connection: Connection, study_instance_uid: str) -> int:
    """Return the number of a study's newest revision that was purged, 0 where none is known."""
    return connection.execute(_NEWEST_PURGED, {"study": study_instance_uid}).scalar_one() or 0


def forget_purged(connection: Connection, before: datetime) -> None:
    """Delete what is kept of studies that were purged up to `before`."""
    connection.execute(delete(purged_revisions).where(purged_revisions.c.purged_at <= before))


def _of(connection: Connection, scope: RecallScope, subject: str) -> list[Row[Any]]:
    found = _is_concerned(scope, subject) & (purged_revisions.c.results_json != "[]")
    return list(connection.execute(select(purged_revisions).where(found).order_by(purged_revisions.c.id)).all())


def _is_concerned(scope: RecallScope, subject: str) -> ColumnElement[bool]:
    match scope:
        case RecallScope.STUDY:
            return purged_revisions.c.study_instance_uid == subject
        case RecallScope.IMAGE:
            return purged_revisions.c.images_json.contains(f'"{subject}"', autoescape=True)
        case RecallScope.MODEL:
            return purged_revisions.c.weights_digest == subject


def _is_there(connection: Connection, result: dict[str, Any]) -> bool:
    same = results.c.sop_instance_uid == result["sop_instance_uid"]
    return bool(connection.execute(select(exists().where(same))).scalar_one())


def _study(connection: Connection, row: Row[Any], now: datetime) -> int:
    """Insert a revision as it was before it was purged: with all returned, and without its images."""
    values = {name: getattr(row, name) for name in ("study_instance_uid", "revision", *rows.DESCRIBING)}
    inserted = connection.execute(
        insert(studies).values(
            state=StudyState.RETURNED.value,
            priority=int(Priority.ROUTINE),
            first_received_at=row.purged_at,
            last_received_at=row.purged_at,
            state_since=now,
            instance_count=0,
            attempts=0,
            **values,
            **searched(*(values[name] for name in SEARCHED)),
        )
    )
    assert inserted.inserted_primary_key is not None
    return int(inserted.inserted_primary_key[0])


def _result(connection: Connection, study_id: int, kept: dict[str, Any], now: datetime) -> None:
    values = {name: kept[name] for name in _KEPT}
    inserted = connection.execute(insert(results).values(study_id=study_id, built_at=now, **values))
    assert inserted.inserted_primary_key is not None
    for destination in kept["destinations"]:
        connection.execute(
            insert(deliveries).values(
                study_id=study_id,
                result_id=int(inserted.inserted_primary_key[0]),
                destination=destination,
                state=DeliveryState.RECALLED.value,
                due_since=now,
                attempts=0,
                was_sent=True,
            )
        )
