"""The process of the status pages."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from starlette.applications import Starlette

from patchclip_core.checkpoints import checkpoint
from patchclip_core.io import DecodingProcess
from patchclip_core.memory import settle
from patchclip_core.values.definitions import load_findings
from patchclip_node.adapters.clock import SystemClock
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.reception_file import ReceptionFile
from patchclip_node.audit import events
from patchclip_node.audit.reading import Told
from patchclip_node.bootstrap.access import refuse_open_pages, refuse_open_secret
from patchclip_node.bootstrap.alerts import watching
from patchclip_node.bootstrap.audit import audited
from patchclip_node.bootstrap.common import open_clock, open_ledger, open_spool, tidied
from patchclip_node.bootstrap.configuration import Started, run_again_and_again
from patchclip_node.bootstrap.decoding import decode_limits
from patchclip_node.bootstrap.painting import LatePainter
from patchclip_node.bootstrap.readiness import tell_ready
from patchclip_node.bootstrap.stopping import Stop
from patchclip_node.bootstrap.trail import told
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.ports.audit import Tell
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.spool import Spool
from patchclip_node.services.login import LoginDesk
from patchclip_node.services.recall import RecallService
from patchclip_node.services.release import ReleaseDesk
from patchclip_node.services.verdicts import VerdictDesk
from patchclip_node.settings import NodeSettings
from patchclip_node.web import Shown, create_app
from patchclip_node.web.gate import AllowedHosts
from patchclip_node.web.header_timeout import MAX_CONNECTIONS, MAX_HEADER_BYTES, HeaderTimeoutProtocol
from patchclip_node.web.metrics import SlowFigures
from patchclip_node.web.node_pages import Destination
from patchclip_node.web.people import Access
from patchclip_node.web.study import ViewerLink

log = structlog.get_logger(__name__)


def build_web(settings: NodeSettings, ledger: SqlLedger, spool: Spool, clock: Clock, tell: Tell) -> Starlette:
    """Wire the status pages; an ASGI application. `clock`: the ledger's. tell: takes who is turned away."""
    shown = _shown(settings, ledger, spool)
    return create_app(
        studies=ledger.studies,
        workload=ledger.workload,
        workers=ledger.workers,
        spool=spool,
        clock=clock,
        ae_title=settings.ae_title,
        access=_access(settings, ledger, clock, spool, tell),
        audit=ledger.audit,
        tell=tell,
        overview=ledger.overview,
        alerts=ledger.alerts,
        figures=ledger.figures,
        slow=SlowFigures(ledger.figures, ledger.verdicts, shown.read_card, clock),
        shown=shown,
        hosts=AllowedHosts.of_node(settings.web.host, settings.web.names),
        reception=ReceptionFile(settings.data_dir).read,
    )


def _shown(settings: NodeSettings, ledger: SqlLedger, spool: Spool) -> Shown:
    web = settings.web
    decoder = DecodingProcess(decode_limits(settings.limits))  # its child starts with the first image

    def read_trail(subject: str) -> Iterator[Told]:
        """Read the lines that may be of a subject; what a message writes otherwise than it is, is looked for in all."""
        holding = subject if subject.isascii() and re.fullmatch(r"[\w.\- ]+", subject) else ""
        return told(settings, ledger.audit, lambda fault: log.warning("trail_unreadable", fault=fault), holding)

    return Shown(
        decoder=decoder,
        draw=LatePainter(settings, ledger, spool, decoder).picture,
        definitions=load_findings(settings.findings_file),
        destinations=[
            Destination(one.name, one.ae_title, one.host, one.port, one.tls is not None)
            for one in settings.destinations
        ],
        read_card=lambda: checkpoint.read_card(checkpoint.find(settings.model)),
        read_trail=read_trail,
        trail_uri=settings.audit_dir.absolute().as_uri(),
        viewer=ViewerLink(web.viewer_label, web.viewer_url) if web.viewer_url else None,
        backlog=settings.limits.backlog,
        analyses=not settings.forward,
        close=decoder.close,
    )


def _access(settings: NodeSettings, ledger: SqlLedger, clock: Clock, spool: Spool, tell: Tell) -> Access:
    web, provider = settings.web, None
    if web.openid is not None:
        from patchclip_node.adapters.openid import OpenIdProvider  # noqa: PLC0415 - a second that others need not spend

        provider = OpenIdProvider(web.openid.registration, SystemClock())
    return Access(
        LoginDesk(ledger.accounts, ledger.sessions, tell, clock, web.session_policy, provider),
        ledger.accounts,
        ledger.sessions,
        ledger.requeueing,
        RecallService(ledger.recalls, spool, clock),
        ReleaseDesk(ledger.gates, clock, settings.earlier_results),
        VerdictDesk(ledger.studies, ledger.verdicts, clock),
        secure_cookie=web.behind_tls,
        provider_label=None if web.openid is None else web.openid.label,
        pages_url="" if web.openid is None else web.openid.pages_url,
    )


def run(config: Path | None) -> None:
    """Serve the pages until SIGTERM or SIGINT; with other settings, what is being answered is finished first."""
    run_again_and_again("web", config, _serve_with)


def _serve_with(started: Started, stop: Stop) -> None:
    settings = started.settings
    ledger = open_ledger(settings)
    try:
        refuse_open_pages(settings, ledger.accounts)
        refuse_open_secret(settings)
        clock = open_clock(ledger)
        spool = open_spool(settings)
        with audited(events.WEB, ledger.audit, clock) as audit, watching(settings, ledger, spool, clock), tidied(spool):
            _serve(settings, build_web(settings, ledger, spool, clock, audit.tell), stop)
    finally:
        ledger.close()


class Server(uvicorn.Server):
    """Says when it listens, and ends at `stop`, too: a signal may come before uvicorn's own handlers stand."""

    def __init__(self, config: uvicorn.Config, stop: threading.Event) -> None:
        super().__init__(config)
        self._stop = stop
        self._wake: Callable[[], object] = lambda: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell the parent so."""
        await super().startup(sockets)
        if self.started:
            tell_ready("web")
            settle()

    async def main_loop(self) -> None:
        """Wait for the end; once a second the time in answers is brought up to date. The base class looks ten times."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._wake = partial(loop.call_soon_threadsafe, ended.set)
        threading.Thread(target=self._end_at_stop, name="stop", daemon=True).start()
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 1.0)

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to end."""
        return self._stop.is_set() or await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End at a signal."""
        super().handle_exit(sig, frame)
        self._wake()

    def _end_at_stop(self) -> None:
        self._stop.wait()
        with contextlib.suppress(RuntimeError):  # the loop is over: a signal ended it, and set `stop` after that
            self._wake()


def _serve(settings: NodeSettings, app: Starlette, stop: threading.Event) -> None:
    config = uvicorn.Config(
        app,
        host=settings.web.host,
        port=settings.web.port,
        http=HeaderTimeoutProtocol,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        limit_concurrency=MAX_CONNECTIONS,
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = Server(config, stop)
    server.run()
    if not server.started:
        raise ConfigurationError(
            f"web.host, web.port: can't listen on {settings.web.host}:{settings.web.port}: the log says why"
        )
