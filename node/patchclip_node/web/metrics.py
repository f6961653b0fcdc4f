"""What the ledger keeps and counts as Prometheus text.

Histograms and counters are the ledger's own, and not those of a process: so they are the same whichever process of
whichever host is asked, and a restart changes none. See docs/decisions/ledger.md.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from math import inf
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from patchclip_core.errors import CheckpointError
from patchclip_core.models.card import ModelCard
from patchclip_node.domain.agreement import FindingAgreement
from patchclip_node.domain.alerts import Alert, AlertKind, Level
from patchclip_node.domain.backfill import BackfillState
from patchclip_node.domain.backlog import BacklogLimit
from patchclip_node.domain.backlog import waiting as waiting_now
from patchclip_node.domain.records import DeliveryState, LedgerCounts
from patchclip_node.domain.states import FINAL_STATES, StudyState
from patchclip_node.domain.steps import BOUNDS_S, StepTimes
from patchclip_node.ports.alerts import ChannelRecord
from patchclip_node.ports.audit import AuditBacklog
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.figures import Figures
from patchclip_node.ports.verdicts import Verdicts
from patchclip_node.product import PRODUCT_VERSION
from patchclip_node.services.drift import Drift, drift
from patchclip_node.services.health import Health

CONTENT_TYPE = CONTENT_TYPE_LATEST

SLOW_EVERY: Final = timedelta(minutes=5)
"""How old drift and agreement may be: they move within days."""

WAITING: Final = tuple(state for state in StudyState if state not in FINAL_STATES)
"""States of which the age of the oldest study is told."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Measured:
    """What is told at one moment.

    due: (analyses, deliveries) that wait for a worker now. free_bytes: what the spool still takes. backlog: how
    many studies may wait. emergencies: sessions that have emergency access. backlogs: of the audit trail's lanes.
    oldest: since when a study is in a state.
    """

    counts: LedgerCounts
    due: tuple[int, int]
    health: Health
    free_bytes: int
    backlog: BacklogLimit
    emergencies: int
    backlogs: Sequence[AuditBacklog]
    times: Sequence[StepTimes]
    oldest: dict[StudyState, datetime]
    drifts: Sequence[Drift]
    agreement: Sequence[FindingAgreement]
    alerts: Sequence[Alert]
    channels: Sequence[ChannelRecord]
    now: datetime


class Slow(Generic[Value]):
    """Something that is worked out again once it is older than `SLOW_EVERY`; for several threads."""

    def __init__(self, work_out: Callable[[], Value], clock: Clock) -> None:
        self._work_out = work_out
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[datetime, Value] | None = None

    def get(self) -> Value:
        """Return it. Others wait while one works it out."""
        with self._lock:
            now = self._clock.now()
            if self._kept is None or now - self._kept[0] >= SLOW_EVERY:
                self._kept = (now, self._work_out())
            return self._kept[1]


class SlowFigures:
    """Drift and agreement. read_card: of the model that the settings name, or `CheckpointError`."""

    def __init__(self, figures: Figures, verdicts: Verdicts, read_card: Callable[[], ModelCard], clock: Clock) -> None:
        self._figures = figures
        self._read_card = read_card
        self._drifts = Slow(self._compare, clock)
        self._agreement = Slow(verdicts.agreement, clock)

    def drifts(self) -> Sequence[Drift]:
        """Return how far the last probabilities are from the card's, by finding; none without a card."""
        return self._drifts.get()

    def agreement(self) -> Sequence[FindingAgreement]:
        """Return how the node's findings agree with verdicts."""
        return self._agreement.get()

    def _compare(self) -> Sequence[Drift]:
        try:
            card = self._read_card()
        except CheckpointError:
            return ()
        evidence = {one.key: one.evidence for one in card.findings}
        found = self._figures.probabilities(card.weights_digest)
        return [drift(key, values, evidence.get(key)) for key, values in sorted(found.items())]


def render_metrics(measured: Measured) -> bytes:
    """Return the metrics page. Every state has a line, also at 0, so that an alert can rely on it."""
    registry = CollectorRegistry()
    _gauges(registry, measured)
    registry.register(_Kept(measured))
    return generate_latest(registry)


