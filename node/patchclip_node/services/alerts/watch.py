"""One process of all looks again and again for what a person has to be told, and writes it into the ledger once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from patchclip_node.domain.alerts import AlertPolicy, Condition, News, Settling, changes
from patchclip_node.domain.backlog import Backlog, BacklogLimit, waiting
from patchclip_node.domain.records import LedgerCounts
from patchclip_node.domain.rhythm import ExpectedSender, Rhythm
from patchclip_node.ports.alerts import Alerts, Duties, Outages, Watched
from patchclip_node.ports.audit import AuditOutbox
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Workers, Workload
from patchclip_node.ports.spool import Spool
from patchclip_node.services.alerts import conditions
from patchclip_node.services.alerts.conditions import OwnCertificate
from patchclip_node.services.health import backlog_is_full, disk_runs_low, health

WATCH: Final = "watch"
CANARY: Final = "canary"
"""Names of duties."""

RHYTHMS_EVERY: Final = timedelta(minutes=10)
"""How old the rhythms of senders may be: they are learned from weeks."""
LEARNED_AT_ONCE: Final = 2000
_LEAST_LEASE_S: Final = 10.0
_SOME: Final = 1000
"""Of this many results that were given up it is said whose they are."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """What is told when. look_s: how often it is looked for. canary_late_s: None where there is no canary.

    outage_s: how long a destination takes nothing. modalities: of radiographs. whose: node, host and site.
    analyses: whether the node needs workers.
    """

    policy: AlertPolicy
    look_s: float
    outage_s: float
    least_free_bytes: int
    backlog: BacklogLimit
    analyses: bool
    certificate_days: float
    senders: tuple[ExpectedSender, ...]
    learns_senders: bool
    canary_late_s: float | None
    modalities: Collection[str]
    channels: tuple[str, ...]
    whose: tuple[str, str, str]


class AlertWatch:
    """Looks and tells, where this process has the duty; another one takes it over where this one is gone."""

    def __init__(
        self,
        alerts: Alerts,
        duties: Duties,
        watched: Watched,
        down: Outages,
        workers: Workers,
        workload: Workload,
        audit: AuditOutbox,
        spool: Spool,
        clock: Clock,
        owner: str,
        own_certificates: Callable[[], Sequence[OwnCertificate]],
        plan: WatchPlan,
    ) -> None:
        self._alerts = alerts
        self._duties = duties
        self._watched = watched
        self._outages = down
        self._workers = workers
        self._workload = workload
        self._audit = audit
        self._spool = spool
        self._clock = clock
        self._owner = owner
        self._own_certificates = own_certificates
        self._plan = plan
        self._backlog = Backlog(plan.backlog)
        self._settling = Settling(plan.policy.after_s)
        self._rhythms: list[Rhythm] = []
        self._learned_at: datetime | None = None

    def run_once(self) -> bool:
        """Look, and tell what changed; False where another process does so."""
        now = self._clock.now()
        if not self._duties.hold(WATCH, self._owner, now, max(4 * self._plan.look_s, _LEAST_LEASE_S)):
            return False
        self._learn(now)
        opened = self._alerts.open()
        settled = self._settling.settled(self._found(now), opened, now)
        made = changes(opened, settled, now, self._plan.policy)
        if made and self._alerts.tell(self._owner, now, made, self._plan.channels, self._plan.whose):
            for change in made:
                if change.news is not None:
                    told = log.info if change.news is News.OVER else log.warning
                    told(
                        "alert",
                        news=change.news.value,
                        kind=change.condition.kind.value,
                        detail=change.condition.detail,
                    )
        return True

    def _learn(self, now: datetime) -> None:
        while self._watched.learn(LEARNED_AT_ONCE, now, self._plan.modalities) == LEARNED_AT_ONCE:
            pass
        if self._plan.learns_senders and (self._learned_at is None or now - self._learned_at >= RHYTHMS_EVERY):
            self._rhythms = [Rhythm.of(one) for one in self._watched.histories()]
            self._learned_at = now

    def _found(self, now: datetime) -> Iterator[Condition]:
        plan, counts, free_bytes = self._plan, self._workload.counts(), self._spool.free_bytes()
        backlogs = self._audit.backlogs()
        due, trouble = self._workload.due(now), self._spool.trouble()
        full = backlog_is_full(self._backlog, waiting(counts.studies_by_state))
        workers, analyses = self._workers.all(), plan.analyses
        yield from health(workers, due, free_bytes, now, backlogs, trouble, full, analyses=analyses).conditions
        if (low := disk_runs_low(free_bytes, plan.least_free_bytes)) is not None:
            yield low
        yield from conditions.failed_studies(counts, self._watched.failed_since(conditions.FAILED))
        if _given_up(counts):
            yield from conditions.undelivered(self._watched.undelivered(_SOME))
        yield from conditions.outages(self._outages.outages(), now, plan.outage_s)
        yield from conditions.certificates(self._own_certificates(), now, plan.certificate_days)
        watch = self._duties.duty(WATCH)
        since = now if watch is None else watch.began_at
        yield from conditions.quiet_senders(self._watched.last_images(), self._rhythms, plan.senders, since, now)
        if plan.canary_late_s is not None:
            yield from conditions.canary(self._duties.duty(CANARY), now, plan.canary_late_s)


def _given_up(counts: LedgerCounts) -> bool:
    return any(counts.deliveries_by_state.get(state, 0) for state in conditions.GIVEN_UP)
