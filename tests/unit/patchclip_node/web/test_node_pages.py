"""Queue, peers, model, figures and the audit trail, as pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from patchclip_core.errors import CheckpointError
from patchclip_node.domain.overview import Bucket
from patchclip_node.domain.records import Priority
from patchclip_node.domain.states import StudyState
from patchclip_node.web.node_pages import bars, turnarounds
from tests.support.fakes import START, make_instance
from tests.support.studies import OWNER, bring_to
from tests.unit.patchclip_node.web.test_web import Site, site

__all__ = ["site"]


def test_the_queue_is_shown_in_the_order_of_its_turn(site: Site) -> None:
    bring_to(site.ledger, StudyState.ANALYSED, "1.0")
    bring_to(site.ledger, StudyState.ANALYSING, "1.1")
    for number, priority in ((2, Priority.ROUTINE), (3, Priority.STAT)):
        site.ledger.arrivals.record(
            make_instance(f"1.{number}", received_at=START + timedelta(seconds=number), priority=priority)
        )
    site.ledger.arrivals.close_quiet(START + timedelta(seconds=9), 0)
    site.ledger.arrivals.record(make_instance("1.4"))

    page = site.browser.get("/queue").text

    turns = [page.index(f'href="/studies/1.{number}"') for number in (1, 3, 2, 4, 0)]
    assert turns == sorted(turns)


def test_peers_are_shown_with_what_deliveries_say_of_them(site: Site) -> None:
    assert "not tried" in site.browser.get("/peers").text
    bring_to(site.ledger, StudyState.PARTLY_RETURNED, "1.1")

    page = site.browser.get("/peers").text

    assert page.index(">pacs<") < page.index(">well<") < page.index(">research<") < page.index(">trouble<")
    assert "not in the settings any more" in page
    assert "refused" in page
    assert "pacs.example:104" in page
    (sender,) = site.ledger.overview.senders(10)
    assert (sender.instances, sender.ae_title in page) == (1, True)


def test_what_waits_for_its_next_try_says_why(site: Site) -> None:
    bring_to(site.ledger, StudyState.RETURNING, "1.1")
    (one,) = site.ledger.studies.deliveries(site.ledger.studies.find()[0].id)
    site.ledger.deliveries.postpone(one.id, OWNER, START, "it does not answer", START + timedelta(hours=1))

    assert "it does not answer" in site.browser.get("/queue").text
    assert ">waiting<" in site.browser.get("/peers").text


def test_the_model_is_shown_by_its_card(site: Site) -> None:
    page = site.browser.get("/model", headers={"accept-language": "fr"}).text

    assert "patchclip-demo" in page
    assert "AUC" in page
    assert "Sensibilité" in page


def test_a_model_without_a_card_is_named_with_its_trouble(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise CheckpointError("there is no checkpoint 'x'")

    monkeypatch.setattr("patchclip_core.checkpoints.checkpoint.read_card", none)

    assert "there is no checkpoint" in site.browser.get("/model").text


def test_figures_count_each_study_once_in_its_time(site: Site) -> None:
    now = site.clock.now()
    for number, hours in enumerate((0, 0, 5, 30)):
        site.ledger.arrivals.record(make_instance(f"1.{number}", received_at=now - timedelta(hours=hours)))
    hour = timedelta(hours=1)

    found = site.ledger.overview.arrivals(now + hour, hour, 24)

    assert [bucket.total for bucket in found if bucket.total] == [1, 2]
    assert site.browser.get("/figures").text.count("<svg") == 3


def test_bars_are_as_high_as_their_counts() -> None:
    day = datetime(2026, 1, 2, tzinfo=UTC)
    low, high = (Bucket(day, {StudyState.RETURNED: 1}), Bucket(day, {StudyState.RETURNED: 3, StudyState.FAILED: 1}))

    first, second = bars([low, high], "%d.")

    assert (first.height, first.bad, first.label) == (0.25, 0.0, "02.")
    assert (second.height, second.bad, second.failed) == (1.0, 0.25, 1)
    assert [bar.height for bar in bars([Bucket(day, {})], "%d.")] == [0.0]
    assert [bar.count for bar in turnarounds([1, 4.9, 5, 7200])][:2] == [2, 1]
    assert turnarounds([7200])[-1].count == 1
