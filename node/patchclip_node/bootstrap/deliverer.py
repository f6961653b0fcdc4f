"""The process that delivers, and purges what is delivered for long. It imports no torch and needs no queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from patchclip_core.io import DecodingProcess
from patchclip_core.memory import settle
from patchclip_node.adapters.bell import Bell
from patchclip_node.adapters.clock import SystemClock
from patchclip_node.adapters.configuration_store import ConfigurationStore
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.processes import dead_owners, process_name
from patchclip_node.adapters.uid_generator import DerivedUidGenerator
from patchclip_node.audit import events
from patchclip_node.bootstrap.alerts import canaries, watching
from patchclip_node.bootstrap.audit import TELL_EVERY_S, audited, carrying, tell_changed_settings
from patchclip_node.bootstrap.common import open_clock, open_ledger, open_spool, tidied
from patchclip_node.bootstrap.configuration import Started, run_again_and_again
from patchclip_node.bootstrap.decoding import decode_limits
from patchclip_node.bootstrap.painting import LatePainter
from patchclip_node.bootstrap.readiness import tell_ready
from patchclip_node.bootstrap.stopping import Stop
from patchclip_node.bootstrap.telemetry import traced
from patchclip_node.bootstrap.threads import repeating, running
from patchclip_node.domain.records import WorkerRole
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.result_sender import Destination
from patchclip_node.ports.spool import Spool
from patchclip_node.scu.sender import DicomResultSender
from patchclip_node.services.commit import CommitmentReports, CommitmentRequests
from patchclip_node.services.deliver import DeliveryLane
from patchclip_node.services.forward import ForwardService
from patchclip_node.services.heartbeat import HeartbeatService
from patchclip_node.services.lanes import STOP_GRACE_S, DeliveryService
from patchclip_node.services.lease_owner import LeaseOwner
from patchclip_node.services.leases import LeaseService
from patchclip_node.services.rejection_notes import LOOK_S, RejectionNotes
from patchclip_node.services.release import LOOK_S as HOLDS_EVERY_S
from patchclip_node.services.release import ReleaseDesk
from patchclip_node.services.retain import PURGE_EVERY_S, RetentionService
from patchclip_node.settings import DestinationSettings, NodeSettings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Deliverer:
    """A wired process: what leaves, and what goes afterwards."""

    delivery: DeliveryService
    notes: RejectionNotes
    retention: RetentionService
    release: ReleaseDesk
    beside: Callable[[], AbstractContextManager[None]]
    """For its time a person is told of what is wrong, canaries go through the node, and images go on from an edge."""
    tell_changes: Callable[[ConfigurationStore], None]


@contextmanager
def build_deliverer(settings: NodeSettings) -> Iterator[Deliverer]:
    """Wire the lanes; open ledger and spool, and close them afterwards."""
    ledger, spool = open_ledger(settings), open_spool(settings)
    clock = open_clock(ledger)
    owner, policy = LeaseOwner(process_name()), settings.delivery_policy
    sender = DicomResultSender(settings.ae_title)
    commitment = CommitmentRequests(
        ledger.deliveries, CommitmentReports(ledger.commitments, clock, policy), sender, clock, policy
    )
    decoder = DecodingProcess(decode_limits(settings.limits))  # its child starts with the first image
    painter = LatePainter(settings, ledger, spool, decoder)
    lanes = [
        DeliveryLane(
            _destination(settings, one),
            settings.names_of(one),
            ledger.deliveries,
            spool,
            sender,
            clock,
            policy,
            commitment,
            ledger.audit,
            ledger.outages,
            painter,
        )
        for one in settings.destinations
    ]
    try:
        retention = RetentionService(ledger.retention, ledger.studies, spool, clock, settings.retention_policy)
        with (
            carrying(settings, ledger, clock),
            audited(events.DELIVER, ledger.audit, clock),
            traced(settings, ledger, "deliver"),
        ):
            delivery = DeliveryService(
                lanes,
                owner,
                HeartbeatService(ledger.workers, clock, owner, WorkerRole.DELIVER, dead_owners),
                LeaseService(ledger.leases, clock, owner, dead_owners, policy),
            )
            yield Deliverer(
                delivery,
                RejectionNotes(ledger.recalls, spool, DerivedUidGenerator(), settings.ae_title, clock, SystemClock()),
                retention,
                ReleaseDesk(ledger.gates, clock, settings.earlier_results),
                lambda: _beside(settings, ledger, spool, clock, retention, delivery.call),
                lambda store: tell_changed_settings(store, ledger.audit, clock),
            )
    finally:
        decoder.close()
        ledger.close()


def run(config: Path | None) -> None:
    """Deliver until SIGTERM or SIGINT; with other settings, what is being sent is finished first."""
    run_again_and_again("deliver", config, _deliver)


def _deliver(started: Started, stop: Stop) -> None:
    settings = started.settings
    with build_deliverer(settings) as deliverer:
        log.info("ready", destinations=[one.name for one in settings.destinations])
        tell_ready("deliver")
        settle()
        beside = [
            repeating("retention", deliverer.retention.run_once, stop, PURGE_EVERY_S),
            repeating("rejection_notes", deliverer.notes.run_once, stop, LOOK_S),
            repeating("holds", deliverer.release.run_once, stop, HOLDS_EVERY_S),
            repeating("changed_settings", partial(deliverer.tell_changes, started.store), stop, TELL_EVERY_S),
        ]
        settings.queue_dir.mkdir(exist_ok=True)
        with (
            running(beside, stop, STOP_GRACE_S),
            deliverer.beside(),
            Bell(settings.results_bell).listening(deliverer.delivery.call),
        ):
            deliverer.delivery.run(stop, settings.sweep_s)


@contextmanager
def _beside(
    settings: NodeSettings,
    ledger: SqlLedger,
    spool: Spool,
    clock: Clock,
    retention: RetentionService,
    call: Callable[[], None],
) -> Iterator[None]:
    with (
        watching(settings, ledger, spool, clock),
        canaries(settings, ledger, clock, retention.forget),
        tidied(spool),
        _forwarding(settings, ledger, clock, call),
    ):
        yield


@contextmanager
def _forwarding(settings: NodeSettings, ledger: SqlLedger, clock: Clock, call: Callable[[], None]) -> Iterator[None]:
    if not settings.forward:
        yield
        return
    names = [one.name for one in settings.destinations]
    times = settings.quiet_s, settings.max_open_s
    service, stop = ForwardService(ledger.arrivals, ledger.forwards, clock, names, *times, call), threading.Event()
    thread = threading.Thread(target=service.run, args=(stop,), name="forwarding", daemon=True)
    with running([thread], stop, STOP_GRACE_S):
        yield


def _destination(settings: NodeSettings, one: DestinationSettings) -> Destination:
    fallback = settings.profile(one.profile).pictures
    return Destination(
        one.name,
        one.ae_title,
        one.host,
        one.port,
        None if settings.forward else fallback,
        one.confirm,
        security=settings.security_to(one),
        unchanged=settings.forward,
    )
