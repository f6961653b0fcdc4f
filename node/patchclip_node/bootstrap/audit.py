"""The audit trail of a process: that it starts and ends, what it tells, and how one of them carries it on."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from patchclip_node.adapters.audit_files import AuditFiles
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.processes import process_name
from patchclip_node.audit import codes, events
from patchclip_node.audit.message import build_message
from patchclip_node.audit.syslog import frame
from patchclip_node.audit.values import AuditEvent, AuditSource, Outcome, RecordedEvent
from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.ports.audit import AuditLane, AuditOutbox
from patchclip_node.ports.clock import Clock
from patchclip_node.scu.audit_collector import SyslogCollector
from patchclip_node.services.audit.desk import AuditDesk
from patchclip_node.services.audit.trail import CollectorLane, TrailLane
from patchclip_node.services.outage import again_and_again
from patchclip_node.settings import NodeSettings

LOOK_S: Final = 0.5
"""How often the lanes look for events."""

_JOIN_S: Final = 5.0
"""How long the threads may take to end; what waits then is carried at the next start."""

log = structlog.get_logger(__name__)


@contextmanager
def audited(process: str, outbox: AuditOutbox, clock: Clock) -> Iterator[AuditDesk]:
    """Tell that a process starts, and at the end that it stops; in between the desk takes what it has to tell."""
    outbox.record(events.application_started(process, clock.now()))
    desk, stop = AuditDesk(outbox), threading.Event()
    thread = threading.Thread(target=desk.run, args=(stop,), name="audit-desk", daemon=True)
    thread.start()
    try:
        yield desk
    finally:
        stop.set()
        thread.join(_JOIN_S)
        try:
            outbox.record(events.application_stopped(process, clock.now()))
        except LedgerUnavailableError as error:
            log.warning("stop_not_audited", error=str(error))


@contextmanager
def carrying(settings: NodeSettings, ledger: SqlLedger, clock: Clock) -> Iterator[None]:
    """Carry events of all processes from the ledger to files and collector, for the time of the context."""
    with ExitStack() as ends, _in_threads(_lanes(settings, ledger.audit, clock, ends), ledger):
        yield


@contextmanager
def _in_threads(lanes: Mapping[AuditLane, Callable[[], None]], ledger: SqlLedger) -> Iterator[None]:
    ledger.audit.follow(frozenset(lanes))
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=again_and_again, args=(step, stop, LOOK_S, f"audit_{lane}"), name=f"audit-{lane}", daemon=True
        )
        for lane, step in lanes.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(_JOIN_S)
        try:
            for step in lanes.values():
                step()  # what was told last
        except LedgerUnavailableError as error:
            log.warning("audit_events_wait", error=str(error))


def source_of(settings: NodeSettings) -> AuditSource:
    """Return who tells the node's events."""
    return AuditSource(settings.ae_title, socket.gethostname(), settings.audit.site)


def _lanes(
    settings: NodeSettings, outbox: AuditOutbox, clock: Clock, ends: ExitStack
) -> Mapping[AuditLane, Callable[[], None]]:
    source, owner = source_of(settings), process_name()
    files = AuditFiles(settings.audit_dir, settings.audit.file_max_bytes, partial(build_message, source=source))
    lanes: dict[AuditLane, Callable[[], None]] = {AuditLane.FILE: TrailLane(outbox, files, clock, owner).run_once}
    if (collector := settings.audit.collector) is not None:
        connection = SyslogCollector(collector.host, collector.port, settings.security_to_collector(collector))
        ends.callback(connection.close)
        framed = partial(_framed, source)
        lanes[AuditLane.SYSLOG] = CollectorLane(
            outbox, connection, framed, clock, owner, collector.keep_events
        ).run_once
    return lanes


def _framed(source: AuditSource, recorded: RecordedEvent) -> bytes:
    event = recorded.event
    return frame(build_message(event, source), source, recorded.sequence, event.at, event.outcome)


def tell_changed_settings(settings: NodeSettings, outbox: AuditOutbox, clock: Clock) -> None:
    """Tell which settings differ from those of the last start. Their values are not told, and only digests are kept."""
    path = settings.data_dir / "settings.json"
    digests = {key: _digest(value) for key, value in settings.model_dump(mode="json").items()}
    before = _read(path)
    changed = sorted(key for key in digests.keys() | before.keys() if digests.get(key) != before.get(key))
    if not changed:
        return
    if before:
        outbox.record(_settings_changed(changed, clock))
    path.write_text(json.dumps(digests), encoding="utf-8")
    path.chmod(0o600)


def _settings_changed(keys: Sequence[str], clock: Clock) -> AuditEvent:
    what = f"other settings than at the last start: {', '.join(keys)}"
    return events.alert(codes.SOFTWARE_CONFIGURATION, clock.now(), events.DELIVER, what, outcome=Outcome.SUCCESS)


def _read(path: Path) -> Mapping[str, str]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
