"""The pages and a certified OpenID provider: who gets in, as what and until when, and which lies are found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from starlette.testclient import TestClient

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.bootstrap.access import refuse_open_secret
from patchclip_node.bootstrap.web import build_web
from patchclip_node.cli import openid_checks
from patchclip_node.cli.checks import run_check
from patchclip_node.domain.accounts import Role, Session
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.services.session_secrets import key_of
from patchclip_node.services.vouching import ASK_AGAIN_AFTER_S
from patchclip_node.settings import read_settings
from patchclip_node.web.access import COOKIE
from tests.peers.openid import SECRET, OpenIdPeer, client_settings, openid_peer, way_back
from tests.support.certificates import Authority
from tests.support.fakes import FakeClock, MemorySpool, make_ledger, told_at_once

pytestmark = pytest.mark.peer("oidc-provider")

PAGES = "http://127.0.0.1:8042"
CHECK_EVERY_S = 300.0


@pytest.fixture(scope="module")
def running_peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdPeer]:
    with openid_peer(tmp_path_factory.mktemp("provider"), PAGES) as running:
        yield running


@pytest.fixture
def peer(running_peer: OpenIdPeer) -> OpenIdPeer:
    """The provider, telling the truth, with one person of each role, one of two, and one of none."""
    running_peer.tell(lie="", refresh_tokens=True)
    running_peer.know(
        vera=["pacs-viewers"], otto=["pacs-operators", "pacs-viewers"], ada=["staff", "pacs-admins"], nora=["staff"]
    )
    return running_peer


@dataclass
class Site:
    """The node's pages and a browser at them."""

    peer: OpenIdPeer
    ledger: SqlLedger
    clock: FakeClock
    browser: TestClient

    def depart(self, path: str = "/login/provider") -> str:
        """Go to the provider; returns the address there."""
        answer = self.browser.get(path, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def arrive(self, name: str) -> tuple[int, str]:
        """Log in at the provider and come back; returns the status and the page."""
        answer = self.browser.get(way_back(self.depart(), name, PAGES), follow_redirects=False)
        return answer.status_code, answer.text

    @property
    def session(self) -> Session | None:
        """What the ledger knows of the browser's session."""
        token = self.browser.cookies.get(COOKIE)
        return self.ledger.sessions.find(key_of(token)) if token else None

    def sees_studies(self) -> bool:
        return self.browser.get("/", follow_redirects=False).status_code == 200


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlLedger]:
    ledger = make_ledger(tmp_path_factory.mktemp("ledger"))
    yield ledger
    ledger.close()


@pytest.fixture
def site(peer: OpenIdPeer, ledger: SqlLedger, tmp_path: Path) -> Iterator[Site]:
    openid = client_settings(peer, PAGES, check_every_s=CHECK_EVERY_S)
    settings = read_settings(None, data_dir=tmp_path, web={"local_accounts": False, "openid": openid})
    clock = FakeClock(datetime.now(UTC))
    app = build_web(settings, ledger, MemorySpool(tmp_path / "spool"), clock, told_at_once(ledger))
    with TestClient(app, base_url=PAGES) as browser:
        yield Site(peer, ledger, clock, browser)


@pytest.mark.parametrize(
    ("name", "role"), [("vera", Role.VIEWER), ("otto", Role.OPERATOR), ("ada", Role.ADMINISTRATOR)]
)
def test_a_person_gets_the_role_that_may_most_of_those_that_the_provider_names(
    site: Site, name: str, role: Role
) -> None:
    status, page = site.arrive(name)

    assert (status, site.sees_studies()) == (200, True)
    assert re.search(r'http-equiv="refresh" content="0; url=/"', page)
    assert site.session is not None
    assert (site.session.person.name, site.session.person.role) == (name, role)
    assert site.session.person.identity == f"{name} ({site.peer.issuer}#{name})"


def test_who_has_no_role_is_refused_in_plain_words(site: Site) -> None:
    status, page = site.arrive("nora")

    assert status == 403
    assert "the provider knows you as nora, but gives you no role for these pages" in page
    assert not site.sees_studies()


def test_the_login_leads_to_the_page_that_was_wanted_and_to_no_other_site(site: Site) -> None:
    for wanted, target in (("/studies/1.2.3", "/studies/1.2.3"), ("//evil.example", "/")):
        back = way_back(site.depart(f"/login/provider?{urlencode({'next': wanted})}"), "vera", PAGES)
        assert f"url={target}" in site.browser.get(back).text


