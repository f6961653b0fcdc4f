"""The status pages show what the ledger knows, change nothing, and trust nothing that a peer sent."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from starlette.testclient import TestClient

from patchclip_core.values.wording import RESEARCH_STATEMENT
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.reception_file import ReceptionFile
from patchclip_node.audit import events
from patchclip_node.domain.accounts import SessionPolicy
from patchclip_node.domain.backlog import BacklogLimit
from patchclip_node.domain.errors import LedgerUnavailableError, SpoolUnavailableError
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.recalls import EarlierResults
from patchclip_node.domain.reception import Reception
from patchclip_node.domain.records import WorkerRecord, WorkerRole
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import STANDARD_VARIANTS
from patchclip_node.ports.audit import AuditLane
from patchclip_node.services.analyse import AnalysisService, StudyAnalysis
from patchclip_node.services.health import AUDIT_LAGS_AFTER_S, HUNG_AFTER_S, LOST_AFTER_S
from patchclip_node.services.login import LoginDesk
from patchclip_node.services.recall import RecallService
from patchclip_node.services.release import ReleaseDesk
from patchclip_node.services.verdicts import VerdictDesk
from patchclip_node.web import create_app
from patchclip_node.web.gate import AllowedHosts
from patchclip_node.web.people import Access
from tests.support.analysis import FakeDecoder, OpacityEverywhere, radiograph_file, receive, result_issuer
from tests.support.fakes import FakeClock, MemorySpool, make_ledger, told_at_once
from tests.support.pages import loaded_by
from tests.support.studies import OWNER, POLICY, bring_to
from tests.support.synthetic import TRAINED
from tests.support.web import shown, slow_figures


@dataclass
class Site:
    """The pages and what is behind them."""

    folder: Path
    ledger: SqlLedger
    spool: MemorySpool
    clock: FakeClock
    browser: TestClient

    def analyse(self, analyzer: OpacityEverywhere | None = None, **attributes: Any) -> None:
        """Let one study arrive and be analysed."""
        receive(self.ledger, self.spool, radiograph_file(self.folder, "image.dcm", **attributes), self.clock.now())
        self.ledger.arrivals.close_quiet(self.clock.now(), 0)
        plan = ResultPlan({"pacs": STANDARD_VARIANTS})
        analysis = StudyAnalysis(self.spool, FakeDecoder(), analyzer or OpacityEverywhere(), result_issuer(), plan)
        service = AnalysisService(self.ledger.analyses, self.ledger.recalls, analysis, self.clock, POLICY, self.clock)
        assert service.run_one(OWNER)


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site; a test may give parts of what its pages show."""
    ledger, spool, clock = make_ledger(tmp_path), MemorySpool(tmp_path / "spool"), FakeClock()
    desk = LoginDesk(ledger.accounts, ledger.sessions, told_at_once(ledger), clock, SessionPolicy(60, 600))
    with TestClient(
        create_app(
            studies=ledger.studies,
            workload=ledger.workload,
            workers=ledger.workers,
            spool=spool,
            clock=clock,
            ae_title="PATCHCLIP",
            audit=ledger.audit,
            tell=told_at_once(ledger),
            overview=ledger.overview,
            alerts=ledger.alerts,
            figures=ledger.figures,
            slow=slow_figures(ledger),
            shown=replace(shown(ledger, spool), **getattr(request, "param", {})),
            hosts=AllowedHosts(["testserver"]),
            access=Access(
                desk,
                ledger.accounts,
                ledger.sessions,
                ledger.requeueing,
                RecallService(ledger.recalls, spool, clock),
                ReleaseDesk(ledger.gates, clock, EarlierResults.WITHDRAW),
                VerdictDesk(ledger.studies, ledger.verdicts, clock),
            ),
            reception=ReceptionFile(tmp_path).read,
        )
    ) as browser:
        yield Site(tmp_path, ledger, spool, clock, browser)
    ledger.close()


