"""A certified OpenID provider, `oidc-provider` of npm: its people come from a file, and it can be made to lie."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
from playwright.sync_api import Page

from tests.peers.processes import free_port, program
from tests.support.certificates import Certificate

PACKAGE: Final = Path(sys.prefix) / "share" / "openid-provider"
SECRET: Final = "a secret that node and provider share"
_SCRIPT: Final = Path(__file__).with_name("openid_provider") / "provider.mjs"


@dataclass
class OpenIdPeer:
    """The provider, while it runs. Its host is localhost, and the node's 127.0.0.1: to a browser they are two sites."""

    folder: Path
    port: int
    scheme: str = "http"
    state: dict[str, Any] = field(default_factory=lambda: {"people": {}})

    @property
    def issuer(self) -> str:
        """Its name."""
        return f"{self.scheme}://localhost:{self.port}"

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.folder / "provider.log").read_text(errors="replace")

    def know(self, **people: Sequence[str]) -> None:
        """Know these people alone, with the values of their claim `roles`."""
        self.tell(people=people)

    def tell(self, **state: Any) -> None:
        """Change what it says from now on: people, lie, refresh_tokens."""
        self.state.update(state)
        written = self.folder / "people.json.new"
        written.write_text(json.dumps(self.state))
        written.replace(self.folder / "people.json")


def log_in_at_provider(page: Page, name: str) -> None:
    """Fill in the provider's own form, where the browser is on it."""
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("anything")
    page.get_by_role("button", name="Sign-in").click()


def way_back(url: str, name: str, pages_url: str) -> str:
    """Follow the way of a browser that logs in at the provider as `name`; returns where it is sent back to."""
    with httpx2.Client(follow_redirects=True, timeout=60, event_hooks={"response": [_stop_at(pages_url)]}) as browser:
        try:
            form = browser.get(url)
            browser.post(form.url, data={"prompt": "login", "login": name, "password": "anything"})
        except _BackError as back:
            return back.url
    raise AssertionError(f"the provider did not send the browser back: {form.text[:2000]}")


class _BackError(Exception):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


def _stop_at(pages_url: str) -> Callable[[httpx2.Response], None]:
    def look(response: httpx2.Response) -> None:
        location = response.headers.get("location", "")
        if location.startswith(pages_url):
            raise _BackError(location)

    return look


@contextlib.contextmanager
def openid_peer(folder: Path, pages_url: str, certificate: Certificate | None = None) -> Iterator[OpenIdPeer]:
    """Run the provider for the time of the context. pages_url: of the node that is its client."""
    folder.mkdir(parents=True, exist_ok=True)
    peer = OpenIdPeer(folder, free_port(), "http" if certificate is None else "https")
    peer.know()
    settings = {
        "issuer": peer.issuer,
        "port": peer.port,
        "secret": SECRET,
        "people": str(folder / "people.json"),
        "redirect_uris": [f"{pages_url}/login/provider/back"],
        "post_logout_redirect_uris": [f"{pages_url}/login"],
        "tls": None
        if certificate is None
        else {"key": str(certificate.key), "certificate": str(certificate.certificate)},
    }
    # A script from standard input finds packages from the current folder on.
    command = ["sh", "-c", 'exec node --input-type=module - "$1" < "$2"', "sh", json.dumps(settings), str(_SCRIPT)]
    with program(command, folder / "provider.log", port=peer.port, cwd=PACKAGE):
        yield peer


def client_settings(peer: OpenIdPeer, pages_url: str, **others: Any) -> dict[str, Any]:
    """Return the node's section `web.openid` for this provider."""
    secret = peer.folder / "client-secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    return {
        "issuer": peer.issuer,
        "client_id": "patchclip",
        "client_secret_file": str(secret),
        "pages_url": pages_url,
        "roles": {"pacs-viewers": "viewer", "pacs-operators": "operator", "pacs-admins": "administrator"},
        "label": "a hospital account",
    } | others
