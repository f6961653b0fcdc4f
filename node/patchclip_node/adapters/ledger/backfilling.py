"""The list of what is pulled from an archive: the port `BackfillList`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, exists, func, insert, select, update

from patchclip_node.adapters.ledger.backfill_tables import backfill
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.purged import newest_purged
from patchclip_node.adapters.ledger.schema import ForeignText, instances, studies
from patchclip_node.adapters.ledger.tallies import tally
from patchclip_node.domain.backfill import ArchivedStudy, BackfillProgress, BackfillState, ListedStudy, Trouble
from patchclip_node.domain.records import Priority
from patchclip_node.domain.states import StudyState

_LATELY: Final = timedelta(hours=1)
_OPEN: Final = (BackfillState.WAITING.value, BackfillState.ASKED.value)
_TO_WORK: Final = (StudyState.RECEIVING.value, StudyState.RECEIVED.value, StudyState.ANALYSING.value)
_NEW: Final = {"state": BackfillState.WAITING.value, "attempts": 0, "expected": 0, "reason": ""}
_AT_ONCE: Final = 500
"""Studies that are listed in one transaction: the receiver waits for it before it acknowledges an image."""
_KNOWN: Final = exists().where(studies.c.study_instance_uid == bindparam("study", type_=ForeignText()))


class SqlBackfill:
    """The port `BackfillList`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, studies: Sequence[ArchivedStudy], now: datetime) -> int:
        """See the port."""
        return sum(self._add(studies[start : start + _AT_ONCE], now) for start in range(0, len(studies), _AT_ONCE))

    def _add(self, some: Sequence[ArchivedStudy], now: datetime) -> int:
        uids = [study.study_instance_uid for study in some]
        listed = select(backfill.c.study_instance_uid).where(backfill.c.study_instance_uid.in_(uids))
        with self._database.write() as connection:
            known = set(connection.execute(listed).scalars())
            new = {one.study_instance_uid: one for one in some if one.study_instance_uid not in known}
            if new:
                connection.execute(insert(backfill), [_NEW | _row(one) | {"listed_at": now} for one in new.values()])
        return len(new)

    def next(self, now: datetime) -> ListedStudy | None:
        """See the port."""
        is_due = backfill.c.not_before.is_(None) | (backfill.c.not_before <= now)
        waiting = select(backfill).where((backfill.c.state == BackfillState.WAITING.value) & is_due)
        with self._database.read() as connection:
            row = connection.execute(waiting.order_by(backfill.c.id).limit(1)).one_or_none()
            return None if row is None else _listed(row)

    def next_due(self) -> datetime | None:
        """See the port."""
        soonest = select(func.min(backfill.c.not_before)).where(backfill.c.state == BackfillState.WAITING.value)
        with self._database.read() as connection:
            found: datetime | None = connection.execute(soonest).scalar_one()
            return found

    def asked(self) -> list[ListedStudy]:
        """See the port."""
        asked = select(backfill).where(backfill.c.state == BackfillState.ASKED.value).order_by(backfill.c.id)
        with self._database.read() as connection:
            return [_listed(row) for row in connection.execute(asked)]

    def ask(self, study: ListedStudy, now: datetime) -> bool:
        """See the port."""
        values = {"state": BackfillState.ASKED.value, "asked_at": now, "attempts": study.attempts + 1}
        stands = (backfill.c.state == study.state.value) & (backfill.c.attempts == study.attempts)
        return self._change(study.id, stands, not_before=None, **values)

    def expect(self, study_id: int, images: int) -> None:
        """See the port."""
        self._change(study_id, backfill.c.state.in_(_OPEN), expected=images)

    def settle(self, study_id: int, state: BackfillState, now: datetime, reason: str = "") -> None:
        """See the port."""
        values = {"state": state.value, "settled_at": now, "not_before": None, "reason": reason}
        self._change(study_id, backfill.c.state.in_(_OPEN), **values)

    def postpone(self, study_id: int, not_before: datetime, reason: str) -> None:
        """See the port."""
        values = {"state": BackfillState.WAITING.value, "not_before": not_before, "reason": reason}
        self._change(study_id, backfill.c.state == BackfillState.ASKED.value, **values)

    def again(self) -> int:
        """See the port."""
        failed = backfill.c.state == BackfillState.FAILED.value
        waiting = {"state": BackfillState.WAITING.value, "attempts": 0, "settled_at": None, "reason": ""}
        with self._database.write() as connection:
            return connection.execute(update(backfill).where(failed).values(**waiting)).rowcount

    def forget(self) -> int:
        """See the port."""
        unasked = (backfill.c.state == BackfillState.WAITING.value) | (backfill.c.state == BackfillState.FAILED.value)
        with self._database.write() as connection:
            return connection.execute(delete(backfill).where(unasked)).rowcount

    def progress(self, now: datetime, troubles: int = 0) -> BackfillProgress:
        """See the port."""
        of_late = (backfill.c.settled_at > now - _LATELY) & backfill.c.asked_at.is_not(None)
        lately = select(func.count(), func.min(backfill.c.asked_at)).where(of_late)
        failed = select(backfill).where(backfill.c.state == BackfillState.FAILED.value)
        delayed = select(backfill).where(
            (backfill.c.state == BackfillState.WAITING.value) & backfill.c.not_before.is_not(None)
        )
        with self._database.read() as connection:
            counted = tally(connection, backfill)
            number, first = connection.execute(lately).one()
            found = [
                Trouble(row.study_instance_uid, BackfillState(row.state), row.reason)
                for query in (failed.order_by(backfill.c.id.desc()), delayed.order_by(backfill.c.not_before.desc()))
                for row in connection.execute(query.limit(troubles))
            ]
        return BackfillProgress(
            counts={state: counted.get(state.value, 0) for state in BackfillState},
            lately=number,
            lately_s=min(_LATELY, now - first).total_seconds() if number else 0.0,
            troubles=tuple(found[:troubles]),
        )

    def images(self, study_instance_uid: str) -> int:
        """See the port."""
        of_study = (instances.c.study_instance_uid == study_instance_uid) & instances.c.study_id.is_not(None)
        with self._database.read() as connection:
            counted = select(func.count(instances.c.sop_instance_uid.distinct())).where(of_study)
            return int(connection.execute(counted).scalar_one())

    def knows(self, study_instance_uid: str) -> bool:
        """See the port."""
        with self._database.read() as connection:
            is_here = connection.execute(select(_KNOWN), {"study": study_instance_uid}).scalar_one()
            return bool(is_here) or newest_purged(connection, study_instance_uid) > 0

    def at_work(self, at_most: int, *, of_backfill: bool) -> int:
        """See the port."""
        pulled = Priority.BACKFILL.value
        whose = studies.c.priority == pulled if of_backfill else studies.c.priority < pulled
        some = select(studies.c.id).where(studies.c.state.in_(_TO_WORK) & whose).limit(at_most).subquery()
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(some)).scalar_one())

    def _change(self, study_id: int, stands: Any, **values: Any) -> bool:
        with self._database.write() as connection:
            change = update(backfill).where((backfill.c.id == study_id) & stands).values(**values)
            return connection.execute(change).rowcount == 1


def _row(study: ArchivedStudy) -> dict[str, Any]:
    return {"study_instance_uid": study.study_instance_uid, "study_date": study.study_date}


def _listed(row: Row[Any]) -> ListedStudy:
    state = BackfillState(row.state)
    return ListedStudy(row.id, row.study_instance_uid, state, row.attempts, row.expected, row.reason)
