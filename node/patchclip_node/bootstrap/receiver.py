"""The receiver process: storage SCP, spool, ledger. It imports no torch and needs no queue."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom import config as pydicom_config

from patchclip_core.memory import settle
from patchclip_core.processors import usable_processors
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.reception_file import ReceptionFile
from patchclip_node.audit import events
from patchclip_node.bootstrap import logging
from patchclip_node.bootstrap.audit import audited
from patchclip_node.bootstrap.common import open_clock, open_ledger, open_spool, tidied
from patchclip_node.bootstrap.configuration import Follower, following, start
from patchclip_node.bootstrap.helpers import helped
from patchclip_node.bootstrap.readiness import tell_ready
from patchclip_node.bootstrap.stopping import stop_on_signals
from patchclip_node.bootstrap.telemetry import traced
from patchclip_node.dicom.headers import read_header
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.transport_security import CertificateMark
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Arrivals
from patchclip_node.ports.result_sender import Destination
from patchclip_node.ports.spool import Spool
from patchclip_node.ports.tracer import NO_TRACER, Tracer
from patchclip_node.scp.commitment import CommitmentDesk
from patchclip_node.scp.helpers import Front, TellingCallers
from patchclip_node.scp.incoming import IncomingRoom
from patchclip_node.scp.places import Caller, KnownCallers, PlacePolicy
from patchclip_node.scp.security import AllowedNetworks, CallerSecurity
from patchclip_node.scp.storage_scp import Admission, Endpoint, StorageScp
from patchclip_node.scp.witness import Witness
from patchclip_node.scu.sender import DicomResultSender
from patchclip_node.services.audit.desk import AuditDesk
from patchclip_node.services.backlog import BacklogGate
from patchclip_node.services.commit import CommitmentReports
from patchclip_node.services.custody import CustodyReports, CustodyService
from patchclip_node.services.receive import ReceiveService
from patchclip_node.services.urgency import UrgencyQuota
from patchclip_node.settings import NodeSettings

PORT_PATIENCE_S = 30.0
"""How long to wait for a port that a receiver before us may be about to leave."""

REPORT_EVERY_S = 2.0
"""How old what pages and `doctor` say of the receiver is at most, in seconds."""

USUAL_RECEIVERS = 2
"""Processes that take images in where the settings say nothing and there are cores for them."""

RECENT_INSTANCES = 20_000
"""Whoever sent one of that many last images is known from the start: a day of a large hospital."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A wired receiver, and what of it follows the settings while it runs."""

    scp: StorageScp
    desk: CommitmentDesk
    urgency: UrgencyQuota
    backlog: BacklogGate
    reports: Callable[[NodeSettings], tuple[CommitmentReports, CustodyReports]]

    def follow(self, settings: NodeSettings) -> None:
        """Admit and answer by other settings from now on; open associations go on as they were admitted.

        Raises `ConfigurationError` where files that they name cannot be used: then nothing has changed.
        """
        admission, (reports, custody) = _admission(settings), self.reports(settings)
        logging.configure(settings.log, "receive")
        self.urgency.follow(settings.limits.urgent_studies_an_hour)
        self.backlog.follow(settings.limits.backlog)
        self.desk.follow(reports.take, custody)
        self.scp.follow(admission, _listed(settings))


def wire_receiver(
    settings: NodeSettings,
    ledger: SqlLedger,
    spool: Spool,
    clock: Clock,
    audit: AuditDesk | None = None,
    tracer: Tracer = NO_TRACER,
    front: Front | None = None,
) -> Receiver:
    """Wire the receiver; it listens once it is started, or helps one that does.

    clock: the ledger's. audit, tracer: take what it tells. front: of the one that it helps, who knows the callers and
    counts urgent studies for all; None: it helps no one.
    """
    arrivals = ledger.arrivals
    limits = settings.limits
    if front is None:
        urgency = UrgencyQuota(limits.urgent_studies_an_hour)
        known = KnownCallers(_listed(settings), have_sent=_have_sent(arrivals))
    else:
        urgency = UrgencyQuota(limits.urgent_studies_an_hour, ask=front.may_be_urgent)
        known = TellingCallers(front)
    backlog = BacklogGate(limits.backlog, ledger.workload, arrivals)
    service = ReceiveService(
        spool,
        arrivals,
        clock,
        read_header,
        limits.max_instance_bytes,
        urgency,
        backlog,
        images_alone=settings.forward,
    )
    endpoint = Endpoint(settings.ae_title, settings.host, settings.port)
    room = IncomingRoom(spool.incoming_dir(), spool.free_bytes)
    witness = None if audit is None else Witness(audit.tell, clock)

    def reports_by(settings: NodeSettings) -> tuple[CommitmentReports, CustodyReports]:
        theirs = CommitmentReports(ledger.commitments, clock, settings.delivery_policy)
        return theirs, _custody_reports(settings, ledger, spool, clock)

    reports, custody = reports_by(settings)
    desk = CommitmentDesk(reports.take, custody)
    scp = StorageScp(service, room, endpoint, _admission(settings), known, desk, witness, tracer)
    scp.helpers.grants = urgency.grants
    return Receiver(scp, desk, urgency, backlog, reports_by)


