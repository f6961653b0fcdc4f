"""Images of closed studies are planned for their destinations as they came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, insert, select

from patchclip_node.adapters.ledger.analysing import due_for_analysis, study_of
from patchclip_node.adapters.ledger.changes import change
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.measuring import took
from patchclip_node.adapters.ledger.returning import end_if_settled
from patchclip_node.adapters.ledger.schema import deliveries, instances, results, studies
from patchclip_node.domain.records import DeliveryState, StudyRecord
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.steps import Step
from patchclip_node.domain.variants import ForwardedKind


class SqlForwards:
    """The port `Forwards`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(self, now: datetime, destinations: Sequence[str]) -> StudyRecord | None:
        """See the port."""
        due = due_for_analysis(now)
        with self._database.read() as connection:  # mostly none is due, and a look takes no writer's lock
            if not connection.execute(select(exists().where(due))).scalar_one():
                return None
        first = select(studies.c.id, studies.c.state_since).where(due)
        most_urgent = (studies.c.priority, studies.c.first_received_at, studies.c.id)
        with self._database.write() as connection:
            found = connection.execute(first.order_by(*most_urgent).limit(1)).one_or_none()
            if found is None:
                return None
            took(connection, found.id, now, {Step.WAIT: (now - found.state_since).total_seconds()})
            images = connection.execute(
                select(instances).where(instances.c.study_id == found.id).order_by(instances.c.id)
            ).all()
            detail = f"{len(images)} images" if images else "all of its images were handed on before"
            change(connection, found.id, StudyState.RECEIVED, StudyEvent.FORWARDED, now, detail, not_before=None)
            for image in images:
                _plan_image(connection, found.id, image, now, destinations)
            end_if_settled(connection, found.id, now, detail)
            return study_of(connection, found.id)


def _plan_image(
    connection: Connection, study_id: int, image: Row[Any], now: datetime, destinations: Sequence[str]
) -> None:
    kind = ForwardedKind.IMAGE.value
    copied = ("sop_class_uid", "sop_instance_uid", "series_instance_uid", "spool_key", "size_bytes", "sha256")
    values = {name: getattr(image, name) for name in copied}
    added = connection.execute(
        insert(results).values(study_id=study_id, kind=kind, variant=kind, built_at=image.received_at, **values)
    )
    assert added.inserted_primary_key is not None
    planned = {"study_id": study_id, "result_id": int(added.inserted_primary_key[0]), "due_since": now, "attempts": 0}
    for name in destinations:
        connection.execute(insert(deliveries).values(destination=name, state=DeliveryState.PENDING.value, **planned))
