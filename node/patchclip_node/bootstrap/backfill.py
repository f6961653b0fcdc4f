"""Backfill, wired: the archive that the settings name, and the list in the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime
from urllib.parse import urlsplit

from patchclip_core.io.vocabulary import load_vocabulary
from patchclip_node.adapters.dicomweb.archive import DicomWebArchive, WebPlace
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.secret_file import read_secret
from patchclip_node.adapters.sole_process import alone
from patchclip_node.adapters.trusted import trusting
from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.bootstrap.common import open_clock
from patchclip_node.bootstrap.keeping import Keeping
from patchclip_node.domain.backfill import BackfillProgress, Window
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.archive import DicomArchive, Move, Retrieval
from patchclip_node.scu.associations import Associations
from patchclip_node.scu.get import Get
from patchclip_node.services.backfill.plan import Planned, Planner
from patchclip_node.services.backfill.pull import Puller
from patchclip_node.settings import NodeSettings

NAME = "archive"
"""What errors and the audit trail call it, beside its AE title and address."""


def plan(
    settings: NodeSettings,
    ledger: SqlLedger,
    by: Actor,
    since: date,
    until: date,
    show: Callable[[Window, int], None],
    stop: threading.Event,
) -> Planned:
    """List the archive's studies of these days. Raises what `Planner.run` raises."""
    clock, wanted = open_clock(ledger), settings.backfill.wanted
    at_most = settings.backfill.answers_at_most
    with closing(_archive(settings, ledger, clock, by)) as archive:
        return Planner(archive, ledger.backfill, clock, wanted, at_most, show).run(since, until, stop)


def pull(
    settings: NodeSettings,
    ledger: SqlLedger,
    by: Actor,
    show: Callable[[BackfillProgress, str], None],
    stop: threading.Event,
) -> None:
    """Work on the list until it is done, or `stop`. Raises what `Puller.run` raises."""
    clock = open_clock(ledger)
    lock = settings.data_dir / "backfill.lock"
    with closing(_archive(settings, ledger, clock, by)) as archive, alone(lock, "`backfill run`"):
        pace, wanted = settings.backfill.pace, settings.backfill.wanted
        Puller(ledger.backfill, archive, wanted, pace, clock, lambda: datetime.now().astimezone(), show).run(stop)


def _archive(settings: NodeSettings, ledger: SqlLedger, clock: Clock, by: Actor) -> DicomArchive | DicomWebArchive:
    web = settings.backfill.by == "web"
    return (_web_archive if web else _dicom_archive)(settings, ledger, clock, by)


def _dicom_archive(settings: NodeSettings, ledger: SqlLedger, clock: Clock, by: Actor) -> DicomArchive:
    place = settings.backfill.archive
    if place is None:
        raise ConfigurationError("backfill.archive: name the archive (ae_title, host, port) that studies come from")
    security = settings.security_to_archive(place)
    peer = Destination(NAME, place.ae_title, place.host, place.port, security=security)
    told = events.peer(NAME, place.host, ae_title=place.ae_title)
    return DicomArchive(
        peer,
        Associations(settings.ae_title),
        _retrieval(settings, ledger, clock, peer),
        settings.ae_title,
        load_vocabulary(settings.radiographs_file),
        lambda query: ledger.audit.record(events.archive_queried(clock.now(), by, told, query)),
    )


def _web_archive(settings: NodeSettings, ledger: SqlLedger, clock: Clock, by: Actor) -> DicomWebArchive:
    web = settings.backfill.web
    if web is None:
        raise ConfigurationError("backfill.web: name the archive (url) that studies are asked for over the web")
    address = urlsplit(web.url)
    assert address.hostname is not None, "the settings take no address without a host"
    port = address.port or (443 if address.scheme == "https" else 80)
    told = events.peer(NAME, address.hostname, ae_title=web.ae_title)
    file = web.secret_file
    return DicomWebArchive(
        WebPlace(
            web.url,
            trusting(web.ca, "backfill.web.ca"),
            web.user,
            None if file is None else lambda: read_secret(file, "backfill.web.secret_file"),
        ),
        Keeping(settings, ledger, clock, Destination(NAME, web.ae_title, address.hostname, port)),
        load_vocabulary(settings.radiographs_file),
        lambda query: ledger.audit.record(events.archive_queried(clock.now(), by, told, query)),
    )


def _retrieval(settings: NodeSettings, ledger: SqlLedger, clock: Clock, archive: Destination) -> Retrieval:
    if settings.backfill.by == "move":
        return Move(settings.ae_title)
    return Get(Keeping(settings, ledger, clock, archive).keep, settings.limits.max_instance_bytes)