def build_receiver(settings: NodeSettings, ledger: SqlLedger, spool: Spool, clock: Clock) -> StorageScp:
    """Wire a receiver that keeps the settings that it has."""
    return wire_receiver(settings, ledger, spool, clock).scp


def _admission(settings: NodeSettings) -> Admission:
    limits = settings.limits
    return Admission(
        calling_ae_titles=settings.calling_ae_titles,
        accept_any_called_ae_title=settings.accept_any_called_ae_title,
        places=PlacePolicy(
            total=limits.max_associations,
            per_address=limits.max_associations_per_address,
            kept_for_known=limits.associations_kept_for_known,
        ),
        max_instance_bytes=limits.max_instance_bytes,
        networks=AllowedNetworks(settings.allowed_networks),
        security=_security(settings),
    )


def _listed(settings: NodeSettings) -> list[Caller]:
    return [Caller(one.ae_title, one.address) for one in settings.known_callers]


def _security(settings: NodeSettings) -> CallerSecurity | None:
    if settings.tls is None:
        return None
    certificates = [
        (Caller(one.ae_title, one.address), CertificateMark(one.certificate))
        for one in settings.known_callers
        if one.certificate is not None
    ]
    return CallerSecurity(settings.tls.credentials, certificates)


def _custody_reports(settings: NodeSettings, ledger: SqlLedger, spool: Spool, clock: Clock) -> CustodyReports:
    places = {
        (one.ae_title, one.address): Destination(
            one.ae_title, one.ae_title, one.address, one.port, security=settings.security_of_reports_to(one)
        )
        for one in settings.known_callers
        if one.port is not None
    }
    custody, sender = CustodyService(ledger.arrivals, spool), DicomResultSender(settings.ae_title)
    return CustodyReports(ledger.owed_reports, custody, sender, places, clock, settings.work_policy)


def _have_sent(arrivals: Arrivals) -> list[Caller]:
    return [Caller(ae_title, address) for ae_title, address in arrivals.recent_senders(RECENT_INSTANCES)]


def run(config: Path | None) -> None:
    """Receive until SIGTERM or SIGINT. Prints one line on standard output as soon as it listens.

    Other settings are taken up in place: no association is dropped.
    """
    started = start("receive", config)
    settings = started.settings
    logging.configure(settings.log, "receive")
    spare_what_is_not_used()
    stop = stop_on_signals()
    ledger = open_ledger(settings)
    try:
        clock = open_clock(ledger)
        with audited(events.RECEIVE, ledger.audit, clock) as audit, traced(settings, ledger, "receive") as tracer:
            spool = open_spool(settings)
            receiver = wire_receiver(settings, ledger, spool, clock, audit, tracer)
            scp = receiver.scp

            def follow(changed: NodeSettings) -> None:
                receiver.follow(changed)
                scp.helpers.follow(follower.file)

            follower = Follower("receive", started, follow)
            helping = helped(scp.helpers, receivers_of(settings, usable_processors()) - 1, follower.file)
            with helping, following(follower, stop), tidied(spool):
                if not listen(scp, settings, stop):
                    return
                sys.stdout.write(f"listening: {settings.ae_title} receives on {settings.host}:{settings.port}\n")
                sys.stdout.flush()
                tell_ready("receive")
                settle()
                report(scp, ReceptionFile(settings.data_dir), clock, stop)
                scp.stop()
    finally:
        ledger.close()


def receivers_of(settings: NodeSettings, cores: int) -> int:
    """Return how many processes take images in: one under TLS, which can't be handed over, else as set or as fits."""
    if settings.tls is not None:
        return 1
    return settings.receivers or min(cores, USUAL_RECEIVERS)


def spare_what_is_not_used() -> None:
    """Let pydicom compare no value that is read with the standard, in this process.

    It does so to warn, and its warnings are not logged. A request for an association takes half as long without it.
    """
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE


def report(scp: StorageScp, file: ReceptionFile, clock: Clock, stop: threading.Event) -> None:
    """Say how the receiver is doing, every `REPORT_EVERY_S` by the ledger's clock, until `stop`; then it is none."""
    while True:
        file.write(scp.reception(clock.now()))
        if stop.wait(REPORT_EVERY_S):
            file.remove()
            return


def listen(scp: StorageScp, settings: NodeSettings, stop: threading.Event, patience_s: float = PORT_PATIENCE_S) -> bool:
    """Start listening; False when `stop` came first. Raises `ConfigurationError` when the address can't be had."""
    waited_s, step_s = 0.0, 0.2
    while not stop.is_set():
        try:
            scp.start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or waited_s >= patience_s:
                raise ConfigurationError(
                    f"host, port: can't listen on {settings.host}:{settings.port}: {error.strerror}"
                ) from error
            waited_s += step_s
            stop.wait(step_s)
        else:
            return True
    return False
