"""The ledger in SQLite or PostgreSQL."""

from __future__ import annotations

from patchclip_node.adapters.ledger.accounts import SqlAccounts
from patchclip_node.adapters.ledger.alerting import SqlAlerts
from patchclip_node.adapters.ledger.analysing import SqlAnalyses
from patchclip_node.adapters.ledger.auditing import SqlAuditOutbox
from patchclip_node.adapters.ledger.backfilling import SqlBackfill
from patchclip_node.adapters.ledger.committing import SqlCommitments
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.duties import SqlDuties
from patchclip_node.adapters.ledger.final_reports import SqlFinalReports
from patchclip_node.adapters.ledger.forwarding import SqlForwards
from patchclip_node.adapters.ledger.gating import SqlGates
from patchclip_node.adapters.ledger.hosts import SqlClocks, SqlWorkers
from patchclip_node.adapters.ledger.judging import SqlVerdicts
from patchclip_node.adapters.ledger.leases import SqlLeases
from patchclip_node.adapters.ledger.measuring import SqlFigures
from patchclip_node.adapters.ledger.overview import SqlOverview
from patchclip_node.adapters.ledger.owing import SqlOwedReports
from patchclip_node.adapters.ledger.queries import SqlStudies, SqlWorkload
from patchclip_node.adapters.ledger.recalling import SqlRecalls
from patchclip_node.adapters.ledger.receiving import SqlArrivals
from patchclip_node.adapters.ledger.requeueing import SqlRequeueing
from patchclip_node.adapters.ledger.retention import SqlRetention
from patchclip_node.adapters.ledger.returned import SqlReturnedObjects
from patchclip_node.adapters.ledger.returning import SqlDeliveries
from patchclip_node.adapters.ledger.sessions import SqlSessions
from patchclip_node.adapters.ledger.watching import SqlOutages, SqlWatched
from patchclip_node.ports.tracer import Tracer


class SqlLedger:
    """All ports of `ports.ledger`, recalls, accounts, alerts and audit over one database.

    The tables must exist: see `migrate`.

    Whoever opens it hands each reader the ports that it needs, and closes it in the end.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self.accounts = SqlAccounts(self._database)
        self.alerts = SqlAlerts(self._database)
        self.duties = SqlDuties(self._database)
        self.figures = SqlFigures(self._database)
        self.outages = SqlOutages(self._database)
        self.watched = SqlWatched(self._database)
        self.audit = SqlAuditOutbox(self._database)
        self.arrivals = SqlArrivals(self._database)
        self.analyses = SqlAnalyses(self._database)
        self.forwards = SqlForwards(self._database)
        self.deliveries = SqlDeliveries(self._database)
        self.gates = SqlGates(self._database)
        self.backfill = SqlBackfill(self._database)
        self.commitments = SqlCommitments(self._database)
        self.owed_reports = SqlOwedReports(self._database)
        self.leases = SqlLeases(self._database)
        self.recalls = SqlRecalls(self._database)
        self.requeueing = SqlRequeueing(self._database)
        self.retention = SqlRetention(self._database)
        self.sessions = SqlSessions(self._database)
        self.studies = SqlStudies(self._database)
        self.verdicts = SqlVerdicts(self._database)
        self.final_reports = SqlFinalReports(self._database)
        self.returned = SqlReturnedObjects(self._database)
        self.clocks = SqlClocks(self._database)
        self.workers = SqlWorkers(self._database)
        self.workload = SqlWorkload(self._database)
        self.overview = SqlOverview(self._database)

    def trace_by(self, tracer: Tracer) -> None:
        """Tell the spans of what is written from now on."""
        self._database.tracer = tracer

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()
