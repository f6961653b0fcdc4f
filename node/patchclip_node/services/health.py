"""What is wrong with a running node, from what the ledger and the spool show. Stated times, in seconds, are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from patchclip_node.domain.alerts import AlertKind, Condition, Level
from patchclip_node.domain.backlog import Backlog
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

_MAKE_ROOM: Final = "make room on the disk of data_dir, or shorten `retention`; nothing acknowledged is lost"

_MORE_WORKERS: Final = (
    "start more workers, or see what keeps them; senders keep those images, and what is urgent is taken meanwhile"
)

_MEND_STORE: Final = (
    "see that the store runs, and what `patchclip-node doctor` says of it; meanwhile nothing is received or analysed, "
    "and nothing acknowledged is lost"
)

_WORDS: Final = {WorkerRole.WORK: ("worker", "analyses"), WorkerRole.DELIVER: ("process that delivers", "deliveries")}
_KINDS: Final = {WorkerRole.WORK: AlertKind.WORKER, WorkerRole.DELIVER: AlertKind.DELIVERER}


@dataclass(frozen=True, slots=True)
class Health:
    """How a node is. conditions: troubles, worst first. working: processes that live. longest_work_s: at one thing."""

    conditions: tuple[Condition, ...]
    working: Mapping[WorkerRole, int]
    longest_work_s: float

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong and what to do, in words."""
        return tuple(one.line for one in self.conditions)


def health(
    workers: Sequence[WorkerRecord],
    due: tuple[int, int],
    free_bytes: int,
    now: datetime,
    backlogs: Sequence[AuditBacklog] = (),
    spool_trouble: str = "",
    full_backlog: Condition | None = None,
    *,
    analyses: bool = True,
) -> Health:
    """Judge it. due: analyses and deliveries that wait now. free_bytes: what the spool still takes.

    backlogs: of the audit trail's lanes. spool_trouble: why the spool's store cannot be used, '' where it can.
    full_backlog: see `backlog_is_full`. analyses: whether this node needs workers; an edge receiver does not.
    """
    lost = [one for one in workers if now - one.seen_at >= timedelta(seconds=LOST_AFTER_S)]
    alive = [one for one in workers if one not in lost]
    working = {role: sum(one.role is role for one in alive) for role in WorkerRole}
    at_work = [(one, (now - one.working_since).total_seconds()) for one in alive if one.working_since is not None]
    conditions = [
        _nobody(role, waiting)
        for role, waiting in zip((WorkerRole.WORK, WorkerRole.DELIVER), due, strict=True)
        if not working[role] and (analyses or role is not WorkerRole.WORK)
    ]
    if spool_trouble:
        conditions.append(Condition(AlertKind.SPOOL, spool_trouble, _MEND_STORE))
    if free_bytes <= 0:
        full = "the disk is full up to its reserve: nothing is received or analysed"
        conditions.append(Condition(AlertKind.DISK, full, _MAKE_ROOM))
    if full_backlog is not None:
        conditions.append(full_backlog)
    conditions += [
        _of_worker(one, f"was last seen at {one.seen_at:%H:%M:%S} UTC", Level.WARNING)
        for one in lost
        if working[one.role]
    ]
    conditions += [_of_worker(one, one.trouble, Level.CRITICAL) for one in alive if one.trouble]
    conditions += [_hangs(one, seconds) for one, seconds in at_work if seconds >= HUNG_AFTER_S]
    conditions += [lag for one in backlogs if (lag := audit_lag(one, now))]
    return Health(tuple(conditions), working, max((seconds for _, seconds in at_work), default=0.0))


def disk_runs_low(free_bytes: int, least_bytes: int) -> Condition | None:
    """Say that less than `least_bytes` is left above the reserve, while there is some; None: there is enough."""
    if not 0 < free_bytes < least_bytes:
        return None
    detail = f"the disk of data_dir is filling up: less than {least_bytes / 1024**3:.1f} GiB is left above its reserve"
    return Condition(AlertKind.DISK, detail, _MAKE_ROOM, Level.WARNING)


def backlog_is_full(backlog: Backlog, waiting: int) -> Condition | None:
    """Say that images of new studies are refused, since `waiting` ones wait; None: they are taken."""
    if not backlog.is_full(waiting):
        return None
    detail = (
        f"{waiting} studies wait for their analysis: images of new ones are refused until {backlog.limit.opens_at} do "
        "(limits.max_waiting_studies)"
    )
    return Condition(AlertKind.WORKER, detail, _MORE_WORKERS, subject="backlog")


def audit_lag(backlog: AuditBacklog, now: datetime) -> Condition | None:
    """Say how far a lane of the audit trail is behind, and why; None while it keeps up."""
    if backlog.since is None or now - backlog.since < timedelta(seconds=AUDIT_LAGS_AFTER_S):
        return None
    where = "files" if backlog.lane is AuditLane.FILE else "collector"
    why = backlog.trouble or "no process that delivers has carried them"
    since = f"{backlog.since:%Y-%m-%d %H:%M:%S} UTC"
    detail = f"{backlog.waiting} audit events wait for the {where} since {since}: {why}"
    advice = f"{_NEXT_STEP[backlog.lane]}; none is lost meanwhile"
    return Condition(AlertKind.AUDIT, detail, advice, Level.WARNING, backlog.lane.value, backlog.since)


def _nobody(role: WorkerRole, waiting: int) -> Condition:
    name, work = _WORDS[role]
    detail = f"no {name} was seen within {LOST_AFTER_S:g} s" + (f"; {waiting} {work} wait" if waiting else "")
    advice = f"start `patchclip-node {role}` again, and see in its log why it ended; studies wait meanwhile"
    return Condition(_KINDS[role], detail, advice)


def _of_worker(worker: WorkerRecord, trouble: str, level: Level) -> Condition:
    told = f": {trouble}" if level is Level.CRITICAL else f" {trouble}"
    detail = f"the {_WORDS[worker.role][0]} {worker.name}{told}"
    advice = f"see the log of `patchclip-node {worker.role}` on that host"
    return Condition(_KINDS[worker.role], detail, advice, level, worker.name, worker.seen_at)


def _hangs(worker: WorkerRecord, seconds: float) -> Condition:
    detail = f"{worker.name} is at one piece of work for {seconds:.0f} s: model, decoder or peer may hang"
    advice = f"see the log of `patchclip-node {worker.role}` on that host; where it goes on like this, start it again"
    return Condition(AlertKind.HANGS, detail, advice, Level.WARNING, worker.name, worker.working_since)
