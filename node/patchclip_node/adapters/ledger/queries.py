"""What the ledger knows of studies, and how much there is to do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, exists, func, select

from patchclip_node.adapters.ledger import rows
from patchclip_node.adapters.ledger.analysing import due_for_analysis
from patchclip_node.adapters.ledger.backfill_tables import backfill
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.returning import deliveries_of, due_for_delivery
from patchclip_node.adapters.ledger.schema import deliveries, events, instances, results, studies
from patchclip_node.adapters.ledger.tallies import tally
from patchclip_node.domain.backfill import BackfillState
from patchclip_node.domain.backlog import waiting
from patchclip_node.domain.listing import FoundStudies, StudySearch, StudySort
from patchclip_node.domain.records import (
    DeliveryRecord,
    DeliveryState,
    EventRecord,
    InstanceRecord,
    LedgerCounts,
    ResultRecord,
    StudyFilter,
    StudyRecord,
)
from patchclip_node.domain.states import FINAL_STATES, StudyState


class SqlStudies:
    """The port `Studies`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self, states: Sequence[StudyState] = (), patient_id: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[StudyRecord]:
        """See the port."""
        query = _newest_first(states, patient_id)
        with self._database.read() as connection:
            return [rows.study(row) for row in connection.execute(query.limit(limit).offset(offset))]

    def filtered(self, wanted: StudyFilter, limit: int) -> list[StudyRecord]:
        """See the port."""
        query = _newest_first(wanted.states, wanted.patient_id)
        if wanted.accession_number is not None:
            query = query.where(studies.c.accession_number == wanted.accession_number)
        if wanted.since is not None:
            query = query.where(studies.c.last_received_at >= wanted.since)
        if wanted.until is not None:
            query = query.where(studies.c.last_received_at < wanted.until)
        if wanted.calling_ae_title is not None:
            sent = (instances.c.study_instance_uid == studies.c.study_instance_uid) & (
                instances.c.calling_ae_title == wanted.calling_ae_title
            )
            query = query.where(exists().where(sent))
        with self._database.read() as connection:
            return [rows.study(row) for row in connection.execute(query.limit(limit))]

    def identifiers(self) -> tuple[set[str], set[str]]:
        """See the port."""
        names: set[str] = set()
        others: set[str] = set()
        uids = (instances.c.sop_instance_uid, instances.c.series_instance_uid, results.c.sop_instance_uid)
        with self._database.read() as connection:
            for table in (studies, instances):
                columns = (table.c.patient_id, table.c.accession_number, table.c.study_instance_uid)
                for name, *rest in connection.execute(select(table.c.patient_name, *columns).distinct()):
                    names.add(name)
                    others.update(rest)
            for uid in uids:
                others.update(connection.execute(select(uid).distinct()).scalars())
        return names, others

    def search(self, wanted: StudySearch, limit: int, offset: int = 0) -> FoundStudies:
        """See the port. Which studies a page shows is found in an index alone; then their rows are read."""
        conditions = _conditions(wanted)
        page = select(studies.c.id).where(*conditions).order_by(*_order(wanted)).limit(limit).offset(offset)
        count = select(func.count()).select_from(studies).where(*conditions)
        with self._database.read() as connection:
            ids = connection.execute(page).scalars().all()
            shown = connection.execute(rows.select_studies().where(studies.c.id.in_(ids)))
            by_id = {row.id: rows.study(row) for row in shown}
            total = connection.execute(count).scalar_one()
        return FoundStudies([by_id[study_id] for study_id in ids], total)

    def revisions(self, study_instance_uid: str) -> list[StudyRecord]:
        """See the port."""
        of_study = rows.select_studies().where(studies.c.study_instance_uid == study_instance_uid)
        with self._database.read() as connection:
            return [rows.study(row) for row in connection.execute(of_study.order_by(studies.c.revision))]

    def instances(self, study_instance_uid: str) -> list[InstanceRecord]:
        """See the port."""
        of_study = rows.select_instances().where(instances.c.study_instance_uid == study_instance_uid)
        with self._database.read() as connection:
            return [rows.instance(row) for row in connection.execute(of_study)]

    def events(self, study_id: int) -> list[EventRecord]:
        """See the port."""
        with self._database.read() as connection:
            found = connection.execute(rows.select_events().where(events.c.study_id == study_id))
            return [rows.event(row) for row in found]

    def results(self, study_id: int) -> list[ResultRecord]:
        """See the port."""
        with self._database.read() as connection:
            found = connection.execute(rows.select_results().where(results.c.study_id == study_id))
            return [rows.result(row) for row in found]

    def deliveries(self, study_id: int) -> list[DeliveryRecord]:
        """See the port."""
        with self._database.read() as connection:
            return deliveries_of(connection, study_id)


