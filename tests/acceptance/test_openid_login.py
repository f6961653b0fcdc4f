"""The pages in a browser with a real OpenID provider: what each role may do, who is out, and what of it is tricked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from patchclip_node.audit import codes
from patchclip_node.audit.values import AuditEvent
from patchclip_node.bootstrap.web import build_web
from patchclip_node.domain.accounts import PERMITTED, Account, Act, Role
from patchclip_node.domain.states import StudyState
from patchclip_node.services import passwords
from patchclip_node.services.session_secrets import key_of
from patchclip_node.web.access import COOKIE, GuardedRoute
from tests.peers.browser import chromium, page_of
from tests.peers.node import Node, new_node
from tests.peers.openid import OpenIdPeer, client_settings, log_in_at_provider, openid_peer
from tests.peers.processes import free_port, listens, wait_until
from tests.support.fakes import START, FakeClock, MemorySpool, make_ledger, told_at_once
from tests.support.studies import bring_to

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.peer("oidc-provider")]

UID = "1.2.1"
CODE = "abcde-fghij-klmno-pqrst-uvwxy"
PEOPLE = {Role.VIEWER: "vera", Role.OPERATOR: "otto", Role.ADMINISTRATOR: "ada"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def peer(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdPeer]:
    with openid_peer(tmp_path_factory.mktemp("provider"), f"http://127.0.0.1:{port}") as running:
        running.know(vera=["pacs-viewers"], otto=["pacs-operators"], ada=["pacs-admins"], nora=[])
        yield running


@pytest.fixture(scope="module")
def node(port: int, peer: OpenIdPeer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The pages alone, with a study that failed, no local account, and one in an envelope."""
    openid = client_settings(peer, f"http://127.0.0.1:{port}")
    web = {"port": port, "local_accounts": False, "openid": openid}
    made = new_node(tmp_path_factory.mktemp("node"), web=web)
    made.settings.data_dir.mkdir()
    ledger = make_ledger(made.settings.data_dir)
    bring_to(ledger, StudyState.FAILED, UID)
    ledger.accounts.add(Account("envelope", Role.SEALED, passwords.hashed(CODE), START))
    ledger.close()
    with made.running("web"):
        wait_until(lambda: listens(port), "the pages are served")
        yield made


def address(node: Node, path: str) -> str:
    return f"http://127.0.0.1:{node.settings.web.port}{path}"


def log_in(page: Page, node: Node, name: str) -> None:
    page.goto(address(node, f"/studies/{UID}"))
    page.get_by_role("link", name="Log in with a hospital account").click()
    log_in_at_provider(page, name)


def token_of(page: Page) -> str:
    """What the forms of this session hold."""
    found = re.search(r'name="token" value="([0-9a-f]{64})"', page.content())
    assert found, page.content()
    return found[1]


def told(node: Node) -> list[AuditEvent]:
    """Return what was told so far."""
    with node.ledger() as ledger:
        return [one.event for one in ledger.audit.pending(0)]


def routes(node: Node, tmp_path: Path) -> list[tuple[str, str, Act]]:
    """Method, path and act of every route of the pages that a role decides of."""
    ledger = make_ledger(tmp_path)
    app = build_web(node.settings, ledger, MemorySpool(tmp_path), FakeClock(), told_at_once(ledger))
    ledger.close()
    found = []
    for route in app.routes:
        assert isinstance(route, GuardedRoute)
        path = re.sub(r"{\w+(:int)?}", lambda part: "1" if part[1] else UID, route.path)
        found += [(method, path, route.act) for method in (route.methods or set()) - {"HEAD"} if route.act]
    return found


@pytest.mark.parametrize("role", PEOPLE)
def test_each_roles_forbidden_acts_are_403_and_recorded(
    node: Node, browser: Browser, tmp_path: Path, role: Role
) -> None:
    forbidden = [route for route in routes(node, tmp_path) if route[2] not in PERMITTED[role]]
    assert forbidden or role is Role.ADMINISTRATOR
    with page_of(browser, 1000, 700) as (page, _):
        log_in(page, node, PEOPLE[role])
        page.get_by_text(UID, exact=True).first.wait_for()
        assert page.url == address(node, f"/studies/{UID}")
        form: dict[str, str | float | bool] = {"token": token_of(page), "how": "requeue"}
        for method, path, _ in forbidden:
            answer = page.context.request.fetch(
                address(node, path), method=method, form=form if method == "POST" else None
            )
            assert answer.status == 403, f"{role}: {method} {path}"

    def recorded() -> list[str]:
        alerts = [event for event in told(node) if event.type == codes.USE_OF_RESTRICTED_FUNCTION]
        return [event.description for event in alerts if PEOPLE[role] in event.actors[-1].name]

    wait_until(lambda: len(recorded()) >= len(forbidden), "all are recorded", 30)
    assert recorded() == [f"may not {act.value}: {path}" for _, path, act in forbidden]