@pytest.mark.parametrize("site", [{"backlog": BacklogLimit(2), "analyses": False}], indirect=True)
def test_a_full_backlog_is_told_and_an_edge_misses_no_worker(site: Site) -> None:
    assert "images of new studies are refused" not in site.browser.get("/").text
    for uid in "12":
        bring_to(site.ledger, StudyState.RECEIVED, uid)

    page, troubles = site.browser.get("/").text, site.browser.get("/healthz").json()["troubles"]
    assert "2 / 2" in page
    assert "images of new studies are refused until 1 wait" in page
    assert any("limits.max_waiting_studies" in one for one in troubles)
    assert not any("no worker" in one for one in troubles)
    metrics = site.browser.get("/metrics").text
    assert "patchclip_waiting_studies 2.0" in metrics
    assert "patchclip_waiting_studies_limit 2.0" in metrics


def test_healthz_and_metrics_say_how_much_of_the_audit_trail_waits_and_why(site: Site) -> None:
    site.ledger.audit.follow(frozenset(AuditLane))
    site.ledger.audit.record(events.application_started(events.WEB, site.clock.now()))
    site.ledger.audit.take(AuditLane.SYSLOG, OWNER, site.clock.now(), 60, 10)
    site.ledger.audit.troubled(AuditLane.SYSLOG, OWNER, "it took nothing")
    since = site.clock.now()
    told = site.browser.get("/healthz").json()
    assert told["audit"]["syslog"] == {"waiting": 1, "since": str(since), "trouble": "it took nothing"}
    assert 'patchclip_audit_waiting{lane="syslog"} 1.0' in site.browser.get("/metrics").text

    site.clock.advance(AUDIT_LAGS_AFTER_S)

    answer = site.browser.get("/healthz")
    assert answer.status_code == 503
    (lag,) = [one for one in answer.json()["troubles"] if "for the collector" in one]
    assert lag.startswith("1 audit events wait")
    assert "it took nothing; see that the collector runs" in lag


def test_pages_and_healthz_say_how_the_receiver_is_doing(site: Site) -> None:
    assert site.browser.get("/healthz").json()["receiver"] == "no report"
    assert "no report" in site.browser.get("/").text

    busy = Reception(site.clock.now(), 11112, 300, 20, 20, {"no_place_left": 7})
    ReceptionFile(site.folder).write(busy)

    answer = site.browser.get("/healthz").json()["receiver"]
    assert (answer["waiting"], answer["associations"], answer["allowed"]) == (300, 20, 20)
    assert answer["troubles"] == {"no_place_left": 7}
    assert busy.in_words in site.browser.get("/").text

    site.clock.advance(60)
    assert site.browser.get("/healthz").json()["receiver"] == "no report"


def test_an_empty_node_says_how_to_send_a_study(site: Site) -> None:
    answer = site.browser.get("/")

    assert answer.status_code == 200
    assert "No study has arrived yet" in answer.text
    assert "<b>PATCHCLIP</b>" in answer.text


@pytest.mark.parametrize("path", ["/", "/studies/1.2.3", "/studies/9.9", "/nowhere"])
def test_every_page_says_that_it_is_research_and_carries_the_security_headers(site: Site, path: str) -> None:
    bring_to(site.ledger, StudyState.RECEIVED)

    answer = site.browser.get(path)

    assert RESEARCH_STATEMENT in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_the_list_shows_states_reasons_and_counts(site: Site) -> None:
    bring_to(site.ledger, StudyState.REJECTED, "1.2.1")
    bring_to(site.ledger, StudyState.FAILED, "1.2.2")

    page = site.browser.get("/").text

    assert "a lateral view" in page
    assert "it broke" in page
    assert re.search(r"failed <b>1</b>", page)


def test_the_list_can_be_filtered_by_state_and_patient(site: Site) -> None:
    bring_to(site.ledger, StudyState.REJECTED, "1.2.1")
    bring_to(site.ledger, StudyState.RECEIVING, "1.2.2")

    assert "/studies/1.2.1" not in site.browser.get("/?state=RECEIVING").text
    assert "/studies/1.2.2" in site.browser.get("/?state=RECEIVING").text
    assert "/studies/1.2.2" in site.browser.get("/?q=pat-1").text
    assert "No study matches" in site.browser.get("/?q=nobody").text


