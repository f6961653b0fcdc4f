"""The audit trail of a process: that it starts and ends, what it tells, and how one of them carries it on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from patchclip_node.adapters.audit_files import AuditFiles
from patchclip_node.adapters.configuration_store import ConfigurationBusyError, ConfigurationStore
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.processes import process_name
from patchclip_node.audit import codes, events
from patchclip_node.audit.message import build_message
from patchclip_node.audit.syslog import frame
from patchclip_node.audit.values import AuditEvent, AuditSource, Code, Outcome, RecordedEvent
from patchclip_node.bootstrap.configuration import changes_between
from patchclip_node.bootstrap.threads import repeating, running
from patchclip_node.domain.configuration import Version
from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.ports.audit import AuditLane, AuditOutbox
from patchclip_node.ports.clock import Clock
from patchclip_node.scu.audit_collector import SyslogCollector
from patchclip_node.services.audit.desk import AuditDesk
from patchclip_node.services.audit.trail import CollectorLane, TrailLane
from patchclip_node.settings import NodeSettings

LOOK_S: Final = 2.0
"""How often the lanes look for events, which are durable before: more often was a third of what a node at rest uses."""

TELL_EVERY_S: Final = 1.0
"""How often it is looked whether the configuration has another version."""

_JOIN_S: Final = 5.0
"""How long the threads may take to end; what waits then is carried at the next start."""

log = structlog.get_logger(__name__)


@contextmanager
def audited(process: str, outbox: AuditOutbox, clock: Clock) -> Iterator[AuditDesk]:
    """Tell that a process starts, and at the end that it stops; in between the desk takes what it has to tell."""
    outbox.record(events.application_started(process, clock.now()))
    try:
        with recording(outbox) as desk:
            yield desk
    finally:
        try:
            outbox.record(events.application_stopped(process, clock.now()))
        except LedgerUnavailableError as error:
            log.warning("stop_not_audited", error=str(error))


@contextmanager
def recording(outbox: AuditOutbox) -> Iterator[AuditDesk]:
    """Record what the desk is told, for the time of the context."""
    desk, stop = AuditDesk(outbox), threading.Event()
    thread = threading.Thread(target=desk.run, args=(stop,), name="audit-desk", daemon=True)
    with running([thread], stop, _JOIN_S):
        yield desk


@contextmanager
def carrying(settings: NodeSettings, ledger: SqlLedger, clock: Clock) -> Iterator[None]:
    """Carry events of all processes from the ledger to files and collector, for the time of the context."""
    with ExitStack() as ends, _in_threads(_lanes(settings, ledger.audit, clock, ends), ledger):
        yield


@contextmanager
def _in_threads(lanes: Mapping[AuditLane, Callable[[], None]], ledger: SqlLedger) -> Iterator[None]:
    ledger.audit.follow(frozenset(lanes))
    stop = threading.Event()
    threads = [repeating(f"audit_{lane}", step, stop, LOOK_S) for lane, step in lanes.items()]
    try:
        with running(threads, stop, _JOIN_S):
            yield
    finally:
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


def tell_changed_settings(store: ConfigurationStore, outbox: AuditOutbox, clock: Clock) -> None:
    """Tell each version of the configuration that was not told yet: who made it, how, and which keys it changes.

    Values are not told; `config diff` has them. The first version changes nothing. Raises `LedgerUnavailableError`.
    """
    if store.numbers()[-1] <= store.told_up_to():
        return
    with suppress(ConfigurationBusyError), store.locked(patience_s=0):  # what is being applied is told when it is over
        told = store.told_up_to()
        for number in (one for one in store.numbers() if one > told):
            before = store.before(number)
            if before is not None:
                for event in _settings_changed(before, store.version(number), clock.now()):
                    outbox.record(event)
            store.tell_up_to(number)


_KINDS: Final[Mapping[Code, frozenset[str]]] = {
    codes.SECURITY_CONFIGURATION: frozenset(
        {"tls", "allowed_networks", "accept_any_called_ae_title", "calling_ae_titles", "known_callers", "web", "audit"}
    ),
    codes.NETWORK_CONFIGURATION: frozenset({"ae_title", "host", "port", "destinations", "renamed_destinations"}),
}
"""Which kind of alert a setting's change is (PS3.16 CID 403); of all others it is of the software's configuration."""


def _settings_changed(before: Version, after: Version, at: datetime) -> Iterator[AuditEvent]:
    """Yield an event for each kind of what a version changes."""
    by_kind: dict[Code, list[str]] = {}
    for key in changes_between(before.configuration, after.configuration):
        section = key.partition(".")[0]
        kind = next((kind for kind, keys in _KINDS.items() if section in keys), codes.SOFTWARE_CONFIGURATION)
        by_kind.setdefault(kind, []).append(key)
    for kind, keys in by_kind.items():
        what = f"the configuration was changed by {after.act}: {', '.join(keys)}"
        if after.refused:
            what = f"{what}; it does not hold: {after.refused}"
        details = [("version", str(after.number)), ("as user", after.who.user), ("digest", after.configuration.digest)]
        who = events.person(after.who.name)
        outcome = Outcome.MINOR_FAILURE if after.refused else Outcome.SUCCESS
        yield events.alert(kind, at, events.DELIVER, what, who, outcome=outcome, details=details)
