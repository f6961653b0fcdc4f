"""The way to an OpenID provider and back: what a browser takes along, and what it has to bring."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import asdict
from typing import Final

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from patchclip_node.domain.errors import ConfigurationError, LoginRefusedError, ProviderUnavailableError
from patchclip_node.domain.identity import Departure
from patchclip_node.web.people import Access, RenderPage, address_of, own_path, set_session

log = structlog.get_logger(__name__)

DEPARTURE_WITHIN_S: Final = 600
"""How long a login at the provider may take."""

_COOKIE: Final = "patchclip_departure"


class Gateway:
    """The two handlers of a login at the provider.

    What left is kept in a cookie of the browser that left, not here: no logins that never
    come back fill the node's memory. It goes along from other sites (SameSite=Lax), since the provider is one.
    """

    def __init__(self, access: Access, page: RenderPage) -> None:
        self._access = access
        self._page = page
        # With this prefix a browser takes the cookie from this host alone, and over TLS alone (RFC 6265bis 4.1.3.2).
        self._cookie = f"__Host-{_COOKIE}" if access.secure_cookie else _COOKIE

    async def depart(self, request: Request) -> Response:
        """Send the browser to the provider."""
        return await run_in_threadpool(self._depart, request)

    async def arrive(self, request: Request) -> Response:
        """Take who comes back, and let the browser go on by itself.

        The session's cookie is for requests from the node's own pages alone (SameSite=Strict): a redirection from here
        would still count as one from the provider, so a page of the node's leads on.
        """
        return await run_in_threadpool(self._arrive, request)

    def _depart(self, request: Request) -> Response:
        self._look_for_provider()
        target, afresh = own_path(request.query_params.get("next", "/")), "afresh" in request.query_params
        try:
            departure, url = self._access.desk.depart(target, afresh=afresh)
        except (ProviderUnavailableError, ConfigurationError) as error:
            return self._unavailable(request, error)
        response = RedirectResponse(url, 303)
        secure = self._access.secure_cookie
        written = base64.urlsafe_b64encode(json.dumps(asdict(departure)).encode()).decode()
        response.set_cookie(
            self._cookie, written, max_age=DEPARTURE_WITHIN_S, httponly=True, samesite="lax", secure=secure
        )
        return response

    def _arrive(self, request: Request) -> Response:
        self._look_for_provider()
        departure, brought = self._departure(request), request.query_params
        if departure is None or not hmac.compare_digest(brought.get("state", ""), departure.state):
            self._access.desk.not_begun_here(address_of(request))
            detail = (
                "This login did not begin in this browser, was finished already, or took longer than "
                f"{DEPARTURE_WITHIN_S // 60} minutes."
            )
            return self._refused(request, detail, 400)
        if "error" in brought:
            said = " ".join(filter(None, (brought["error"], brought.get("error_description"))))
            log.warning("login_failed", address=address_of(request), why=said)
            return self._refused(request, f"{self._access.provider_label} did not log you in: {said}.", 403)
        try:
            code, issuer = brought.get("code", ""), brought.get("iss")
            login = self._access.desk.arrive(code, issuer, departure, address_of(request))
        except LoginRefusedError as error:
            return self._refused(request, f"{error}.", 403)
        except (ProviderUnavailableError, ConfigurationError) as error:
            return self._forget(self._unavailable(request, error))
        response = self._page(
            request, "onward.html", title="Logged in", url=departure.target, words="The page that you asked for"
        )
        set_session(response, login, self._access)
        return self._forget(response)

    def _look_for_provider(self) -> None:
        if self._access.provider_label is None:
            raise HTTPException(404, "this node has no OpenID provider")

    def _departure(self, request: Request) -> Departure | None:
        try:
            return Departure(**json.loads(base64.urlsafe_b64decode(request.cookies.get(self._cookie, ""))))
        except (ValueError, TypeError):
            return None

    def _refused(self, request: Request, detail: str, status_code: int) -> Response:
        title = "You are not logged in"
        return self._forget(self._page(request, "refused.html", status_code, title=title, detail=detail, afresh=True))

    def _unavailable(self, request: Request, error: Exception) -> Response:
        log.error("provider_unavailable", error=str(error))
        detail = (
            f"{self._access.provider_label} cannot be asked at the moment. Whoever looks after this node finds the "
            "reason in its log, and by `patchclip-node doctor`."
        )
        return self._page(request, "refused.html", 503, title="The login is out of reach", detail=detail, afresh=False)

    def _forget(self, response: Response) -> Response:
        response.delete_cookie(self._cookie, httponly=True, samesite="lax", secure=self._access.secure_cookie)
        return response


__all__ = ["Gateway"]
