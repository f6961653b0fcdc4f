"""Who may do what on the pages, tried against every route that they have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from httpx2 import Response
from starlette.applications import Starlette
from starlette.testclient import TestClient

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.audit import codes
from patchclip_node.audit.values import ActorKind, Outcome
from patchclip_node.domain.accounts import (
    PERMITTED,
    PERMITTED_IN_EMERGENCY,
    SEAL_IS_OPEN_FOR,
    Account,
    Act,
    Role,
    SessionPolicy,
)
from patchclip_node.domain.recalls import EarlierResults
from patchclip_node.domain.states import StudyState
from patchclip_node.services import passwords
from patchclip_node.services.login import LoginDesk
from patchclip_node.services.recall import RecallService
from patchclip_node.services.release import ReleaseDesk
from patchclip_node.services.verdicts import VerdictDesk
from patchclip_node.web import create_app
from patchclip_node.web.access import COOKIE, GuardedRoute
from patchclip_node.web.gate import AllowedHosts
from patchclip_node.web.people import Access
from tests.support.fakes import START, FakeClock, MemorySpool, make_ledger, told_at_once
from tests.support.studies import bring_to, newest_revision
from tests.support.web import shown, slow_figures

PASSWORD = "correct horse battery"
PASSWORD_HASH = passwords.hashed(PASSWORD)
UID, RETURNED = "1.2.3", "1.2.4"
IDLE_S, LONGEST_S, EMERGENCY_S = 600.0, 3600.0, 900.0
POLICY = SessionPolicy(IDLE_S, LONGEST_S, emergency_s=EMERGENCY_S)

OPEN = {
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/login/provider"),
    ("GET", "/login/provider/back"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/static/{name}"),
}
"""What is answered without a session."""
OF_EVERY_ROLE = {("POST", "/logout"), ("POST", "/emergency/end")}
"""What whoever has a session may do."""
FORMS = {"how": "requeue", "reason": "the physician on call is not here"}
"""What the forms hold, beside their token."""


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
        (token, *_) = re.findall(r'name="token" value="([0-9a-f]{64})"', self.browser.get("/emergency").text)
        return str(token)

    def try_to(self, method: str, path: str) -> int:
        form = FORMS | {"token": self.form_token()} if method == "POST" else None
        return self.browser.request(method, path, data=form, follow_redirects=False).status_code


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    ledger, clock = make_ledger(tmp_path), FakeClock()

    def site(*, secure: bool = False, policy: SessionPolicy = POLICY) -> Site:
        desk = LoginDesk(ledger.accounts, ledger.sessions, told_at_once(ledger), clock, policy)
        spool = MemorySpool(tmp_path / "spool")
        recall = RecallService(ledger.recalls, spool, clock)
        release = ReleaseDesk(ledger.gates, clock, EarlierResults.WITHDRAW)
        verdicts = VerdictDesk(ledger.studies, ledger.verdicts, clock)
        app = create_app(
            studies=ledger.studies,
            workload=ledger.workload,
            workers=ledger.workers,
            spool=spool,
            clock=clock,
            ae_title="PATCHCLIP",
            access=Access(desk, ledger.accounts, ledger.sessions, ledger.requeueing, recall, release, verdicts, secure),
            audit=ledger.audit,
            tell=told_at_once(ledger),
            overview=ledger.overview,
            alerts=ledger.alerts,
            figures=ledger.figures,
            slow=slow_figures(ledger),
            shown=shown(ledger, spool),
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


def rules(app: Starlette) -> Iterator[tuple[str, str, GuardedRoute]]:
    """Every method and path of the pages with its rule; a route that has none fails."""
    for route in app.routes:
        assert isinstance(route, GuardedRoute), f"{route} was not made by the doorkeeper, and has no rule"
        path = re.sub(r"{\w+(:int)?}", lambda part: "1" if part[1] else UID, route.path)
        for method in (route.methods or set()) - {"HEAD"}:
            yield method, path, route


def told(site: Site) -> list[tuple[str, str, int]]:
    """What the audit trail says of logins and alerts: the event, the person, and 0 for a success."""
    return [
        (
            (one.event.type or one.event.id).meaning,
            next(actor.name for actor in one.event.actors if actor.kind is ActorKind.PERSON),
            one.event.outcome,
        )
        for one in site.ledger.audit.pending(0)
        if one.event.id in {codes.USER_AUTHENTICATION, codes.SECURITY_ALERT}
    ]


def test_the_audit_trail_tells_of_logins_of_what_was_forbidden_and_of_emergencies(site: Site) -> None:
    site.log_in(Role.VIEWER, "a wrong password")
    site.log_in(Role.VIEWER)
    site.try_to("GET", "/accounts")
    site.try_to("POST", "/emergency")
    site.try_to("POST", "/emergency/end")
    site.try_to("POST", "/logout")
    site.log_in(Role.SEALED)
    site.clock.advance(IDLE_S)
    site.browser.get("/")

    assert told(site) == [
        ("Login", "viewer", Outcome.MINOR_FAILURE),
        ("Login", "viewer", Outcome.SUCCESS),
        ("Use of Restricted Function", "viewer", Outcome.MINOR_FAILURE),
        ("Emergency Override Started", "viewer", Outcome.SUCCESS),
        ("Emergency Override Stopped", "viewer", Outcome.SUCCESS),
        ("Logout", "viewer", Outcome.SUCCESS),
        ("User Security Attributes Changed", "sealed", Outcome.SUCCESS),
        ("Login", "sealed", Outcome.SUCCESS),
        ("Logout", "sealed", Outcome.SUCCESS),
    ]
    (started,) = [
        one.event for one in site.ledger.audit.pending(0) if one.event.type == codes.EMERGENCY_OVERRIDE_STARTED
    ]
    assert FORMS["reason"] in dict(started.objects[0].details)["Alert Description"]


def test_only_these_routes_ask_for_no_session_or_for_no_role(site: Site) -> None:
    made = list(rules(site.app))

    assert {(method, route.path) for method, _, route in made if route.is_open} == OPEN
    assert {(method, route.path) for method, _, route in made if not route.is_open and not route.act} == OF_EVERY_ROLE
    assert {route.act for _, _, route in made if route.act} == set(Act)


def test_without_a_session_every_route_but_the_open_ones_leads_to_the_login(site: Site) -> None:
    for method, path, route in rules(site.app):
        if route.is_open:
            continue
        answer = site.browser.request(method, path, data={} if method == "POST" else None, follow_redirects=False)
        assert (answer.status_code, answer.headers.get("location", "")[:6]) in {(303, "/login"), (401, "")}, path
        assert "PAT-1" not in answer.text


@pytest.mark.parametrize("role", Role)
def test_every_role_may_do_what_the_table_says_and_nothing_else(site: Site, role: Role) -> None:
    assert site.log_in(role) == 303

    # Taking emergency access changes what a role may do: it comes last.
    for method, path, route in sorted(rules(site.app), key=lambda rule: rule[2].act is Act.BREAK_GLASS):
        if route.act is None:
            continue
        status = site.try_to(method, path)
        assert (status == 403) == (route.act not in PERMITTED[role]), f"{role}: {method} {path}"
        if status == 403:
            assert told(site)[-1] == ("Use of Restricted Function", role.value, Outcome.MINOR_FAILURE)
        if route.act is Act.WORK_AGAIN and method == "POST":
            changed = newest_revision(site.ledger, UID).state is not StudyState.FAILED
            assert changed == (Act.WORK_AGAIN in PERMITTED[role])


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SEALED])
def test_in_an_emergency_everybody_may_do_all_but_see_accounts_for_a_time(site: Site, role: Role) -> None:
    site.log_in(role)
    assert site.try_to("POST", "/emergency") == 303

    for method, path, route in rules(site.app):
        if route.act is not None:
            assert (site.try_to(method, path) == 403) == (route.act not in PERMITTED_IN_EMERGENCY), path
    assert "the physician on call is not here" in site.browser.get("/").text

    site.clock.advance(IDLE_S * 0.9)
    site.browser.get("/")
    site.clock.advance(EMERGENCY_S - IDLE_S * 0.9)

    assert site.try_to("POST", f"/studies/{UID}/again") == 403


def test_emergency_access_ends_when_it_is_given_back(site: Site) -> None:
    site.log_in(Role.VIEWER)
    site.try_to("POST", "/emergency")
    assert site.ledger.sessions.emergencies(site.clock.now())

    site.try_to("POST", "/emergency/end")

    assert site.try_to("POST", f"/studies/{UID}/again") == 403
    assert site.ledger.sessions.emergencies(site.clock.now()) == []


@pytest.mark.parametrize("reason", ["", "help", "   a     b   ", "x" * 501])
def test_emergency_access_asks_for_a_reason(site: Site, reason: str) -> None:
    site.log_in(Role.VIEWER)

    answer = site.browser.post("/emergency", data={"token": site.form_token(), "reason": reason})

    assert answer.status_code == 400
    assert "Give a reason" in answer.text
    assert site.ledger.sessions.emergencies(site.clock.now()) == []


def test_administrators_and_metrics_tell_of_emergency_access(site: Site) -> None:
    assert "patchclip_emergency_sessions 0.0" in site.browser.get("/metrics").text
    site.log_in(Role.VIEWER)
    site.try_to("POST", "/emergency")
    site.log_in(Role.ADMINISTRATOR)

    assert FORMS["reason"] in site.browser.get("/accounts").text
    assert "patchclip_emergency_sessions 1.0" in site.browser.get("/metrics").text


def test_a_node_can_be_without_emergency_access(new_site: Callable[..., Site]) -> None:
    site = new_site(policy=replace(POLICY, emergency_s=None))
    site.ledger.accounts.add(Account("viewer", Role.VIEWER, PASSWORD_HASH, START))
    site.log_in(Role.VIEWER)

    assert "/emergency" not in site.browser.get("/").text
    assert site.browser.get("/emergency").status_code == 404


def test_a_sealed_code_is_good_for_a_day_after_its_first_use(site: Site) -> None:
    site.clock.advance(10 * 86_400)  # in its envelope
    assert site.log_in(Role.SEALED) == 303
    site.clock.advance(SEAL_IS_OPEN_FOR.total_seconds() - 1)
    assert site.log_in(Role.SEALED) == 303

    site.clock.advance(1)

    assert site.log_in(Role.SEALED) == 401


def test_where_local_accounts_are_off_only_the_sealed_one_gets_in(new_site: Callable[..., Site]) -> None:
    site = new_site(policy=replace(POLICY, local_accounts=False))
    for role in Role:
        site.ledger.accounts.add(Account(role.value, role, PASSWORD_HASH, START))

    assert {role: site.log_in(role) for role in Role} == dict.fromkeys(Role, 401) | {Role.SEALED: 303}


def test_an_open_session_ends_when_local_accounts_are_switched_off(new_site: Callable[..., Site]) -> None:
    site = new_site()
    site.ledger.accounts.add(Account("viewer", Role.VIEWER, PASSWORD_HASH, START))
    site.log_in(Role.VIEWER)
    switched = new_site(policy=replace(POLICY, local_accounts=False))
    switched.browser.cookies = site.browser.cookies

    assert switched.try_to("GET", "/") == 303


def test_the_cookie_is_kept_from_scripts_other_sites_and_clear_text(new_site: Callable[..., Site]) -> None:
    site = new_site(secure=True)
    site.ledger.accounts.add(Account("viewer", Role.VIEWER, PASSWORD_HASH, START))

    form = {"name": "viewer", "password": PASSWORD, "next": "/"}
    cookie = site.browser.post("/login", data=form, follow_redirects=False).headers["set-cookie"]

    assert {"HttpOnly", "SameSite=strict", "Secure"} <= set(cookie.split("; "))
    assert site.browser.cookies[COOKIE] not in str(site.ledger.sessions.find(site.browser.cookies[COOKIE]))


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
    (again,) = re.findall(r'id="live" hx-get="([^"]+)"', page)

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


def recall(site: Site, **fields: str) -> Response:
    form = {"token": site.form_token(), "reason": "safety", "words": "left and right were swapped"} | fields
    return site.browser.post(f"/studies/{RETURNED}/recall", data=form, follow_redirects=False)


def test_a_recall_is_asked_twice_and_says_who_did_it(site: Site) -> None:
    study = bring_to(site.ledger, StudyState.RETURNED, RETURNED, results=2)
    site.log_in(Role.OPERATOR)
    assert "2, sent to pacs (2)" in site.browser.get(f"/studies/{RETURNED}/recall").text

    asked = recall(site)
    assert (asked.status_code, site.ledger.recalls.all()) == (200, [])
    (count,) = re.findall(r'name="confirmed" value="(\d+)"', asked.text)
    assert recall(site, confirmed="7").status_code == 200  # of other results than there are
    assert site.ledger.recalls.all() == []
    done = recall(site, confirmed=count)

    (made,) = site.ledger.recalls.all()
    assert (done.status_code, done.headers["location"]) == (303, f"/studies/{RETURNED}")
    assert (made.request.by, made.request.words) == ("operator", "left and right were swapped")
    assert {one.recall for one in site.ledger.studies.results(study.id)} == {made}
    assert made.line in site.browser.get(f"/studies/{RETURNED}").text
    assert recall(site, confirmed=count).status_code == 409
    form = {"token": site.form_token(), "how": "resend"}
    again = site.browser.post(f"/studies/{RETURNED}/again", data=form)
    assert (again.status_code, "left and right were swapped" in again.text) == (409, True)


@pytest.mark.parametrize("fields", [{"reason": ""}, {"reason": "x"}, {"words": " "}, {"image": "9.9"}, {"token": "0"}])
def test_a_recall_that_is_not_complete_takes_no_effect(site: Site, fields: dict[str, str]) -> None:
    bring_to(site.ledger, StudyState.RETURNED, RETURNED)
    site.log_in(Role.OPERATOR)

    answer = recall(site, confirmed="1", **fields)

    assert (answer.status_code, site.ledger.recalls.all()) == (403 if "token" in fields else 400, [])


def test_a_form_that_is_too_long_is_refused(site: Site) -> None:
    assert site.browser.post("/login", data={"name": "x" * 10_000}).status_code == 413


def test_without_an_account_the_pages_are_open_and_say_so(new_site: Callable[..., Site]) -> None:
    site = new_site()

    page = site.browser.get("/")

    assert page.status_code == 200
    assert "No account is set up" in page.text
    assert site.browser.get("/accounts").status_code == 403
    assert site.browser.get("/login", follow_redirects=False).headers["location"] == "/"


@pytest.mark.parametrize(("how", "state"), [("release", StudyState.RETURNING), ("refuse", StudyState.KEPT)])
def test_an_operator_decides_on_what_is_held_and_is_told_where_nothing_is(
    site: Site, how: str, state: StudyState
) -> None:
    bring_to(site.ledger, StudyState.HELD, "1.9", site.clock.now())
    site.log_in(Role.OPERATOR)
    form = {"how": how, "reason": "looked at", "token": site.form_token()}
    path = "/studies/1.9/gate"

    assert site.browser.post(path, data=form | {"how": "keep"}, follow_redirects=False).status_code == 400
    assert "Release results" in site.browser.get("/studies/1.9").text
    assert site.browser.post(path, data=form, follow_redirects=False).status_code == 303
    assert newest_revision(site.ledger, "1.9").state is state
    assert "looked at" in site.browser.get("/studies/1.9").text
    assert site.browser.post(path, data=form, follow_redirects=False).status_code == 409
    assert site.browser.post("/studies/9.9/gate", data=form, follow_redirects=False).status_code == 404