@pytest.mark.parametrize(
    "query", ["state=LOST", "page=-1", "page=x", "page=99999999", "sort=x", "since=31.1.2026", "until=x"]
)
def test_a_query_that_makes_no_sense_is_refused(site: Site, query: str) -> None:
    assert site.browser.get(f"/?{query}").status_code == 400


def test_a_long_list_has_pages(site: Site) -> None:
    for number in range(51):
        bring_to(site.ledger, StudyState.RECEIVING, f"1.2.{number}")

    first, second = site.browser.get("/"), site.browser.get("/?page=1")

    assert 'rel="next"' in first.text
    assert first.text.count('class="pill receiving"') == 50
    assert second.text.count('class="pill receiving"') == 1
    assert 'rel="prev"' in second.text


def test_hostile_names_are_shown_as_text(site: Site) -> None:
    site.analyse(PatientName="<script>alert(1)</script>", StudyDescription='"><img src=x onerror=alert(1)>')

    for path in ("/", "/studies/1.2.3"):
        page = site.browser.get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;" in page


def test_a_study_shows_findings_model_events_deliveries_and_its_overlay(site: Site) -> None:
    site.analyse()

    page = site.browser.get("/studies/1.2.3").text
    overlay = site.browser.get("/studies/1.2.3/1/overlays/0")

    assert "lung opacity" in page
    assert "87 %" in page
    assert OpacityEverywhere().identity.weights_digest in page
    assert "analysis finished" in page
    planned = r'<td data-label="Destination">pacs</td>\s*<td data-label="State"><span class="pill pending">'
    assert re.search(planned, page)
    assert 'src="/studies/1.2.3/1/overlays/0"' in page
    assert overlay.headers["content-type"] == "image/jpeg"
    assert overlay.content.startswith(b"\xff\xd8\xff")


def test_an_untrained_model_is_never_shown_without_its_warning(site: Site) -> None:
    site.analyse()

    assert "untrained model, without meaning" in site.browser.get("/").text
    assert "Untrained model." in site.browser.get("/studies/1.2.3").text


def test_a_trained_model_is_shown_without_that_warning(site: Site) -> None:
    site.analyse(OpacityEverywhere(identity=TRAINED))

    assert "ntrained model" not in site.browser.get("/").text
    assert "ntrained model" not in site.browser.get("/studies/1.2.3").text


@pytest.mark.parametrize(
    "path", ["/studies/1.2.3/2/overlays/0", "/studies/1.2.3/1/overlays/7", "/studies/9/1/overlays/0"]
)
def test_an_overlay_that_is_not_there_is_not_found(site: Site, path: str) -> None:
    site.analyse()

    assert site.browser.get(path).status_code == 404


def test_an_overlay_that_an_earlier_version_kept_is_shown_as_the_png_file_that_it_is(site: Site) -> None:
    site.analyse()
    kept = site.spool.write([b"\x89PNG\r\n"]).key
    (study,) = site.ledger.studies.find()
    assert study.summary_json is not None
    summary = json.loads(study.summary_json)
    summary["images"][0]["overlay_key"] = kept
    with closing(sqlite3.connect(site.folder / "ledger.sqlite", isolation_level=None)) as connection:
        connection.execute("UPDATE studies SET summary_json = ?", [json.dumps(summary)])

    assert site.browser.get("/studies/1.2.3/1/overlays/0").headers["content-type"] == "image/png"
    site.spool.files.clear()
    assert site.browser.get("/studies/1.2.3/1/overlays/0").status_code == 404


def test_an_overlay_whose_image_left_the_spool_is_not_found(site: Site) -> None:
    site.analyse()
    site.spool.files.clear()

    answer = site.browser.get("/studies/1.2.3/1/overlays/0")

    assert answer.status_code == 404
    assert "no longer in the spool" in answer.text


def test_an_overlay_that_cannot_be_drawn_just_now_may_be_asked_for_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.analyse()

    def away(_: str) -> NoReturn:
        raise SpoolUnavailableError("the store is away")

    monkeypatch.setattr(site.spool, "local_path", away)

    answer = site.browser.get("/studies/1.2.3/1/overlays/0")

    assert answer.status_code == 503
    assert "the store is away" in answer.text


