"""Times and probabilities are kept with the change that they are of."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger, measuring
from patchclip_node.domain.records import FinishedAnalysis
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.steps import BOUNDS_S, Step
from tests.support.fakes import START, make_instance, make_result
from tests.support.studies import DESTINATION, LEASE_S, OWNER

DIGEST = "sha256:0"


def go_a_way(ledger: SqlLedger, uid: str, scores: list[tuple[str, float]]) -> None:
    """Closed after 5 s, leased 2 s later, analysed, and returned a minute after its first image."""
    ledger.arrivals.record(make_instance(uid))
    ledger.arrivals.close_quiet(START + timedelta(seconds=5), 5, 3600)
    leased = ledger.analyses.lease(START + timedelta(seconds=7), OWNER, LEASE_S)
    assert leased is not None
    result = make_result(f"{uid}.9")
    finished = FinishedAnalysis(
        [result],
        {DESTINATION: [f"{uid}.9"]},
        {},
        "{}",
        DIGEST,
        seconds={"model": 1.5, "decode": 0.2, "unknown": 9.0},
        scores=scores,
    )
    ledger.analyses.finish(leased.study.id, OWNER, START + timedelta(seconds=10), finished)
    delivery = ledger.deliveries.lease(START + timedelta(seconds=11), OWNER, LEASE_S, [DESTINATION])
    assert delivery is not None
    ledger.deliveries.confirm(delivery.deliveries[0].id, OWNER, START + timedelta(seconds=60))


def test_each_step_of_a_way_is_counted_once(ledger: SqlLedger) -> None:
    for number in range(2):
        go_a_way(ledger, f"1.{number}", [])

    times = {one.step: one for one in ledger.figures.times()}

    assert {step: (sum(one.numbers), one.total_s) for step, one in times.items() if sum(one.numbers)} == {
        Step.RECEIVE: (2, 10.0),
        Step.WAIT: (2, 4.0),
        Step.DECODE: (2, pytest.approx(0.4)),
        Step.MODEL: (2, 3.0),
        Step.DELIVER: (2, 100.0),
        Step.WHOLE: (2, 120.0),
    }
    assert times[Step.WHOLE].numbers[BOUNDS_S.index(60.0)] == 2, "an end belongs to its class"


def test_the_last_probabilities_of_a_model_are_kept_and_no_more(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "KEPT_SCORES", 4)
    for number in range(3):
        go_a_way(ledger, f"1.{number}", [("opacity", number / 10), ("effusion", 0.5)])

    assert ledger.figures.probabilities(DIGEST) == {"opacity": [0.1, 0.2], "effusion": [0.5, 0.5]}
    assert ledger.figures.probabilities("another") == {}


def test_the_oldest_of_each_state_is_told(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance("1.1"))
    ledger.arrivals.record(make_instance("1.2", received_at=START + timedelta(seconds=30)))

    assert ledger.figures.oldest([StudyState.RECEIVING, StudyState.RECEIVED]) == {StudyState.RECEIVING: START}
