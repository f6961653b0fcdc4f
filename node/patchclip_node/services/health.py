"""What is wrong with a running node, from what the ledger and the spool show. Stated times, in seconds, are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from patchclip_node.domain.records import WorkerRecord, WorkerRole
from patchclip_node.ports.audit import AuditBacklog, AuditLane

LOST_AFTER_S: Final = 30.0
"""A worker that was not seen for this long is lost: it hangs as a whole, its host is down, or it was not started."""

HUNG_AFTER_S: Final = 300.0
"""A piece of work that takes longer than this is shown: a model, a decoder or a peer may hang."""

AUDIT_LAGS_AFTER_S: Final = 300.0
"""Audit events that wait for this long are shown: they go within seconds."""

_NEXT_STEP: Final = {
    AuditLane.FILE: "make room in the folder of the audit trail, and let the node write there",
    AuditLane.SYSLOG: "see that the collector runs and takes TLS (audit.collector)",
}

_WORDS: Final = {WorkerRole.WORK: ("worker", "analyses"), WorkerRole.DELIVER: ("process that delivers", "deliveries")}


@dataclass(frozen=True, slots=True)
class Health:
    """How a node is. troubles: in words, worst first. working: processes that live. longest_work_s: at one thing."""

    troubles: tuple[str, ...]
    working: Mapping[WorkerRole, int]
    longest_work_s: float


@dataclass(frozen=True, slots=True)
class AuditLag:
    """A lane of the audit trail that is behind, in words: how far and why, and what to do."""

    detail: str
    advice: str


def health(
    workers: Sequence[WorkerRecord],
    due: tuple[int, int],
    free_bytes: int,
    now: datetime,
    backlogs: Sequence[AuditBacklog] = (),
) -> Health:
    """Judge it. due: analyses and deliveries that wait now. free_bytes: what the spool still takes.

    backlogs: of the audit trail's lanes.
    """
    lost = [one for one in workers if now - one.seen_at >= timedelta(seconds=LOST_AFTER_S)]
    alive = [one for one in workers if one not in lost]
    working = {role: sum(one.role is role for one in alive) for role in WorkerRole}
    at_work_s = {one.name: (now - one.working_since).total_seconds() for one in alive if one.working_since is not None}
    troubles = [
        _nobody(role, waiting)
        for role, waiting in zip((WorkerRole.WORK, WorkerRole.DELIVER), due, strict=True)
        if not working[role]
    ]
    if free_bytes <= 0:
        troubles.append("the disk is full up to its reserve: nothing is received or analysed")
    troubles += [
        f"the {_WORDS[one.role][0]} {one.name} was last seen at {one.seen_at:%H:%M:%S} UTC"
        for one in lost
        if working[one.role]
    ]
    troubles += [f"the {_WORDS[one.role][0]} {one.name}: {one.trouble}" for one in alive if one.trouble]
    troubles += [
        f"{name} is at one piece of work for {seconds:.0f} s: model, decoder or peer may hang"
        for name, seconds in at_work_s.items()
        if seconds >= HUNG_AFTER_S
    ]
    troubles += [f"{lag.detail}; {lag.advice}" for one in backlogs if (lag := audit_lag(one, now))]
    return Health(tuple(troubles), working, max(at_work_s.values(), default=0.0))


def audit_lag(backlog: AuditBacklog, now: datetime) -> AuditLag | None:
    """Say how far a lane of the audit trail is behind, and why; None while it keeps up."""
    if backlog.since is None or now - backlog.since < timedelta(seconds=AUDIT_LAGS_AFTER_S):
        return None
    where = "files" if backlog.lane is AuditLane.FILE else "collector"
    why = backlog.trouble or "no process that delivers has carried them"
    since = f"{backlog.since:%Y-%m-%d %H:%M:%S} UTC"
    detail = f"{backlog.waiting} audit events wait for the {where} since {since}: {why}"
    return AuditLag(detail, f"{_NEXT_STEP[backlog.lane]}; none is lost meanwhile")


def _nobody(role: WorkerRole, waiting: int) -> str:
    name, work = _WORDS[role]
    return f"no {name} was seen within {LOST_AFTER_S:g} s" + (f"; {waiting} {work} wait" if waiting else "")