class SqlWorkload:
    """The port `Workload`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, now: datetime) -> tuple[int, int]:
        """See the port."""
        analyses = select(func.count()).select_from(studies).where(due_for_analysis(now))
        sendings = select(deliveries.c.study_id, deliveries.c.destination).where(due_for_delivery(now)).distinct()
        with self._database.read() as connection:
            return (
                connection.execute(analyses).scalar_one(),
                connection.execute(select(func.count()).select_from(sendings.subquery())).scalar_one(),
            )

    def is_analysis_due(self, now: datetime) -> bool:
        """See the port."""
        with self._database.read() as connection:
            return bool(connection.execute(select(exists().where(due_for_analysis(now)))).scalar_one())

    def waiting(self) -> int:
        """See the port."""
        with self._database.read() as connection:
            kept = tally(connection, studies)
        return waiting({state: kept.get(state.value, 0) for state in StudyState})

    def waiting_by_destination(self) -> dict[str, int]:
        """See the port."""
        studies_of_it = func.count(deliveries.c.study_id.distinct()).label("number")
        waits = (
            select(deliveries.c.destination, studies_of_it)
            .where(deliveries.c.state.in_([DeliveryState.PENDING.value, DeliveryState.SENT.value]))
            .group_by(deliveries.c.destination)
        )
        with self._database.read() as connection:
            return {row.destination: row.number for row in connection.execute(waits)}

    def counts(self) -> LedgerCounts:
        """See the port."""
        # What is held waits for a person, and for nothing that the node could do.
        under_way = [state.value for state in StudyState if state not in {*FINAL_STATES, StudyState.HELD}]
        oldest = select(func.min(studies.c.first_received_at)).where(studies.c.state.in_(under_way))
        with self._database.read() as connection:
            in_studies, in_deliveries = tally(connection, studies), tally(connection, deliveries)
            in_backfill = tally(connection, backfill)
            return LedgerCounts(
                studies_by_state={state: in_studies.get(state.value, 0) for state in StudyState},
                deliveries_by_state={state: in_deliveries.get(state.value, 0) for state in DeliveryState},
                instances=tally(connection, instances).get("", 0),
                oldest_unfinished_at=connection.execute(oldest).scalar_one(),
                backfill_by_state={state: in_backfill.get(state.value, 0) for state in BackfillState},
            )


def _newest_first(states: Collection[StudyState], patient_id: str | None) -> Select[Any]:
    query = rows.select_studies().order_by(studies.c.last_received_at.desc(), studies.c.id.desc())
    if states:
        query = query.where(studies.c.state.in_([state.value for state in states]))
    return query if patient_id is None else query.where(studies.c.patient_id == patient_id)


def _conditions(wanted: StudySearch) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        studies.c.search_text.contains(word, autoescape=True) for word in wanted.words
    ]
    if wanted.states:
        # Where another order than that of arrival is asked, the index of that order has to be the one that is taken.
        state = studies.c.state if wanted.sort is StudySort.RECEIVED else studies.c.state.concat("")
        conditions.append(state.in_([state.value for state in wanted.states]))
    if wanted.since is not None:
        conditions.append(studies.c.last_received_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(studies.c.last_received_at < wanted.until)
    return conditions


_SORTED_BY: Final = {
    StudySort.RECEIVED: studies.c.last_received_at,
    StudySort.NAME: studies.c.search_text,
    StudySort.PATIENT_ID: studies.c.sort_id,
    StudySort.ACCESSION: studies.c.sort_accession,
}


def _order(wanted: StudySearch) -> list[ColumnElement[Any]]:
    """Return the order; what is equal in it comes by its arrival in the ledger, the last first."""
    column, goes_up = _SORTED_BY[wanted.sort], (wanted.sort is StudySort.RECEIVED) == wanted.reverse
    return [column.asc(), studies.c.id.asc()] if goes_up else [column.desc(), studies.c.id.desc()]
