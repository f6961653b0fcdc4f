"""What persons do on the pages is told: openings, searches, logins, refusals and forbidden acts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.audit.message import build_message
from patchclip_node.audit.reading import Told, read_message
from patchclip_node.audit.values import AuditSource
from patchclip_node.domain.accounts import Account, Role, SessionPolicy
from patchclip_node.domain.recalls import EarlierResults
from patchclip_node.domain.states import StudyState
from patchclip_node.services import passwords
from patchclip_node.services.login import LoginDesk
from patchclip_node.services.recall import RecallService
from patchclip_node.services.release import ReleaseDesk
from patchclip_node.services.verdicts import VerdictDesk
from patchclip_node.web import create_app
from patchclip_node.web.access import AUTOMATIC
from patchclip_node.web.gate import AllowedHosts
from patchclip_node.web.people import Access
from tests.support.audit_schema import problems
from tests.support.fakes import START, FakeClock, MemorySpool, make_ledger, told_at_once
from tests.support.studies import bring_to
from tests.support.web import shown, slow_figures

PASSWORD = "correct horse battery"
UID = "1.2.3"


@dataclass
class Site:
    ledger: SqlLedger
    clock: FakeClock
    browser: TestClient

    def told(self) -> list[Told]:
        """Return what was told since the last time that was asked; each message keeps the rules."""
        messages = [build_message(one.event, AuditSource("A", "node")) for one in self.ledger.audit.pending(0)]
        assert [found for message in messages for found in problems(message)] == []
        said = [read_message(message) for message in messages]
        new, self._said = said[getattr(self, "_said", 0) :], len(said)
        return new

    def log_in(self, name: str, password: str = PASSWORD) -> int:
        form = {"name": name, "password": password, "next": "/"}
        return self.browser.post("/login", data=form, follow_redirects=False).status_code


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    ledger, clock, spool = make_ledger(tmp_path), FakeClock(), MemorySpool(tmp_path / "spool")
    for role in (Role.VIEWER, Role.ADMINISTRATOR):
        ledger.accounts.add(Account(role.value, role, passwords.hashed(PASSWORD), START))
    bring_to(ledger, StudyState.FAILED, UID)
    app = create_app(
        studies=ledger.studies,
        workload=ledger.workload,
        workers=ledger.workers,
        spool=spool,
        clock=clock,
        ae_title="PATCHCLIP",
        access=Access(
            LoginDesk(ledger.accounts, ledger.sessions, told_at_once(ledger), clock, SessionPolicy(3600, 7200)),
            ledger.accounts,
            ledger.sessions,
            ledger.requeueing,
            RecallService(ledger.recalls, spool, clock),
            ReleaseDesk(ledger.gates, clock, EarlierResults.WITHDRAW),
            VerdictDesk(ledger.studies, ledger.verdicts, clock),
        ),
        audit=ledger.audit,
        tell=told_at_once(ledger),
        overview=ledger.overview,
        alerts=ledger.alerts,
        figures=ledger.figures,
        slow=slow_figures(ledger),
        shown=shown(ledger, spool),
        hosts=AllowedHosts(["testserver"]),
    )
    with TestClient(app) as browser:
        made = Site(ledger, clock, browser)
        made.told()
        yield made
    ledger.close()


def test_a_login_and_a_logout_are_told_with_their_address(site: Site) -> None:
    assert site.log_in("viewer") == 303
    site.browser.get(f"/studies/{UID}")

    login = site.told()[0]
    assert (login.event, login.type, login.outcome) == ("User Authentication", "Login", "0")
    assert login.who == "viewer@node (testclient)"


def test_a_refused_login_is_told(site: Site) -> None:
    assert site.log_in("viewer", "wrong") == 401

    (refused,) = site.told()
    assert (refused.type, refused.outcome) == ("Login", "4")
    assert "wrong" in refused.description
    assert PASSWORD not in str(refused)


def test_who_opened_a_study_is_told_before_it_is_shown(site: Site) -> None:
    site.log_in("viewer")
    site.told()

    assert site.browser.get(f"/studies/{UID}").status_code == 200

    (opened,) = site.told()
    assert opened.event == "DICOM Instances Accessed"
    assert (opened.study_uids, opened.patient_ids) == ((UID,), ("PAT-1",))
    assert opened.who.startswith("viewer@")


def test_each_opening_is_told_and_a_page_that_loads_itself_is_one(site: Site) -> None:
    site.log_in("viewer")
    site.told()
    for _ in range(3):
        site.browser.get(f"/studies/{UID}")
    for _ in range(20):
        site.browser.get(f"/studies/{UID}?{AUTOMATIC}=1")
        site.clock.advance(20)

    assert len(site.told()) == 3

    site.clock.advance(700)
    site.browser.get(f"/studies/{UID}?{AUTOMATIC}=1")
    assert len(site.told()) == 1


def test_a_search_is_told_with_what_was_asked(site: Site) -> None:
    site.log_in("viewer")
    site.told()

    site.browser.get("/?patient_id=PAT-1")

    (searched,) = site.told()
    assert searched.event == "Query"


def test_a_forbidden_act_is_an_alert(site: Site) -> None:
    site.log_in("viewer")
    site.told()

    assert site.browser.get("/accounts").status_code == 403

    (alert,) = site.told()
    assert (alert.type, alert.outcome) == ("Use of Restricted Function", "4")
    assert "/accounts" in alert.description
    assert any(actor.user_id == "viewer@node" for actor in alert.actors)


def test_a_form_that_is_not_of_the_session_is_an_alert(site: Site) -> None:
    site.log_in("administrator")
    site.told()

    for form in ({"how": "requeue"}, {"how": "requeue", "token": "0" * 64}):
        assert site.browser.post(f"/studies/{UID}/again", data=form).status_code == 403
        (alert,) = site.told()
        assert (alert.type, alert.outcome) == ("Use of Restricted Function", "4")
        assert f"/studies/{UID}/again" in alert.description
        assert any(actor.user_id == "administrator@node" for actor in alert.actors)


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"host": "evil.example"}, "Node Authentication"),
        ({"origin": "http://evil.example"}, "Use of Restricted Function"),
    ],
)
def test_who_comes_by_another_name_or_from_another_site_is_an_alert(
    site: Site, headers: dict[str, str], kind: str
) -> None:
    assert site.browser.post("/login", headers=headers, data={}).status_code in {403, 421}

    (alert,) = site.told()
    assert (alert.event, alert.type, alert.outcome) == ("Security Alert", kind, "4")
    assert "evil.example" in alert.description
    assert any(actor.user_id == "testclient" for actor in alert.actors)


def test_guesses_that_have_to_wait_are_told_as_well(site: Site) -> None:
    for _ in range(7):
        site.log_in("viewer", "wrong")

    assert [one.outcome for one in site.told()] == ["4"] * 7


def test_work_that_a_person_asked_for_is_told_with_it(site: Site) -> None:
    site.log_in("administrator")
    page = site.browser.get(f"/studies/{UID}/again?how=requeue").text
    token = page.split('name="token" value="')[1][:64]
    site.told()

    site.browser.post(f"/studies/{UID}/again", data={"token": token, "how": "requeue"}, follow_redirects=False)

    (changed,) = site.told()
    assert (changed.action, changed.details["act"]) == ("U", "requeue")
    assert changed.who.startswith("administrator@")


def test_without_the_ledger_nothing_is_shown(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from patchclip_node.domain.errors import LedgerUnavailableError

    site.log_in("viewer")

    def down(*_: object) -> None:
        raise LedgerUnavailableError("no")

    monkeypatch.setattr(site.ledger.audit, "record", down)
    answer = site.browser.get(f"/studies/{UID}")

    assert answer.status_code == 503
    assert "PAT-1" not in answer.text


def test_who_opened_a_patient_is_found_by_an_administrator_and_told(site: Site) -> None:
    site.log_in("viewer")
    site.browser.get(f"/studies/{UID}")
    assert site.browser.get("/audit?of=PAT-1").status_code == 403
    site.log_in("administrator")
    site.told()

    found = site.browser.get("/audit?of=PAT-1").text
    nothing = site.browser.get("/audit?of=PAT").text

    assert "viewer@" in found
    assert "says nothing of PAT" in nothing
    assert [one.event for one in site.told()] == ["Audit Log Used", "Audit Log Used"]


def test_what_a_person_loads_is_told_as_an_export(site: Site) -> None:
    bring_to(site.ledger, StudyState.RETURNED, "1.2.9")
    site.log_in("viewer")
    site.told()

    site.browser.get("/studies/1.2.9/results/1.2.9.9.1.0")

    (told,) = site.told()
    assert (told.event, told.study_uids, told.patient_ids) == ("Export", ("1.2.9",), ("PAT-1",))
