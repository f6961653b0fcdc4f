"""The ledger in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Table, func, select

from patchclip_node.adapters.ledger import analysing, leases, receiving, requeueing, returning, rows
from patchclip_node.adapters.ledger.analysing import due_for_analysis
from patchclip_node.adapters.ledger.changes import change_leased
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.returning import due_for_delivery
from patchclip_node.adapters.ledger.schema import deliveries, events, instances, results, studies
from patchclip_node.domain.records import (
    Arrival,
    DeliveryLease,
    DeliveryRecord,
    DeliveryState,
    EventRecord,
    InstanceRecord,
    LeasedStudy,
    LedgerCounts,
    NewResult,
    ReceivedInstance,
    ResultRecord,
    StudyRecord,
)
from patchclip_node.domain.states import FINAL_STATES, StudyEvent, StudyState


class SqlLedger:
    """The port's methods, each one transaction of `Database`. The tables must exist: see `migrate`."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    def record_instance(self, instance: ReceivedInstance) -> Arrival:
        """See the port."""
        with self._database.write() as connection:
            return receiving.record_instance(connection, instance)

    def close_quiet(self, now: datetime, quiet_s: float) -> list[StudyRecord]:
        """See the port."""
        with self._database.write() as connection:
            return receiving.close_quiet(connection, now, quiet_s)

    def lease_study(self, now: datetime, owner: str, lease_s: float) -> LeasedStudy | None:
        """See the port."""
        with self._database.write() as connection:
            return analysing.lease_study(connection, now, owner, lease_s)

    def finish_analysis(
        self,
        study_id: int,
        owner: str,
        now: datetime,
        results: Sequence[NewResult],
        destinations: Mapping[str, Sequence[str]],
        image_reasons: Mapping[int, str],
        summary_json: str,
    ) -> None:
        """See the port. Raises `DefectError` where a destination is promised what is no result of this study."""
        with self._database.write() as connection:
            analysing.finish_analysis(
                connection, study_id, owner, now, results, destinations, image_reasons, summary_json
            )

    def reject(self, study_id: int, owner: str, now: datetime, reason: str, image_reasons: Mapping[int, str]) -> None:
        """See the port."""
        with self._database.write() as connection:
            analysing.reject(connection, study_id, owner, now, reason, image_reasons)

    def postpone_analysis(self, study_id: int, owner: str, now: datetime, error: str, not_before: datetime) -> None:
        """See the port."""
        values = {"error": error, "not_before": not_before}
        with self._database.write() as connection:
            change_leased(connection, study_id, owner, StudyEvent.ANALYSIS_POSTPONED, now, error, **values)

    def fail_analysis(self, study_id: int, owner: str, now: datetime, error: str) -> None:
        """See the port."""
        with self._database.write() as connection:
            change_leased(connection, study_id, owner, StudyEvent.ANALYSIS_FAILED, now, error, error=error)

    def lease_delivery(
        self, now: datetime, owner: str, lease_s: float, resting: Collection[str] = ()
    ) -> DeliveryLease | None:
        """See the port."""
        with self._database.write() as connection:
            return returning.lease_delivery(connection, now, owner, lease_s, resting)

    def delivered(self, delivery_id: int, owner: str, now: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            returning.delivered(connection, delivery_id, owner, now)

    def postpone_delivery(
        self,
        delivery_id: int,
        owner: str,
        now: datetime,  # noqa: ARG002 - not kept, since a postponed delivery changes no study
        error: str,
        not_before: datetime,
    ) -> None:
        """See the port."""
        with self._database.write() as connection:
            returning.postpone_delivery(connection, delivery_id, owner, error, not_before)

    def replace_delivery(self, delivery_id: int, owner: str, now: datetime, error: str, variant: str) -> bool:
        """See the port."""
        with self._database.write() as connection:
            return returning.replace_delivery(connection, delivery_id, owner, now, error, variant)

    def fail_delivery(self, delivery_id: int, owner: str, now: datetime, error: str) -> None:
        """See the port."""
        with self._database.write() as connection:
            returning.fail_delivery(connection, delivery_id, owner, now, error)

    def renew_leases(self, owner: str, now: datetime, lease_s: float) -> int:
        """See the port."""
        with self._database.write() as connection:
            return leases.renew_leases(connection, owner, now, lease_s)

    def lease_owners(self) -> list[str]:
        """See the port."""
        with self._database.read() as connection:
            return leases.lease_owners(connection)

    def expire_leases(
        self,
        now: datetime,
        dead_owners: Sequence[str] = (),
        analysis_attempts: int | None = None,
        delivery_attempts: int | None = None,
    ) -> int:
        """See the port."""
        with self._database.write() as connection:
            return leases.expire_leases(connection, now, dead_owners, analysis_attempts, delivery_attempts)

    def due_work(self, now: datetime) -> tuple[int, int]:
        """See the port."""
        analyses = select(func.count()).select_from(studies).where(due_for_analysis(now))
        sendings = select(deliveries.c.study_id, deliveries.c.destination).where(due_for_delivery(now)).distinct()
        with self._database.read() as connection:
            return (
                connection.execute(analyses).scalar_one(),
                connection.execute(select(func.count()).select_from(sendings.subquery())).scalar_one(),
            )

    def requeue(self, study_instance_uid: str, now: datetime) -> StudyRecord:
        """See the port."""
        with self._database.write() as connection:
            return requeueing.requeue(connection, study_instance_uid, now)

    def studies(
        self, states: Sequence[StudyState] = (), patient_id: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[StudyRecord]:
        """See the port."""
        query = rows.select_studies().order_by(studies.c.last_received_at.desc(), studies.c.id.desc())
        if states:
            query = query.where(studies.c.state.in_([state.value for state in states]))
        if patient_id is not None:
            query = query.where(studies.c.patient_id == patient_id)
        with self._database.read() as connection:
            return [rows.study(row) for row in connection.execute(query.limit(limit).offset(offset))]

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
            return returning.deliveries_of(connection, study_id)

    def counts(self) -> LedgerCounts:
        """See the port. Every state is counted, with 0 where nothing is in it."""
        final = [state.value for state in FINAL_STATES]
        oldest = select(func.min(studies.c.first_received_at)).where(studies.c.state.not_in(final))
        with self._database.read() as connection:
            in_studies, in_deliveries = _by_state(connection, studies), _by_state(connection, deliveries)
            return LedgerCounts(
                studies_by_state={state: in_studies.get(state.value, 0) for state in StudyState},
                deliveries_by_state={state: in_deliveries.get(state.value, 0) for state in DeliveryState},
                instances=connection.execute(select(func.count()).select_from(instances)).scalar_one(),
                oldest_unfinished_at=connection.execute(oldest).scalar_one(),
            )


def _by_state(connection: Connection, table: Table) -> dict[str, int]:
    counted = connection.execute(select(table.c.state, func.count().label("number")).group_by(table.c.state))
    return {row.state: row.number for row in counted}
