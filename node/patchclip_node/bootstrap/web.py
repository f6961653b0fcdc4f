"""The process of the status pages."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.reception_file import ReceptionFile
from patchclip_node.bootstrap import logging
from patchclip_node.bootstrap.access import refuse_open_pages
from patchclip_node.bootstrap.common import open_clock, open_ledger, open_spool
from patchclip_node.bootstrap.stopping import stop_on_signals
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.spool import Spool
from patchclip_node.services.login import LoginDesk
from patchclip_node.settings import NodeSettings
from patchclip_node.web import create_app
from patchclip_node.web.gate import AllowedHosts
from patchclip_node.web.header_timeout import MAX_CONNECTIONS, MAX_HEADER_BYTES, HeaderTimeoutProtocol
from patchclip_node.web.people import Access


def build_web(settings: NodeSettings, ledger: SqlLedger, spool: Spool, clock: Clock) -> Starlette:
    """Wire the status pages; an ASGI application. `clock`: the ledger's."""
    return create_app(
        studies=ledger.studies,
        workload=ledger.workload,
        workers=ledger.workers,
        spool=spool,
        clock=clock,
        ae_title=settings.ae_title,
        access=Access(
            LoginDesk(ledger.accounts, clock, settings.web.session_policy),
            ledger.accounts,
            ledger.requeueing,
            settings.web.behind_tls,
        ),
        hosts=AllowedHosts.of_node(settings.web.host, settings.web.allowed_hosts),
        reception=ReceptionFile(settings.data_dir).read,
    )


def run(settings: NodeSettings) -> None:
    """Serve the pages until SIGTERM or SIGINT."""
    logging.configure(settings.log, "web")
    stop_on_signals()  # uvicorn ends by its own handlers, and then passes the signal on to ours
    ledger = open_ledger(settings)
    try:
        refuse_open_pages(settings, ledger.accounts)
        uvicorn.run(
            build_web(settings, ledger, open_spool(settings), open_clock(ledger)),
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
    finally:
        ledger.close()
