"""Watches for what a person has to be told, and carries the messages: beside delivery, and beside the pages.

Both processes do so, and the ledger says which of them all does it now: where delivery is gone, the pages tell it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from patchclip_core.io.selection import RADIOGRAPHY_MODALITIES
from patchclip_node.adapters.alerts import MailAccount, MailChannel, Webhook, WebhookChannel
from patchclip_node.adapters.alerts.mail import MailSecurity
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.processes import process_name
from patchclip_node.bootstrap.ourselves import ourselves
from patchclip_node.bootstrap.threads import repeating, running
from patchclip_node.dicom.tls import own_certificate
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.transport_security import PeerCertificate, TlsCredentials
from patchclip_node.ports.alerts import AlertChannel
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.spool import Spool
from patchclip_node.scu.sender import DicomResultSender
from patchclip_node.services.alerts.canary import Canary
from patchclip_node.services.alerts.conditions import OwnCertificate
from patchclip_node.services.alerts.post import AlertPost
from patchclip_node.services.alerts.watch import AlertWatch, WatchPlan
from patchclip_node.settings import NodeSettings

_JOIN_S: Final = 5.0
"""How long the threads may take to end; whoever watches next goes on where they were."""
_POST_S: Final = 2.0
"""How often it is looked for messages, at most."""


@contextmanager
def watching(settings: NodeSettings, ledger: SqlLedger, spool: Spool, clock: Clock) -> Iterator[None]:
    """Watch, and carry messages, for the time of the context."""
    plan, owner = watch_plan(settings), process_name()
    ledger.alerts.follow(plan.channels)
    watch = AlertWatch(
        ledger.alerts,
        ledger.duties,
        ledger.watched,
        ledger.outages,
        ledger.workers,
        ledger.workload,
        ledger.audit,
        spool,
        clock,
        owner,
        lambda: own_certificates(settings),
        plan,
    )
    posts = {
        f"alerts-{name}": AlertPost(name, channel, ledger.alerts, clock).run_once
        for name, channel in channels(settings).items()
    }
    with _threads(
        [("alerts", watch.run_once, plan.look_s)]
        + [(name, step, min(plan.look_s, _POST_S)) for name, step in posts.items()]
    ):
        yield


@contextmanager
def canaries(
    settings: NodeSettings, ledger: SqlLedger, clock: Clock, forget: Callable[[str], object]
) -> Iterator[None]:
    """Send canaries for the time of the context, where the settings want them. forget: deletes a study."""
    wanted = settings.alerts.canary
    if wanted is None:
        yield
        return
    stop = threading.Event()
    canary = Canary(
        ledger.duties,
        ledger.studies,
        forget,
        DicomResultSender(wanted.calling_ae_title or calling_title(settings)),
        lambda: ourselves(settings, wanted.host),
        clock,
        process_name(),
        wanted.every_s,
        wanted.within_s,
        stop,
    )
    with _threads([("canary", canary.run_once, min(wanted.every_s / 10, 10.0))], stop):
        yield


def calling_title(settings: NodeSettings) -> str:
    """Return what the node calls itself where it calls its own receiver: a title that this takes."""
    return settings.calling_ae_titles[0] if settings.calling_ae_titles else settings.ae_title


def channels(settings: NodeSettings) -> Mapping[str, AlertChannel]:
    """Return the ways to a person, by name."""
    found: dict[str, AlertChannel] = {}
    if (mail := settings.alerts.mail) is not None:
        values = mail.model_dump() | {"security": MailSecurity(mail.security)}
        found["mail"] = MailChannel(MailAccount(**values))
    if (webhook := settings.alerts.webhook) is not None:
        found["webhook"] = WebhookChannel(Webhook(**webhook.model_dump()))
    return found


def own_certificates(settings: NodeSettings) -> Sequence[OwnCertificate]:
    """Return the certificates that the node shows, by the settings that name them, each once."""
    named: dict[TlsCredentials, str] = {}
    if settings.tls is not None:
        named[settings.tls.credentials] = "tls"
    for one in settings.destinations:
        if (security := settings.security_to(one)) is not None:
            named.setdefault(security.credentials, f"destinations, {one.name}, tls")
    if settings.audit.collector is not None:
        named.setdefault(settings.security_to_collector(settings.audit.collector).credentials, "audit.collector.tls")
    return [OwnCertificate(name, _found(credentials)) for credentials, name in named.items()]


def watch_plan(settings: NodeSettings) -> WatchPlan:
    """Return what is told when."""
    alerts = settings.alerts
    canary = alerts.canary
    return WatchPlan(
        policy=alerts.policy,
        look_s=alerts.look_s,
        outage_s=alerts.outage_s,
        least_free_bytes=alerts.least_free_bytes,
        backlog=settings.limits.backlog,
        analyses=not settings.forward,
        certificate_days=alerts.certificate_days,
        senders=tuple(one.expected for one in alerts.senders),
        learns_senders=alerts.learn_senders,
        canary_late_s=None if canary is None else 2 * (canary.every_s + canary.within_s),
        modalities=RADIOGRAPHY_MODALITIES,
        channels=alerts.channels,
        whose=whose(settings),
    )


def whose(settings: NodeSettings) -> tuple[str, str, str]:
    """Return what messages call the node: its AE title, its host and its site."""
    return settings.ae_title, socket.gethostname(), settings.audit.site


def _found(credentials: TlsCredentials) -> PeerCertificate | str:
    try:
        return own_certificate(credentials)
    except ConfigurationError as error:
        return str(error)


@contextmanager
def _threads(
    steps: Sequence[tuple[str, Callable[[], object], float]], stop: threading.Event | None = None
) -> Iterator[None]:
    stop = stop or threading.Event()
    with running([repeating(name, step, stop, every_s) for name, step, every_s in steps], stop, _JOIN_S):
        yield
