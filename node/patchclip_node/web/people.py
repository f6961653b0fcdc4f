"""Logging in and out, and what only some may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol
from urllib.parse import quote

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchclip_node.audit import events
from patchclip_node.domain.accounts import PERMITTED, Act, Role
from patchclip_node.domain.errors import ForbiddenTransitionError, LoginRefusedError, RecalledError
from patchclip_node.domain.openid import DEPARTURE_PATH
from patchclip_node.ports.accounts import Accounts, Sessions
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Requeueing
from patchclip_node.services.login import Login, LoginDesk
from patchclip_node.services.recall import RecallService
from patchclip_node.services.release import ReleaseDesk
from patchclip_node.services.verdicts import VerdictDesk
from patchclip_node.web.access import COOKIE, Form

log = structlog.get_logger(__name__)

ACCOUNT_STATES: Final = ("may log in", "may not log in: web.local_accounts", "disabled")


class RenderPage(Protocol):
    """Renders a template for who asks."""

    def __call__(self, request: Request, template: str, status_code: int = 200, **context: object) -> Response:
        """Return the page."""
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what. secure_cookie: the session's cookie travels over TLS alone.

    provider_label: what pages call the OpenID provider; None: there is none. pages_url: where browsers begin a login
    there; '' for the address by which they came.
    """

    desk: LoginDesk
    accounts: Accounts
    sessions: Sessions
    requeueing: Requeueing
    recall: RecallService
    release: ReleaseDesk
    verdicts: VerdictDesk
    secure_cookie: bool = False
    provider_label: str | None = None
    pages_url: str = ""


class People:
    """The handlers that know persons."""

    def __init__(self, access: Access, clock: Clock, page: RenderPage) -> None:
        self._access = access
        self._clock = clock
        self._page = page

    def login(self, request: Request) -> Response:
        """Show the login; where there is no login, the studies."""
        if self._access.desk.is_open:
            return RedirectResponse("/", 303)
        return self._form(request, "", own_path(request.query_params.get("next", "/")))

    def log_in(self, request: Request, form: Form) -> Response:
        """Start a session, or show the login again with what is wrong."""
        name, target = form.get("name", "").strip(), own_path(form.get("next", "/"))
        try:
            login = self._access.desk.log_in(name, form.get("password", ""), address_of(request))
        except LoginRefusedError as error:
            status = 429 if error.wait_s else 401
            answer = self._form(request, name, target, str(error), status)
            if error.wait_s:
                answer.headers["Retry-After"] = str(round(error.wait_s + 0.5))
            return answer
        if not login.session.may(Act.SEE_STUDIES):
            target = f"/emergency?next={quote(target)}"
        response = RedirectResponse(target, 303)
        set_session(response, login, self._access)
        return response

    def log_out(self, request: Request, form: Form) -> Response:  # noqa: ARG002 - a form's handler
        """End the session, and let the browser log out at the provider."""
        session, token = request.state.visitor.session, request.cookies[COOKIE]
        onward = self._access.desk.log_out(session, token)
        request.state.visitor = None
        response: Response
        if onward is None:
            response = RedirectResponse("/login", 303)
        else:  # a form may lead nowhere but to the node (Content-Security-Policy), redirections included
            words = f"The logout of {self._access.provider_label}"
            response = self._page(request, "onward.html", title="Logged out here", url=onward, words=words)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self._access.secure_cookie)
        return response

    def accounts(self, request: Request) -> Response:
        """List the accounts, and who has emergency access."""
        now = self._clock.now()
        return self._page(
            request,
            "accounts.html",
            accounts=[
                (account, _state(self._access, account.role, account.disabled or account.is_spent(now)))
                for account in self._access.accounts.all()
            ],
            acts={role: sorted(act.value for act in permitted) for role, permitted in PERMITTED.items()},
            emergencies=self._access.sessions.emergencies(now),
            provider_label=self._access.provider_label,
        )

    def work_again(self, request: Request, form: Form) -> Response:
        """Have a study analysed or sent again; the workers find it by themselves."""
        uid, how = request.path_params["uid"], form.get("how", "")
        now, by = self._clock.now(), events.person(request.state.visitor.identity, address_of(request))
        actions: dict[str, Callable[[], object]] = {
            "requeue": partial(self._access.requeueing.requeue, uid, now, by=by),
            "resend": partial(self._access.requeueing.resend, uid, now, by=by),
        }
        if how not in actions:
            raise HTTPException(400, "how must be requeue or resend")
        try:
            actions[how]()
        except KeyError as error:
            raise HTTPException(404, f"{uid}: there is no such study, or it has no results to send") from error
        except RecalledError as error:
            raise HTTPException(409, f"{error}. Nothing of it is sent again; it may be analysed again") from error
        except ForbiddenTransitionError as error:
            raise HTTPException(409, f"{error}: it is under way already, or was never sent") from error
        log.info("work_again", account=request.state.visitor.identity, how=how, study_instance_uid=uid)
        return RedirectResponse(f"/studies/{quote(uid)}", 303)

    def decide(self, request: Request, form: Form) -> Response:
        """Release or refuse what is held of a study."""
        uid, how = request.path_params["uid"], form.get("how", "")
        reason, destination = form.get("reason", ""), form.get("destination") or None
        by, desk = events.person(request.state.visitor.identity, address_of(request)), self._access.release
        if how not in {"release", "refuse"}:
            raise HTTPException(400, "how must be release or refuse")
        try:
            (desk.release if how == "release" else desk.refuse)(uid, by, reason, destination)
        except KeyError as error:
            if error.args[0] == uid:
                raise HTTPException(404, f"no study {uid} is in the ledger") from error
            raise HTTPException(
                409, "nothing of it is held: another person was faster, or its time was over"
            ) from error
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return RedirectResponse(f"/studies/{quote(uid)}", 303)

    def _form(self, request: Request, name: str, target: str, problem: str = "", status_code: int = 200) -> Response:
        return self._page(
            request,
            "login.html",
            status_code,
            name=name,
            next=target,
            problem=problem,
            local_accounts=self._access.desk.policy.local_accounts,
            provider_label=self._access.provider_label,
            provider_url=f"{self._access.pages_url}{DEPARTURE_PATH}?next={quote(target, safe='')}",
        )


def set_session(response: Response, login: Login, access: Access) -> None:
    """Give a browser the token of its session."""
    response.set_cookie(COOKIE, login.token, httponly=True, samesite="strict", secure=access.secure_cookie)


def address_of(request: Request) -> str:
    """Return the address that a request came from."""
    return request.client.host if request.client else "unknown"


def own_path(target: str) -> str:
    """Return where to go after the login: a path of this node, whatever the address says."""
    is_own = target.startswith("/") and target[1:2] not in {"/", "\\"} and target.isprintable()
    return target if is_own else "/"


def _state(access: Access, role: Role, is_out: bool) -> str:
    may, may_not, disabled = ACCOUNT_STATES
    if is_out:
        return disabled
    return may if access.desk.policy.local_accounts or role is Role.SEALED else may_not


__all__ = ["Access", "People", "RenderPage", "address_of", "own_path", "set_session"]