class _Kept(Collector):
    """Histograms and counters as the ledger has them."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        steps = HistogramMetricFamily("patchclip_step_seconds", "Time of each step of a study's way", labels=["step"])
        for one in self._measured.times:
            ends = [*map(str, BOUNDS_S), "+Inf"]
            steps.add_metric([one.step.value], list(zip(ends, accumulate(one.numbers), strict=True)), one.total_s)
        yield steps
        sent = CounterMetricFamily("patchclip_alert_messages_sent", "Messages of alerts that went", labels=["channel"])
        failed = CounterMetricFamily("patchclip_alert_messages_failed", "Tries that failed", labels=["channel"])
        for channel in self._measured.channels:
            sent.add_metric([channel.name], channel.sent)
            failed.add_metric([channel.name], channel.failed)
        yield sent
        yield failed


def _gauges(registry: CollectorRegistry, measured: Measured) -> None:
    def gauge(name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"patchclip_{name}", help_text, labels, registry=registry)

    counts, health, now = measured.counts, measured.health, measured.now
    gauge("node_info", "Version of the node", "version").labels(PRODUCT_VERSION).set(1)
    studies = gauge("studies", "Study revisions by state", "state")
    for state in StudyState:
        studies.labels(state.value).set(counts.studies_by_state.get(state, 0))
    deliveries = gauge("deliveries", "Result instances on their way, by state", "state")
    for delivery_state in DeliveryState:
        deliveries.labels(delivery_state.value).set(counts.deliveries_by_state.get(delivery_state, 0))
    backfill = gauge("backfill_studies", "Studies on the list of backfill, by state", "state")
    for backfill_state in BackfillState:
        backfill.labels(backfill_state.value).set(counts.backfill_by_state.get(backfill_state, 0))
    gauge("instances", "Instances received").set(counts.instances)
    waiting = gauge("due_work", "Work that waits for a worker now", "work")
    for work, count in zip(("analyse", "deliver"), measured.due, strict=True):
        waiting.labels(work).set(count)
    working = gauge("workers", "Processes that live, by what they do", "role")
    for role, living in health.working.items():
        working.labels(role.value).set(living)
    gauge("troubles", "What /healthz lists").set(len(health.troubles))
    gauge("longest_work_seconds", "Age of the oldest piece of work at hand").set(health.longest_work_s)
    age_s = (now - counts.oldest_unfinished_at).total_seconds() if counts.oldest_unfinished_at else 0.0
    gauge("oldest_unfinished_seconds", "Age of the oldest unfinished study").set(age_s)
    ages = gauge("oldest_in_state_seconds", "How long the study that is longest in a state is in it, 0: none", "state")
    for state in WAITING:
        ages.labels(state.value).set((now - measured.oldest.get(state, now)).total_seconds())
    gauge("spool_free_bytes", "Room in the spool above its reserve").set(measured.free_bytes)
    gauge("waiting_studies", "Studies that wait for their analysis").set(waiting_now(counts.studies_by_state))
    most = measured.backlog.most
    gauge("waiting_studies_limit", "Number with which new ones are refused; +Inf: no limit").set(
        inf if most is None else most
    )
    gauge("emergency_sessions", "Logins with emergency access").set(measured.emergencies)
    audit = gauge("audit_waiting", "Audit events that wait, by where they go", "lane")
    for backlog in measured.backlogs:
        audit.labels(backlog.lane.value).set(backlog.waiting)
    alerts = gauge("alerts", "What a person is told of now, how many of each kind", "kind", "level")
    told = Counter((one.condition.kind, one.condition.level) for one in measured.alerts)
    for kind in AlertKind:
        for level in Level:
            alerts.labels(kind.value, level.value).set(told[kind, level])
    messages = gauge("alert_messages_waiting", "Messages of alerts that have yet to go", "channel")
    for channel in measured.channels:
        messages.labels(channel.name).set(channel.waiting)
    _of_findings(gauge, measured)


def _of_findings(gauge: Callable[..., Gauge], measured: Measured) -> None:
    images = gauge("drift_images", "Last images whose probabilities are compared with the model's card", "finding")
    known = gauge("drift_has_reference", "1 where the card says how probabilities were distributed", "finding")
    psi = gauge("drift_psi", "Population stability index against the card's data, ten classes", "finding")
    ks = gauge("drift_ks", "Distance of Kolmogorov and Smirnov from the card's data, 0 to 1", "finding")
    for one in measured.drifts:
        images.labels(one.finding).set(one.images)
        known.labels(one.finding).set(one.has_reference)
        if one.psi is not None and one.ks is not None:
            psi.labels(one.finding).set(one.psi)
            ks.labels(one.finding).set(one.ks)
    verdicts = gauge(
        "verdicts",
        "Images with a verdict, or studies with a final report, by who says that the finding is there",
        "source",
        "finding",
        "answer",
    )
    for agreed in measured.agreement:
        for answer in ("both", "node_only", "reader_only", "neither", "unsure"):
            verdicts.labels(agreed.source.value, agreed.finding, answer).set(getattr(agreed, answer))


__all__ = ["CONTENT_TYPE", "Measured", "SlowFigures", "render_metrics"]