def test_what_leaves_with_the_browser_is_random_and_proves_nothing_to_others(site: Site) -> None:
    sent = [parse_qs(urlsplit(site.depart()).query) for _ in range(2)]

    for name in ("state", "nonce", "code_challenge"):
        assert sent[0][name] != sent[1][name]
        assert len(sent[0][name][0]) >= 43
    assert sent[0]["code_challenge_method"] == ["S256"]
    assert sent[0]["scope"] == ["openid profile"]
    assert SECRET not in str(sent)


@pytest.mark.parametrize(
    "lie",
    [
        "alg_none",
        "alg_hs256",
        "another_key",
        "another_audience",
        "another_party",
        "another_issuer",
        "another_nonce",
        "no_nonce",
        "another_access_token",
        "expired",
        "from_the_future",
    ],
)
def test_an_id_token_with_anything_wrong_lets_nobody_in(site: Site, lie: str) -> None:
    site.peer.tell(lie=lie)

    status, page = site.arrive("ada")

    assert status == 403
    assert "the provider&#39;s ID token is" in page
    assert not site.sees_studies()


@pytest.mark.parametrize("change", [{"state": "of another browser"}, {"state": ""}, {"iss": "https://evil.example"}])
def test_an_answer_to_another_question_lets_nobody_in(site: Site, change: dict[str, str]) -> None:
    back = urlsplit(way_back(site.depart(), "ada", PAGES))
    brought = {name: values[0] for name, values in parse_qs(back.query).items()} | change

    answer = site.browser.get(f"{back.path}?{urlencode(brought)}")

    assert answer.status_code in {400, 403}
    assert not site.sees_studies()


def test_an_answer_is_taken_once_and_from_the_browser_that_asked(site: Site) -> None:
    back = way_back(site.depart(), "ada", PAGES)
    (left_with,) = site.browser.cookies.jar
    another = TestClient(site.browser.app, base_url=PAGES)
    assert another.get(back).status_code == 400

    assert site.browser.get(back).status_code == 200
    assert site.browser.get(back).status_code == 400  # the browser has forgotten what it left with

    answer = another.get(back, headers={"cookie": f"{left_with.name}={left_with.value}"})  # a copy of all of it
    assert answer.status_code == 403
    assert "the provider refuses this login" in answer.text


def test_what_the_provider_says_against_a_login_is_shown(site: Site) -> None:
    state = parse_qs(urlsplit(site.depart()).query)["state"][0]
    said = {"error": "access_denied", "error_description": "<b>no</b>", "state": state}

    answer = site.browser.get(f"/login/provider/back?{urlencode(said)}")

    assert answer.status_code == 403
    assert "access_denied &lt;b&gt;no&lt;/b&gt;" in answer.text


def test_a_person_who_is_gone_at_the_provider_is_out_when_it_is_asked_next(site: Site) -> None:
    site.arrive("vera")
    site.clock.advance(CHECK_EVERY_S - 1)
    site.peer.know(otto=["pacs-operators"])
    assert site.sees_studies()

    site.clock.advance(1)

    assert not site.sees_studies()
    assert site.session is None


def test_roles_follow_the_provider_while_a_session_lasts(site: Site) -> None:
    site.arrive("ada")
    for roles, may_see_accounts in ((["pacs-viewers"], 403), (["pacs-admins"], 200), (["staff"], 303)):
        site.peer.know(ada=roles)
        site.clock.advance(CHECK_EVERY_S)  # each time with the refresh token that the last one gave
        assert site.browser.get("/accounts", follow_redirects=False).status_code == may_see_accounts


def test_without_a_refresh_token_a_session_ends_when_the_provider_would_be_asked(site: Site) -> None:
    site.peer.tell(refresh_tokens=False)
    site.arrive("vera")
    site.clock.advance(CHECK_EVERY_S - 1)
    assert site.sees_studies()

    site.clock.advance(1)

    assert not site.sees_studies()


def test_a_lie_while_a_session_lasts_ends_it(site: Site) -> None:
    site.arrive("vera")
    site.peer.tell(lie="another_audience")
    site.clock.advance(CHECK_EVERY_S)

    assert not site.sees_studies()


def test_a_logout_goes_on_to_the_provider(site: Site) -> None:
    site.arrive("vera")
    (token,) = re.findall(r'name="token" value="([0-9a-f]{64})"', site.browser.get("/").text)
    stolen = site.browser.cookies[COOKIE]

    page = site.browser.post("/logout", data={"token": token}).text

    (url,) = re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', page)
    sent = parse_qs(urlsplit(url.replace("&amp;", "&")).query)
    assert url.startswith(f"{site.peer.issuer}/session/end?")
    assert sent["post_logout_redirect_uri"] == [f"{PAGES}/login"]
    assert sent["id_token_hint"][0].count(".") == 2
    site.browser.cookies.set(COOKIE, stolen)
    assert not site.sees_studies()


