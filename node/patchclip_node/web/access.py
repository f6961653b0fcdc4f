"""Who asks for a page, and whether they may have it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from patchclip_node.domain.accounts import PERMITTED, PERMITTED_IN_EMERGENCY, Act, Session
from patchclip_node.services.login import LoginDesk

COOKIE: Final = "patchclip_session"
AUTOMATIC: Final = "auto"
"""Parameter of an address that a page loads by itself."""
IN_PLACE: Final = "hx-request"
"""Header of a request whose answer replaces a part of the page that is shown (htmx)."""
_MAX_FORM_BYTES: Final = 8192
_FORM_WITHIN_S: Final = 10.0

Form = Mapping[str, str]
Endpoint = Callable[[Request], Response]
FormEndpoint = Callable[[Request, Form], Response]
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. session: None where the node has no account, so that its pages are open on loopback."""

    session: Session | None

    @property
    def name(self) -> str:
        """What pages call the person."""
        return self.session.person.name if self.session else ""

    @property
    def identity(self) -> str:
        """What records call the person."""
        return self.session.person.identity if self.session else ""

    def may(self, act: Act) -> bool:
        """Tell whether this visitor may do something; without accounts that is to see studies."""
        return self.session.may(act) if self.session else act is Act.SEE_STUDIES

    def might(self, act: Act) -> bool:
        """Tell whether this visitor may not do it now, but might in an emergency."""
        return not self.may(act) and self.may(Act.BREAK_GLASS) and act in PERMITTED_IN_EMERGENCY

    @property
    def form_token(self) -> str:
        """What each form of this session has to hold; no other site can know it."""
        return hashlib.sha256(f"form {self.session.key}".encode()).hexdigest() if self.session else ""


class GuardedRoute(Route):
    """A route with its rule. act: what it is; None: nothing that a role decides. is_open: it asks for no session."""

    def __init__(self, path: str, handler: Handler, method: str, act: Act | None, *, is_open: bool = False) -> None:
        super().__init__(path, handler, methods=[method])
        self.act = act
        self.is_open = is_open


class Doorkeeper:
    """Makes the routes of pages and forms, each with the act that it is, and lets requests through to them."""

    def __init__(self, desk: LoginDesk) -> None:
        self._desk = desk

    def open_to_all(self, path: str, handler: Callable[[Request], Any], method: str = "GET") -> GuardedRoute:
        """Return the route of what asks for no session."""
        return GuardedRoute(path, handler, method, None, is_open=True)

    def page(self, path: str, act: Act, endpoint: Endpoint) -> GuardedRoute:
        """Return the route of a page that is shown to who may see it; others are led to the login."""

        def answer(request: Request) -> Response:
            visitor = self._visitor(request)
            if visitor is None:
                login = f"/login?next={quote(request.url.path)}"
                if IN_PLACE in request.headers:  # a part of a page would be replaced by the login
                    return Response(headers={"HX-Redirect": login})
                return RedirectResponse(login, 303)
            self._require(visitor, act, request)
            return endpoint(request)

        return GuardedRoute(path, _threaded(answer), "GET", act)

    def form(self, path: str, act: Act | None, endpoint: FormEndpoint) -> GuardedRoute:
        """Return the route that takes a form of a session. act: None for what everybody with a session may."""

        def answer(request: Request, form: Form) -> Response:
            visitor = self._visitor(request)
            if visitor is None or visitor.session is None:
                raise HTTPException(401, "log in first")
            if not hmac.compare_digest(form.get("token", ""), visitor.form_token):
                self._desk.forged(visitor.session, request.url.path, _address(request))
                raise HTTPException(403, "this form is not of your session: load the page again")
            if act is not None:
                self._require(visitor, act, request)
            return endpoint(request, form)

        return GuardedRoute(path, taking_form(answer), "POST", act)

    def _visitor(self, request: Request) -> Visitor | None:
        token = request.cookies.get(COOKIE)
        used = AUTOMATIC not in request.query_params
        session = self._desk.session(token, used=used) if token else None
        visitor = Visitor(session) if session or self._desk.is_open else None
        request.state.visitor = visitor
        return visitor

    def _require(self, visitor: Visitor, act: Act, request: Request) -> None:
        if visitor.may(act):
            return
        self._desk.forbidden(visitor.session, act, request.url.path, _address(request))
        request.state.in_emergency = visitor.might(act)
        roles = ", ".join(role.value for role, acts in PERMITTED.items() if act in acts)
        raise HTTPException(403, f"you may not {act.value}; these roles may: {roles}")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def taking_form(endpoint: FormEndpoint) -> Handler:
    """Return a handler that reads a short form in time, and passes it on to a thread."""

    async def handle(request: Request) -> Response:
        try:
            form = await asyncio.wait_for(_read_form(request), _FORM_WITHIN_S)
        except TimeoutError as error:
            raise HTTPException(408, "the form did not come in time") from error
        return await run_in_threadpool(endpoint, request, form)

    return handle


def _threaded(endpoint: Endpoint) -> Handler:
    async def handle(request: Request) -> Response:
        return await run_in_threadpool(endpoint, request)

    return handle


async def _read_form(request: Request) -> Form:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _MAX_FORM_BYTES:
            raise HTTPException(413, "the form is too long")
    try:
        fields = parse_qs(content.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise HTTPException(400, "this is not a form") from error
    return {name: values[0] for name, values in fields.items()}


__all__ = ["AUTOMATIC", "COOKIE", "Doorkeeper", "Form", "GuardedRoute", "Visitor", "taking_form"]
