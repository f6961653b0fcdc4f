"""Who may do what on the pages, tried against every route that they have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.accounts import PERMITTED, Account, Act, Role, SessionPolicy
from patchclip_node.domain.states import StudyState
from patchclip_node.services import passwords
from patchclip_node.services.login import LoginDesk
from patchclip_node.web import create_app
from patchclip_node.web.access import COOKIE
from patchclip_node.web.gate import AllowedHosts
from patchclip_node.web.people import Access
from tests.support.fakes import START, FakeClock, MemorySpool, make_ledger
from tests.support.studies import bring_to, newest_revision

PASSWORD = "correct horse battery"
PASSWORD_HASH = passwords.hashed(PASSWORD)
UID = "1.2.3"
IDLE_S, LONGEST_S = 600.0, 3600.0

OPEN = {"/login", "/healthz", "/metrics", "/static/{name}"}
"""What is answered without a session."""
TRIED = {
    ("GET", "/"): Act.SEE_STUDIES,
    ("GET", f"/studies/{UID}"): Act.SEE_STUDIES,
    ("GET", f"/studies/{UID}/1/overlays/0.png"): Act.SEE_STUDIES,
    ("POST", f"/studies/{UID}/again"): Act.WORK_AGAIN,
    ("GET", "/accounts"): Act.SEE_ACCOUNTS,
}


@dataclass
class Site:
    ledger: SqlLedger
    clock: FakeClock
    app: Starlette
    browser: TestClient

    def log_in(self, role: Role, password: str = PASSWORD, **headers: str) -> int:
        """Log the browser in as an account of this role, by its form; returns the status."""
        form = {"name": role.value, "password": password, "next": "/"}
        return self.browser.post("/login", data=form, headers=headers, follow_redirects=False).status_code

    def form_token(self) -> str:
        """Return what a page of this session puts into its forms."""
        (token, *_) = re.findall(r'name="token" value="([0-9a-f]{64})"', self.browser.get("/").text)
        return str(token)

    def try_to(self, method: str, path: str) -> int:
        form = {"token": self.form_token(), "how": "requeue"} if method == "POST" else None
        return self.browser.request(method, path, data=form, follow_redirects=False).status_code


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    ledger, clock = make_ledger(tmp_path), FakeClock()

    def site(*, secure: bool = False) -> Site:
        desk = LoginDesk(ledger.accounts, clock, SessionPolicy(IDLE_S, LONGEST_S))
        app = create_app(
            studies=ledger.studies,
            workload=ledger.workload,
            workers=ledger.workers,
            spool=MemorySpool(tmp_path / "spool"),
            clock=clock,
            ae_title="PATCHCLIP",
            access=Access(desk, ledger.accounts, ledger.requeueing, secure),
            hosts=AllowedHosts(["testserver"]),
        )
        return Site(
            ledger, clock, app, TestClient(app, base_url="https://testserver" if secure else "http://testserver")
        )

    yield site
    ledger.close()


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    made = new_site()
    for role in Role:
        made.ledger.accounts.add(Account(role.value, role, PASSWORD_HASH, START))
    bring_to(made.ledger, StudyState.FAILED, UID)
    return made


def test_without_a_session_every_route_but_the_open_ones_leads_to_the_login(site: Site) -> None:
    routes = [route for route in site.app.routes if isinstance(route, Route)]

    assert {route.path for route in routes} > OPEN
    for route in routes:
        if route.path in OPEN:
            continue
        path = re.sub(r"{\w+(:int)?}", lambda part: "1" if part[1] else UID, route.path)
        for method in (route.methods or set()) - {"HEAD"}:
            answer = site.browser.request(method, path, data={} if method == "POST" else None, follow_redirects=False)
            assert (answer.status_code, answer.headers.get("location", "")[:6]) in {(303, "/login"), (401, "")}, path
            assert "PAT-1" not in answer.text


def test_the_acts_that_are_tried_are_all_that_there_are() -> None:
    assert set(TRIED.values()) == set(Act)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "path"), TRIED)
def test_a_role_may_do_what_the_table_says_and_nothing_else(site: Site, role: Role, method: str, path: str) -> None:
    assert site.log_in(role) == 303

    status = site.try_to(method, path)

    assert (status == 403) == (TRIED[method, path] not in PERMITTED[role])
    changed = newest_revision(site.ledger, UID).state is not StudyState.FAILED
    assert changed == (method == "POST" and Act.WORK_AGAIN in PERMITTED[role])


def test_the_cookie_is_kept_from_scripts_other_sites_and_clear_text(new_site: Callable[..., Site]) -> None:
    site = new_site(secure=True)
    site.ledger.accounts.add(Account("viewer", Role.VIEWER, PASSWORD_HASH, START))

    form = {"name": "viewer", "password": PASSWORD, "next": "/"}
    cookie = site.browser.post("/login", data=form, follow_redirects=False).headers["set-cookie"]

    assert {"HttpOnly", "SameSite=strict", "Secure"} <= set(cookie.split("; "))
    assert site.browser.cookies[COOKIE] not in str(site.ledger.accounts.session(site.browser.cookies[COOKIE]))


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/\nx"])
def test_a_login_leads_to_no_other_site(site: Site, target: str) -> None:
    form = {"name": "viewer", "password": PASSWORD, "next": target}

    assert site.browser.post("/login", data=form, follow_redirects=False).headers["location"] == "/"


def test_a_session_ends_when_it_is_not_used(site: Site) -> None:
    site.log_in(Role.VIEWER)
    for _ in range(3):
        site.clock.advance(IDLE_S * 0.6)
        assert site.try_to("GET", "/") == 200

    site.clock.advance(IDLE_S)

    assert site.try_to("GET", "/") == 303


def test_a_page_that_loads_itself_again_keeps_no_session_alive(site: Site) -> None:
    site.log_in(Role.VIEWER)
    page = site.browser.get("/").text
    (again,) = re.findall(r'http-equiv="refresh" content="\d+; url=([^"]+)"', page)

    status = 200
    for _ in range(4):
        site.clock.advance(IDLE_S * 0.3)
        status = site.browser.get(again, follow_redirects=False).status_code

    assert status == 303


def test_a_session_ends_at_its_time_however_it_is_used(site: Site) -> None:
    site.log_in(Role.VIEWER)
    while site.try_to("GET", "/") == 200:
        site.clock.advance(IDLE_S * 0.9)

    assert (site.clock.now() - START).total_seconds() == pytest.approx(LONGEST_S, abs=IDLE_S)


def test_a_session_ends_with_its_logout_its_password_and_its_account(site: Site) -> None:
    for end in (
        lambda: site.browser.post("/logout", data={"token": site.form_token()}),
        lambda: site.ledger.accounts.set_password("viewer", PASSWORD_HASH),
        lambda: site.ledger.accounts.disable("viewer"),
    ):
        assert site.log_in(Role.VIEWER) == 303
        token = site.browser.cookies[COOKIE]
        assert site.try_to("GET", "/") == 200
        end()
        site.browser.cookies.set(COOKIE, token)  # who stole it has it still
        assert site.try_to("GET", "/") == 303
        site.browser.cookies.clear()
    assert site.log_in(Role.VIEWER) == 401


@pytest.mark.parametrize("token", ["", "0" * 64, "of another session"])
def test_a_form_without_its_sessions_token_takes_no_effect(site: Site, token: str) -> None:
    site.log_in(Role.VIEWER)
    others = site.form_token()
    site.log_in(Role.OPERATOR)

    form = {"how": "requeue", "token": others if token == "of another session" else token}
    answer = site.browser.post(f"/studies/{UID}/again", data=form)

    assert answer.status_code == 403
    assert newest_revision(site.ledger, UID).state is StudyState.FAILED


def test_a_form_of_another_site_takes_no_effect_even_with_the_token(site: Site) -> None:
    site.log_in(Role.OPERATOR)
    form = {"how": "requeue", "token": site.form_token()}

    answer = site.browser.post(f"/studies/{UID}/again", data=form, headers={"origin": "http://evil.example"})

    assert answer.status_code == 403
    assert newest_revision(site.ledger, UID).state is StudyState.FAILED


def test_another_site_can_log_nobody_in(site: Site) -> None:
    assert site.log_in(Role.VIEWER, **{"sec-fetch-site": "cross-site"}) == 403


def test_guesses_are_slowed_down_and_the_right_password_waits_too(site: Site) -> None:
    statuses = [site.log_in(Role.VIEWER, f"wrong password {number}") for number in range(6)]
    assert statuses == [401] * 5 + [429]
    assert site.log_in(Role.VIEWER) == 429

    site.clock.advance(3)

    assert site.log_in(Role.VIEWER) == 303


def test_a_form_that_is_too_long_is_refused(site: Site) -> None:
    assert site.browser.post("/login", data={"name": "x" * 10_000}).status_code == 413


def test_without_an_account_the_pages_are_open_and_say_so(new_site: Callable[..., Site]) -> None:
    site = new_site()

    page = site.browser.get("/")

    assert page.status_code == 200
    assert "No account is set up" in page.text
    assert site.browser.get("/accounts").status_code == 403
    assert site.browser.get("/login", follow_redirects=False).headers["location"] == "/"