def test_who_has_no_role_is_told_so_and_may_come_as_another_person(node: Node, browser: Browser) -> None:
    with page_of(browser, 1000, 700) as (page, _):
        log_in(page, node, "nora")
        page.get_by_text("the provider knows you as nora, but gives you no role for these pages").wait_for()
        assert [cookie["name"] for cookie in page.context.cookies(address(node, "/")) if cookie["name"] == COOKIE] == []

        page.get_by_role("link", name="Log in as another person").click()
        log_in_at_provider(page, "vera")
        page.get_by_text("vera", exact=True).wait_for()


def test_a_logout_ends_both_sessions_and_makes_a_stolen_cookie_worthless(node: Node, browser: Browser) -> None:
    with page_of(browser, 1000, 700) as (page, _):
        log_in(page, node, "vera")
        page.get_by_role("button", name="Log out").wait_for()
        stolen = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}[COOKIE]

        page.get_by_role("button", name="Log out").click()
        page.get_by_role("button", name="Yes, sign me out").click()
        page.wait_for_url(address(node, "/login*"))

        page.goto(address(node, "/"))
        page.get_by_role("link", name="Log in with a hospital account").click()
        page.locator("input[name=login]").wait_for()  # the provider asks who it is
        page.context.add_cookies([{"name": COOKIE, "value": stolen, "url": address(node, "/")}])
        page.goto(address(node, f"/studies/{UID}"))
        page.get_by_role("link", name="Log in with a hospital account").wait_for()


def test_who_was_disabled_at_the_provider_is_out_when_it_is_asked_next(
    node: Node, browser: Browser, peer: OpenIdPeer
) -> None:
    with page_of(browser, 1000, 700) as (page, _):
        log_in(page, node, "otto")
        page.get_by_role("button", name="Log out").wait_for()
        people = dict(peer.state["people"])
        peer.know(**{name: roles for name, roles in people.items() if name != "otto"})
        (token,) = [cookie["value"] for cookie in page.context.cookies() if cookie["name"] == COOKIE]
        make_check_due(node, token)
        page.reload()
        page.get_by_role("link", name="Log in with a hospital account").wait_for()
        peer.know(**people)


def test_an_answer_that_another_browser_began_or_that_was_taken_before_lets_nobody_in(
    node: Node, browser: Browser
) -> None:
    with page_of(browser, 1000, 700) as (thief, _), page_of(browser, 1000, 700) as (page, _):
        answers: list[str] = []
        page.on(
            "request", lambda request: answers.append(request.url) if "/login/provider/back?" in request.url else None
        )
        log_in(page, node, "ada")
        page.get_by_role("button", name="Log out").wait_for()

        for who in (thief, page):
            assert who.context.request.get(answers[0]).status == 400
        thief.goto(answers[0])
        thief.get_by_text("This login did not begin in this browser").wait_for()


def test_a_sealed_account_gets_in_without_the_provider_gives_a_reason_and_is_seen(node: Node, browser: Browser) -> None:
    with page_of(browser, 1280, 800) as (page, errors):
        page.goto(address(node, f"/studies/{UID}"))
        page.get_by_text("With an emergency account").click()
        page.get_by_label("Name").fill("envelope")
        page.get_by_label("Password").fill(CODE)
        page.get_by_role("button", name="Log in").click()
        page.get_by_label("Reason").fill("the provider is down, and a patient is on the table")
        page.get_by_role("button", name="Take emergency access").click()
        page.get_by_role("alert").get_by_text("the provider is down, and a patient is on the table").wait_for()
        assert page.url == address(node, f"/studies/{UID}")
        assert page.get_by_role("link", name="Analyse again").count() == 1
        assert errors == []
        with page_of(browser, 1280, 800) as (watching, _):
            log_in(watching, node, "ada")
            watching.get_by_role("link", name="Accounts").click()
            watching.get_by_text("the provider is down, and a patient is on the table").wait_for()

        page.get_by_role("button", name="End it now").click()
        page.get_by_text("you may not see studies").wait_for()


def make_check_due(node: Node, token: str) -> None:
    """Let the provider's last word on a session be one of an hour ago."""
    with node.ledger() as ledger:
        session = ledger.sessions.find(key_of(token))
        assert session is not None
        assert session.voucher is not None
        long_ago = session.voucher.checked_at - timedelta(hours=1)
        ledger.sessions.ask(session.key, session.voucher.asked_at, long_ago)
        ledger.sessions.vouched(session.key, session.person, session.voucher.secrets, long_ago)
