"""The routes of the status pages. What changes a study is in `people` and `recalls`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from importlib.resources import files
from typing import Any, Final

import anyio
import anyio.to_thread
import structlog
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from patchclip_core.models.card import ModelCard
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.wording import RESEARCH_STATEMENT
from patchclip_node.domain.accounts import Act
from patchclip_node.domain.backlog import NO_LIMIT, Backlog, BacklogLimit
from patchclip_node.domain.backlog import waiting as studies_waiting
from patchclip_node.domain.errors import DamagedFileError, LedgerUnavailableError, SpoolUnavailableError
from patchclip_node.domain.listing import StudySort
from patchclip_node.domain.openid import DEPARTURE_PATH, REDIRECT_PATH
from patchclip_node.domain.reception import Reception
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.verdicts import may_be_said
from patchclip_node.ports.alerts import Alerts
from patchclip_node.ports.audit import AuditBacklog, AuditOutbox, Tell
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.figures import Figures
from patchclip_node.ports.ledger import Overview, Studies, Workers, Workload
from patchclip_node.ports.spool import Spool
from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.services.audit.alarms import Alarms
from patchclip_node.services.health import Health, backlog_is_full, health
from patchclip_node.services.study_summary import outcome_line
from patchclip_node.web import pages
from patchclip_node.web.access import Doorkeeper, taking_form
from patchclip_node.web.audit import PageAudit
from patchclip_node.web.emergencies import Emergencies
from patchclip_node.web.gate import AllowedHosts, HostGate, SameSiteGate, SecurityHeaders
from patchclip_node.web.gateway import Gateway
from patchclip_node.web.language import chosen, load_speech
from patchclip_node.web.metrics import CONTENT_TYPE, WAITING, Measured, SlowFigures, render_metrics
from patchclip_node.web.node_pages import Destination, NodePages
from patchclip_node.web.people import Access, People
from patchclip_node.web.pictures import Decoder, Pictures
from patchclip_node.web.recalls import RecallPages
from patchclip_node.web.study import DrawPicture, StudyPages, ViewerLink
from patchclip_node.web.trail import ReadTrail, TrailPages
from patchclip_node.web.verdicts import BUTTONS, WORDS, VerdictPages, boxes_json

log = structlog.get_logger(__name__)

PAGE_SIZE = 50

ROOMS: Final = (
    ("/", "Studies", Act.SEE_STUDIES),
    ("/queue", "Queue", Act.SEE_STUDIES),
    ("/peers", "Peers", Act.SEE_STUDIES),
    ("/model", "Model", Act.SEE_STUDIES),
    ("/figures", "Figures", Act.SEE_STUDIES),
    ("/audit", "Audit trail", Act.SEE_AUDIT),
    ("/accounts", "Accounts", Act.SEE_ACCOUNTS),
)
"""The pages that every page leads to: address, name, and what a visitor may who sees it."""

HEALTH_WITHIN_S: Final = 5.0
"""/healthz answers within this time, whatever the ledger does: who asks does not wait for long."""

_SHARED = "drawing/templates"
"""Where the core keeps what all pages have in common; read as files, since importing its drawing takes its time."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the pages show that is not in the ledger.

    decoder: of images. draw: pictures of results. definitions: key -> finding. read_card: of the model, or
    `CheckpointError`. viewer: where studies are looked at; None: nowhere. trail_uri: what the audit trail is called.
    close: is called when the pages are served no longer.
    """

    decoder: Decoder
    draw: DrawPicture
    definitions: Mapping[str, FindingDefinition]
    destinations: Sequence[Destination]
    read_card: Callable[[], ModelCard]
    read_trail: ReadTrail
    trail_uri: str
    viewer: ViewerLink | None = None
    backlog: BacklogLimit = NO_LIMIT
    analyses: bool = True
    close: Callable[[], None] = lambda: None


def create_app(
    *,
    studies: Studies,
    workload: Workload,
    workers: Workers,
    spool: Spool,
    clock: Clock,
    ae_title: str,
    hosts: AllowedHosts,
    access: Access,
    audit: AuditOutbox,
    tell: Tell,
    overview: Overview,
    alerts: Alerts,
    figures: Figures,
    slow: SlowFigures,
    shown: Shown,
    reception: Callable[[], Reception | None] = lambda: None,
) -> Starlette:
    """Return the ASGI application of the status pages.

    Each route comes from the doorkeeper, with its rule. `/` lists studies, `/studies/{uid}` shows one, both to who may
    see them. `/healthz` answers 200 or 503 as JSON, `/metrics` is Prometheus text: they hold no names, and ask for no
    login. `access`: who may do what. `shown`: what is not in the ledger. `hosts`: the names that a request may call it
    by. `audit`: what a person sees is told there first. `tell` takes what is turned away. `reception` gives the
    receiver's last report.
    """
    seen = PageAudit(audit, clock)
    endpoints = _Endpoints(
        studies, workload, workers, spool, clock, ae_title, access, audit, seen, alerts, figures, slow, shown, reception
    )
    study = StudyPages(
        studies,
        spool,
        clock,
        seen,
        Pictures(spool, shown.decoder),
        shown.viewer,
        endpoints.page,
        access.verdicts,
        shown.draw,
    )
    node = NodePages(
        overview,
        clock,
        seen,
        shown.destinations,
        shown.read_card,
        alerts,
        endpoints.page,
        access.verdicts.agreement,
    )
    trail = TrailPages(shown.read_trail, shown.trail_uri, audit, clock, endpoints.page)
    people, gateway = People(access, clock, endpoints.page), Gateway(access, endpoints.page)
    recalls = RecallPages(access.recall, studies, endpoints.page)
    verdicts = VerdictPages(access.verdicts)
    emergencies = Emergencies(access, endpoints.page)
    door, alarms = Doorkeeper(access.desk), Alarms(tell, clock)
    return Starlette(
        routes=[
            door.page("/", Act.SEE_STUDIES, endpoints.studies),
            door.page("/open", Act.SEE_STUDIES, study.open),
            door.page("/studies/{uid}", Act.SEE_STUDIES, study.study),
            door.page("/studies/{uid}/images/{image}/pixels", Act.SEE_STUDIES, study.pixels),
            door.page("/studies/{uid}/{revision:int}/overlays/{index:int}", Act.SEE_STUDIES, study.overlay),
            door.page("/studies/{uid}/{revision:int}/maps/{index:int}.json", Act.SEE_STUDIES, study.maps),
            door.page("/studies/{uid}/{revision:int}/findings.json", Act.SEE_STUDIES, study.findings),
            door.page("/studies/{uid}/results/{result}", Act.SEE_STUDIES, study.result),
            door.page("/studies/{uid}/again", Act.WORK_AGAIN, study.ask_again),
            door.form("/studies/{uid}/again", Act.WORK_AGAIN, people.work_again),
            door.form("/studies/{uid}/gate", Act.RELEASE, people.decide),
            door.form("/studies/{uid}/verdicts", Act.JUDGE, verdicts.give),
            door.page("/studies/{uid}/recall", Act.RECALL, recalls.form),
            door.form("/studies/{uid}/recall", Act.RECALL, recalls.submit),
            door.page("/queue", Act.SEE_STUDIES, node.queue),
            door.page("/peers", Act.SEE_STUDIES, node.peers),
            door.page("/model", Act.SEE_STUDIES, node.model),
            door.page("/figures", Act.SEE_STUDIES, node.figures),
            door.page("/audit", Act.SEE_AUDIT, trail.search),
            door.page("/accounts", Act.SEE_ACCOUNTS, people.accounts),
            door.page("/emergency", Act.BREAK_GLASS, emergencies.page),
            door.form("/emergency", Act.BREAK_GLASS, emergencies.begin),
            door.form("/emergency/end", None, emergencies.end),
            door.open_to_all("/login", people.login),
            door.open_to_all("/login", taking_form(people.log_in), "POST"),
            door.open_to_all(DEPARTURE_PATH, gateway.depart),
            door.open_to_all(REDIRECT_PATH, gateway.arrive),
            door.form("/logout", None, people.log_out),
            door.open_to_all("/healthz", endpoints.healthz),
            door.open_to_all("/metrics", endpoints.metrics),
            door.open_to_all("/static/{name}", endpoints.static),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(HostGate, hosts=hosts, alarms=alarms),
            Middleware(SameSiteGate, alarms=alarms),
        ],
        lifespan=partial(_serving, shown.close),
        exception_handlers={
            HTTPException: endpoints.http_error,
            LedgerUnavailableError: endpoints.ledger_unavailable,
            SpoolUnavailableError: endpoints.spool_unavailable,
            DamagedFileError: endpoints.spool_unavailable,
        },
    )


@asynccontextmanager
async def _serving(close: Callable[[], None], _: Starlette) -> AsyncIterator[None]:
    yield
    close()


class _Endpoints:
    """The handlers; plain functions, so Starlette runs them in threads and the ledger may block."""

    def __init__(
        self,
        studies: Studies,
        workload: Workload,
        workers: Workers,
        spool: Spool,
        clock: Clock,
        ae_title: str,
        access: Access,
        outbox: AuditOutbox,
        audit: PageAudit,
        alerts: Alerts,
        figures: Figures,
        slow: SlowFigures,
        shown: Shown,
        reception: Callable[[], Reception | None],
    ) -> None:
        self._outbox = outbox
        self._backlog = Backlog(shown.backlog)
        self._analyses = shown.analyses
        self._definitions = shown.definitions
        self._audit = audit
        self._alerts = alerts
        self._figures = figures
        self._slow = slow
        self._access = access
        self._reception = reception
        self._studies = studies
        self._workload = workload
        self._workers = workers
        self._spool = spool
        self._clock = clock
        self._speech = load_speech()
        self._templates = Environment(
            loader=ChoiceLoader([PackageLoader("patchclip_node.web"), PackageLoader("patchclip_core", _SHARED)]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self._templates.globals.update(
            outcome_line=outcome_line,
            regions_of=pages.regions_json,
            product=PRODUCT_NAME,
            version=PRODUCT_VERSION,
            research_statement=RESEARCH_STATEMENT,
            ae_title=ae_title,
            see_studies=Act.SEE_STUDIES,
            rooms=ROOMS,
            break_glass=Act.BREAK_GLASS,
            emergency_offered=access.desk.policy.emergency_s is not None,
            release_results=Act.RELEASE,
            judge=Act.JUDGE,
            may_be_said=may_be_said,
            verdict_boxes=boxes_json,
            verdict_buttons=BUTTONS,
            verdict_words=WORDS,
        )
        self._templates.filters.update(
            person=pages.person, moment=pages.moment, span=pages.span, size=pages.size, seconds=pages.seconds
        )
        folder = files("patchclip_node.web") / "static"
        self._static = {
            "base.css": ((files("patchclip_core") / _SHARED / "base.css").read_bytes(), "text/css; charset=utf-8"),
            "htmx.min.js": ((folder / "htmx.min.js").read_bytes(), "text/javascript; charset=utf-8"),
            "viewer.js": ((folder / "viewer.js").read_bytes(), "text/javascript; charset=utf-8"),
            "verdicts.js": ((folder / "verdicts.js").read_bytes(), "text/javascript; charset=utf-8"),
            "style.css": ((folder / "style.css").read_bytes(), "text/css; charset=utf-8"),
            "icon.svg": ((folder / "icon.svg").read_bytes(), "image/svg+xml"),
        }

    def studies(self, request: Request) -> Response:
        now = self._clock.now()
        try:
            query = pages.StudyQuery.from_parameters(request.query_params)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        self._audit.searched(request)
        found = self._studies.search(query.search, PAGE_SIZE, query.page * PAGE_SIZE)
        counts = self._workload.counts()
        waiting = studies_waiting(counts.studies_by_state)
        return self.page(
            request,
            "studies.html",
            query=query,
            now=now,
            counts=counts,
            states=list(StudyState),
            found=found,
            page_numbers=pages.page_numbers(query.page, -(-found.total // PAGE_SIZE)),
            sorts=StudySort,
            free_bytes=self._spool.free_bytes(),
            waiting=waiting,
            backlog=self._backlog.limit,
            refuses_new=backlog_is_full(self._backlog, waiting) is not None,
            reception=self._fresh_reception(now),
            alerts=self._alerts.open(),
        )

    async def healthz(self, _: Request) -> Response:
        with anyio.move_on_after(HEALTH_WITHIN_S):
            return await anyio.to_thread.run_sync(self._healthz, abandon_on_cancel=True)
        return _unavailable(f"the ledger gave no answer within {HEALTH_WITHIN_S:g} s")

    def _healthz(self) -> Response:
        try:
            counts, found, backlogs = self._workload.counts(), self._health(), self._outbox.backlogs()
        except LedgerUnavailableError as error:
            return _unavailable(str(error))
        reception = self._fresh_reception(self._clock.now())
        receiver = "no report" if reception is None else asdict(reception) | {"reported_at": str(reception.reported_at)}
        return JSONResponse(
            {
                "status": "trouble" if found.troubles else "ok",
                "ledger": "reachable",
                "instances": counts.instances,
                "workers": found.working,
                "troubles": found.troubles,
                "receiver": receiver,
                "audit": {one.lane: _backlog(one) for one in backlogs},
            },
            status_code=503 if found.troubles else 200,
        )

    def _health(self) -> Health:
        now = self._clock.now()
        backlogs = self._outbox.backlogs()
        free_bytes, trouble = self._spool.free_bytes(), self._spool.trouble()
        full = backlog_is_full(self._backlog, self._workload.waiting())
        due = self._workload.due(now)
        workers = self._workers.all()
        return health(workers, due, free_bytes, now, backlogs, trouble, full, analyses=self._analyses)

    def metrics(self, _: Request) -> Response:
        now = self._clock.now()
        measured = Measured(
            counts=self._workload.counts(),
            due=self._workload.due(now),
            health=self._health(),
            free_bytes=self._spool.free_bytes(),
            backlog=self._backlog.limit,
            emergencies=len(self._access.sessions.emergencies(now)),
            backlogs=self._outbox.backlogs(),
            times=self._figures.times(),
            oldest=self._figures.oldest(WAITING),
            drifts=self._slow.drifts(),
            agreement=self._slow.agreement(),
            alerts=self._alerts.open(),
            channels=self._alerts.channels(),
            now=now,
        )
        return Response(render_metrics(measured), media_type=CONTENT_TYPE)

    def _fresh_reception(self, now: datetime) -> Reception | None:
        reception = self._reception()
        return reception if reception is not None and reception.is_fresh(now) else None

    def static(self, request: Request) -> Response:
        try:
            content, media_type = self._static[request.path_params["name"]]
        except KeyError:
            raise HTTPException(404, "there is no such file") from None
        return Response(content, media_type=media_type)

    def http_error(self, request: Request, error: Exception) -> Response:
        status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
        helps = getattr(request.state, "in_emergency", False) and self._access.desk.policy.emergency_s is not None
        return self.page(request, "error.html", status=status, detail=detail, status_code=status, emergency=helps)

    def ledger_unavailable(self, request: Request, error: Exception) -> Response:
        log.warning("ledger_unavailable", error=str(error), path=request.url.path)
        return self.page(
            request,
            "error.html",
            status=503,
            detail=f"The ledger does not answer: {error}. `patchclip-node doctor` tells more.",
            status_code=503,
            emergency=False,
        )

    def spool_unavailable(self, request: Request, error: Exception) -> Response:
        log.warning("spool_unavailable", error=str(error), path=request.url.path)
        return self.page(
            request,
            "error.html",
            status=503,
            detail=f"A file cannot be read: {error}. `patchclip-node doctor` tells more.",
            status_code=503,
            emergency=False,
        )

    def page(self, request: Request, template: str, status_code: int = 200, **context: Any) -> HTMLResponse:
        """Render a page for who asks."""
        visitor = getattr(request.state, "visitor", None)
        speech = chosen(request.headers.get("accept-language", ""), self._speech)
        language = speech.results.language
        names = {key: one.in_language(language).name for key, one in self._definitions.items()}
        spoken: dict[str, Any] = {
            "wording": speech.results,
            "say": speech.say,
            "repeat": speech.repeat,
            "name_of": names.get,
            "path": request.url.path,
        }
        text = self._templates.get_template(template).render(visitor=visitor, **spoken, **context)
        return HTMLResponse(text, status_code=status_code, headers={"Content-Language": language})


def _backlog(backlog: AuditBacklog) -> dict[str, object]:
    since = None if backlog.since is None else str(backlog.since)
    return {"waiting": backlog.waiting, "since": since, "trouble": backlog.trouble}


def _unavailable(why: str) -> JSONResponse:
    return JSONResponse({"status": "unavailable", "ledger": why}, status_code=503)


__all__ = ["PAGE_SIZE", "Shown", "create_app"]