def test_a_summary_of_another_version_does_not_break_the_page(site: Site) -> None:
    bring_to(site.ledger, StudyState.RETURNED)  # its summary is {}

    assert site.browser.get("/studies/1.2.3").status_code == 200


def test_nothing_can_be_changed_from_here(site: Site) -> None:
    bring_to(site.ledger, StudyState.FAILED)

    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert site.browser.request(method, "/studies/1.2.3").status_code == 405


def test_metrics_name_every_state(site: Site) -> None:
    bring_to(site.ledger, StudyState.FAILED)
    bring_to(site.ledger, StudyState.RECEIVED, "1.2.4")
    site.clock.advance(30)

    text = site.browser.get("/metrics").text

    for state in StudyState:
        assert f'patchclip_studies{{state="{state}"}}' in text
    assert 'patchclip_studies{state="FAILED"} 1.0' in text
    assert 'patchclip_due_work{work="analyse"} 1.0' in text
    assert "patchclip_oldest_unfinished_seconds 30.0" in text


def test_all_that_a_page_loads_is_served_here(site: Site) -> None:
    site.analyse()

    sources = [source for path in ("/", "/studies/1.2.3") for source in loaded_by(site.browser.get(path).text)]

    assert {"/static/base.css", "/static/style.css"} <= set(sources)
    assert {site.browser.get(source).status_code for source in sources} == {200}


def test_health_tells_whether_the_ledger_answers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*args: object) -> None:
        raise LedgerUnavailableError("the database restarts")

    site.ledger.workers.seen(WorkerRecord("here:1:1", site.clock.now()))
    site.ledger.workers.seen(WorkerRecord("here:2:2", site.clock.now(), role=WorkerRole.DELIVER))
    assert site.browser.get("/healthz").json()["status"] == "ok"
    monkeypatch.setattr(site.ledger.workload, "counts", down)
    monkeypatch.setattr(site.ledger.studies, "find", down)

    health, page = site.browser.get("/healthz"), site.browser.get("/")

    assert (health.status_code, health.json()["status"]) == (503, "unavailable")
    assert page.status_code == 503
    assert "the database restarts" in page.text


def test_health_does_not_wait_for_a_ledger_that_is_silent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr("patchclip_node.web.app.HEALTH_WITHIN_S", 0.2)
    monkeypatch.setattr(site.ledger.workload, "counts", lambda: answers.wait(30))

    health = site.browser.get("/healthz")
    answers.set()

    assert health.status_code == 503
    assert health.json() == {"status": "unavailable", "ledger": "the ledger gave no answer within 0.2 s"}


def test_a_hung_or_lost_worker_shows_in_health_and_metrics(site: Site) -> None:
    delivers = WorkerRecord("here:2:2", site.clock.now(), role=WorkerRole.DELIVER)
    site.ledger.workers.seen(WorkerRecord("here:1:1", site.clock.now(), working_since=site.clock.now()))
    site.ledger.workers.seen(delivers)
    assert site.browser.get("/healthz").status_code == 200
    site.clock.advance(LOST_AFTER_S)
    site.ledger.workers.seen(replace(delivers, seen_at=site.clock.now()))

    health, metrics = site.browser.get("/healthz"), site.browser.get("/metrics").text

    assert (health.status_code, health.json()["status"]) == (503, "trouble")
    assert "no worker was seen within 30 s" in health.json()["troubles"][0]
    assert 'patchclip_workers{role="work"} 0.0' in metrics
    assert 'patchclip_workers{role="deliver"} 1.0' in metrics
    assert "patchclip_troubles 1.0" in metrics
    site.ledger.workers.seen(
        WorkerRecord("here:1:1", site.clock.now(), site.clock.now() - timedelta(seconds=HUNG_AFTER_S), "no broker")
    )
    assert len(site.browser.get("/healthz").json()["troubles"]) == 2
    assert "patchclip_longest_work_seconds 300.0" in site.browser.get("/metrics").text
