"""The ledger's counts as Prometheus text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from patchclip_node.domain.records import DeliveryState, LedgerCounts
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.audit import AuditBacklog
from patchclip_node.product import PRODUCT_VERSION
from patchclip_node.services.health import Health

CONTENT_TYPE = CONTENT_TYPE_LATEST


def render_metrics(
    counts: LedgerCounts,
    due: tuple[int, int],
    health: Health,
    free_bytes: int,
    emergencies: int,
    backlogs: Sequence[AuditBacklog],
    now: datetime,
) -> bytes:
    """Return the metrics page. Every state has a line, also at 0, so that an alert can rely on it.

    due: (analyses, deliveries) that wait for a worker now. free_bytes: what the spool still takes. emergencies:
    sessions that have emergency access. backlogs: of the audit trail's lanes.
    """
    registry = CollectorRegistry()
    Gauge("patchclip_node_info", "Version of the node", ["version"], registry=registry).labels(PRODUCT_VERSION).set(1)
    studies = Gauge("patchclip_studies", "Study revisions by state", ["state"], registry=registry)
    for state in StudyState:
        studies.labels(state.value).set(counts.studies_by_state.get(state, 0))
    deliveries = Gauge("patchclip_deliveries", "Result instances on their way, by state", ["state"], registry=registry)
    for delivery_state in DeliveryState:
        deliveries.labels(delivery_state.value).set(counts.deliveries_by_state.get(delivery_state, 0))
    Gauge("patchclip_instances", "Instances received", registry=registry).set(counts.instances)
    waiting = Gauge("patchclip_due_work", "Work that waits for a worker now", ["work"], registry=registry)
    for work, count in zip(("analyse", "deliver"), due, strict=True):
        waiting.labels(work).set(count)
    working = Gauge("patchclip_workers", "Processes that live, by what they do", ["role"], registry=registry)
    for role, living in health.working.items():
        working.labels(role.value).set(living)
    Gauge("patchclip_troubles", "What /healthz lists", registry=registry).set(len(health.troubles))
    Gauge("patchclip_longest_work_seconds", "Age of the oldest piece of work at hand", registry=registry).set(
        health.longest_work_s
    )
    age_s = (now - counts.oldest_unfinished_at).total_seconds() if counts.oldest_unfinished_at else 0.0
    Gauge("patchclip_oldest_unfinished_seconds", "Age of the oldest unfinished study", registry=registry).set(age_s)
    Gauge("patchclip_spool_free_bytes", "Room in the spool above its reserve", registry=registry).set(free_bytes)
    Gauge("patchclip_emergency_sessions", "Logins with emergency access", registry=registry).set(emergencies)
    audit = Gauge("patchclip_audit_waiting", "Audit events that wait, by where they go", ["lane"], registry=registry)
    for backlog in backlogs:
        audit.labels(backlog.lane.value).set(backlog.waiting)
    return generate_latest(registry)
