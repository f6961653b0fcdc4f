"""What stands before every page: the name that it was called by, the site that a form came from, and headers.

Pure ASGI, in the order in which a request meets them. What is refused here reaches no page and no ledger.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from patchclip_node.services.audit.alarms import FOREIGN_FORM, FOREIGN_NAME, Alarms

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers say that the node's own forms come from "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Pages hold patient names: nothing loads from elsewhere, nothing may frame them, nothing is cached."""

_CHANGES_NOTHING: Final = frozenset({"GET", "HEAD"})
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")


class SecurityHeaders:
    """Adds `SECURITY_HEADERS` to every response."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on (ASGI)."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class AllowedHosts:
    """The names by which the pages may be called.

    A page of another site can make its own name point to this node (DNS rebinding); the browser then takes the node's
    pages for that site's, but still calls them by that site's name.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(map(_canonical, names))

    @classmethod
    def of_node(cls, bind_host: str, further: Iterable[str] = ()) -> AllowedHosts:
        """Return loopback's names, the address that is bound, this host's own name, and what settings add."""
        own = socket.gethostname()
        return cls([*_LOCAL_NAMES, bind_host, own, own.partition(".")[0], *further])

    def admits(self, host_header: str, own_address: str) -> bool:
        """Tell whether a Host header names this node; `own_address` is the end of the connection here."""
        name = _canonical(_without_port(host_header))
        return name in self._names or (_is_address(name) and name == _canonical(own_address))


class HostGate:
    """Answers 421 where the Host header names something else, 400 where there is not exactly one (RFC 9110, 7.2)."""

    def __init__(self, app: App, hosts: AllowedHosts, alarms: Alarms) -> None:
        self._app = app
        self._hosts = hosts
        self._alarms = alarms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it (ASGI)."""
        if scope["type"] == "http":
            given = Headers(scope=scope).getlist("host")
            if len(given) != 1 or not given[0]:
                self._alarms.raise_alarm(
                    FOREIGN_NAME, f"called by {len(given)} names: {', '.join(given)}", _peer(scope)
                )
                await _refuse(scope, receive, send, 400, "a request names one host")
                return
            if not self._hosts.admits(given[0], str((scope.get("server") or ("", None))[0])):
                self._alarms.raise_alarm(
                    FOREIGN_NAME, f"called by a name that is not this node's: {given[0]}", _peer(scope)
                )
                detail = "this node is not known by that name; web.allowed_hosts lists further ones"
                await _refuse(scope, receive, send, 421, detail)
                return
        await self._app(scope, receive, send)


class SameSiteGate:
    """Answers 403 to a request that may change something and does not come from a page of this node.

    A browser says where a form comes from: by Sec-Fetch-Site (W3C Fetch Metadata), and by Origin (RFC 6454). A program
    that says neither is not a browser that the page of another site could use.
    """

    def __init__(self, app: App, alarms: Alarms) -> None:
        self._app = app
        self._alarms = alarms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it (ASGI)."""
        if scope["type"] == "http" and scope["method"] not in _CHANGES_NOTHING and not _is_own(Headers(scope=scope)):
            said = f"{scope['method']} {scope['path']} by a page of another site{_origin(Headers(scope=scope))}"
            self._alarms.raise_alarm(FOREIGN_FORM, said, _peer(scope))
            await _refuse(scope, receive, send, 403, "this came from a page of another site")
            return
        await self._app(scope, receive, send)


def _is_own(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _origin(headers: Headers) -> str:
    return f": {headers['origin']}" if "origin" in headers else ""


def _peer(scope: Scope) -> str:
    return str((scope.get("client") or ("unknown",))[0])


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, detail: str) -> None:
    await PlainTextResponse(f"{status}: {detail}\n", status_code=status)(scope, receive, send)


def _without_port(host_header: str) -> str:
    if host_header.startswith("["):
        return host_header[1:].partition("]")[0]
    return host_header.rpartition(":")[0] if host_header.count(":") == 1 else host_header


def _canonical(name: str) -> str:
    return str(ip_address(name)) if _is_address(name) else name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


__all__ = ["SECURITY_HEADERS", "AllowedHosts", "HostGate", "SameSiteGate", "SecurityHeaders"]