def test_who_copies_the_ledger_has_no_token_of_the_provider(site: Site) -> None:
    site.arrive("vera")
    assert site.session is not None
    assert site.session.voucher is not None

    secrets = site.session.voucher.secrets
    assert b"eyJ" not in secrets
    assert len(secrets) > 500


def test_a_silent_provider_is_believed_for_as_long_again_and_then_no_more(peer: OpenIdPeer, tmp_path: Path) -> None:
    with openid_peer(tmp_path / "provider", PAGES) as own:
        own.know(vera=["pacs-viewers"])
        openid = client_settings(own, PAGES, check_every_s=CHECK_EVERY_S, timeout_s=2)
        settings = read_settings(None, data_dir=tmp_path, web={"openid": openid})
        ledger, clock, spool = make_ledger(tmp_path), FakeClock(datetime.now(UTC)), MemorySpool(tmp_path / "spool")
        browser = TestClient(build_web(settings, ledger, spool, clock, told_at_once(ledger)), base_url=PAGES)
        site = Site(own, ledger, clock, browser)
        site.arrive("vera")
    clock.advance(CHECK_EVERY_S)
    assert site.sees_studies()
    clock.advance(CHECK_EVERY_S - ASK_AGAIN_AFTER_S - 1)
    assert site.sees_studies()

    clock.advance(ASK_AGAIN_AFTER_S + 1)

    assert not site.sees_studies()
    started_again = TestClient(build_web(settings, ledger, spool, clock, told_at_once(ledger)), base_url=PAGES)
    answer = started_again.get("/login/provider")
    assert (answer.status_code, "cannot be asked at the moment" in answer.text) == (503, True)
    ledger.close()


def doctors_words(openid: dict[str, Any], folder: Path) -> dict[str, tuple[str, str]]:
    settings = read_settings(None, data_dir=folder, web={"openid": openid})
    return {one.name: (one.status, one.detail) for one in run_check(openid_checks.openid, settings)}


def test_doctor_finds_a_provider_well(peer: OpenIdPeer, tmp_path: Path) -> None:
    found = doctors_words(client_settings(peer, PAGES), tmp_path)

    assert {status for status, _ in found.values()} == {"ok"}
    assert set(found) == {"OpenID provider", "OpenID clock", "OpenID redirect URI", "OpenID client"}


@pytest.mark.parametrize(
    ("wrong", "check", "words"),
    [
        ({"issuer": "http://localhost:1"}, "OpenID provider", "cannot be reached"),
        ({"issuer": "http://127.0.0.1:{port}"}, "OpenID provider", "both have to be the same to the letter"),
        ({"pages_url": "http://127.0.0.1:8043"}, "OpenID redirect URI", "the provider answers 400"),
        ({"client_id": "unheard-of"}, "OpenID client", "invalid_client"),
    ],
)
def test_doctor_names_what_is_wrong_with_a_provider(
    peer: OpenIdPeer, tmp_path: Path, wrong: dict[str, str], check: str, words: str
) -> None:
    told = {name: value.format(port=peer.port) for name, value in wrong.items()}

    status, detail = doctors_words(client_settings(peer, told.pop("pages_url", PAGES), **told), tmp_path)[check]

    assert status == "fail"
    assert words in detail


def test_a_secret_that_others_can_read_is_refused_and_never_shown(peer: OpenIdPeer, tmp_path: Path) -> None:
    openid = client_settings(peer, PAGES)
    Path(openid["client_secret_file"]).chmod(0o644)
    settings = read_settings(None, data_dir=tmp_path, web={"openid": openid})

    with pytest.raises(ConfigurationError, match="has the mode 0644") as refused:
        refuse_open_secret(settings)

    assert SECRET not in str(refused.value)


@pytest.mark.peer("openssl")
def test_the_providers_certificate_is_checked_against_the_authority_that_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate = authority.issue("localhost")
    with openid_peer(tmp_path / "provider", PAGES, certificate) as peer:
        assert doctors_words(client_settings(peer, PAGES, ca=str(authority.ca)), tmp_path)["OpenID provider"][0] == "ok"
        stranger = Authority(tmp_path / "stranger")
        for ca in (None, str(stranger.ca)):
            status, detail = doctors_words(client_settings(peer, PAGES, ca=ca), tmp_path)["OpenID provider"]
            assert (status, "its certificate is not taken" in detail) == ("fail", True), detail
