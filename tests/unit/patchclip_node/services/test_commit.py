"""A destination with `confirm: commitment` has a result once it commits to it, whichever way that comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.records import DeliveryRecord, DeliveryState, FinishedAnalysis
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import ResultKind
from patchclip_node.ports.result_sender import Destination, SendOutcome
from patchclip_node.services.commit import CommitmentReports
from patchclip_node.services.deliver import DeliveryLane
from tests.support.fakes import START, FakeClock, FakeSender, MemorySpool, make_instance, make_result
from tests.support.lanes import lane
from tests.support.studies import LEASE_S, OWNER, POLICY, only_revision

PACS = Destination("pacs", "PACS", "127.0.0.1", 104, confirm=Confirmation.COMMITMENT)
COMMIT_S = POLICY.commit_within_s


class Site:
    """A study with a report and a segmentation on its way to a destination that commits."""

    def __init__(self, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock) -> None:
        self.ledger, self.sender, self.clock = ledger, sender, clock
        self.lane: DeliveryLane = lane(PACS, ledger, spool, sender, clock, POLICY)
        self.reports = CommitmentReports(ledger.commitments, clock, POLICY)
        ledger.arrivals.record(make_instance())
        ledger.arrivals.close_quiet(START, 0)
        leased = ledger.analyses.lease(START, OWNER, LEASE_S)
        assert leased is not None
        results = [
            make_result(f"1.2.3.9.{number}", kind, spool.write([kind.value.encode()]).key)
            for number, kind in enumerate((ResultKind.SR, ResultKind.SEG))
        ]
        uids = [one.sop_instance_uid for one in results]
        ledger.analyses.finish(leased.study.id, OWNER, START, FinishedAnalysis(results, {"pacs": uids}, {}, "{}"))

    def deliveries(self) -> list[DeliveryRecord]:
        return self.ledger.studies.deliveries(only_revision(self.ledger).id)

    def states(self) -> list[DeliveryState]:
        return [one.state for one in self.deliveries()]


@pytest.fixture
def site(ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock) -> Site:
    return Site(ledger, spool, sender, clock)


def all_kept(request: CommitmentRequest) -> CommitmentReport:
    return CommitmentReport(request.transaction_uid, request.objects, {})


def first_failed(request: CommitmentRequest) -> CommitmentReport:
    return CommitmentReport(request.transaction_uid, request.objects[1:], {request.objects[0]: 0x0112})


@pytest.mark.parametrize("over_the_same_association", [True, False])
def test_a_study_is_returned_when_all_its_results_are_committed_to(site: Site, over_the_same_association: bool) -> None:
    if over_the_same_association:
        site.sender.answer = all_kept
    assert site.lane.run_one(OWNER)
    (asked,) = site.sender.asked
    assert {one.sop_instance_uid for one in asked.objects} == {"1.2.3.9.0", "1.2.3.9.1"}
    if not over_the_same_association:
        assert site.states() == [DeliveryState.SENT] * 2
        assert only_revision(site.ledger).state is StudyState.RETURNING
        site.reports.take(all_kept(asked))

    assert site.states() == [DeliveryState.DELIVERED] * 2
    assert only_revision(site.ledger).state is StudyState.RETURNED
    assert len(site.sender.received) == 2


def test_what_is_not_committed_to_is_sent_again_alone_and_says_why(site: Site) -> None:
    site.sender.answer = first_failed
    site.lane.run_one(OWNER)

    first, second = site.deliveries()
    assert (first.state, second.state) == (DeliveryState.PENDING, DeliveryState.DELIVERED)
    assert "0x0112 (no such object there)" in str(first.last_error)
    assert not site.lane.run_one(OWNER)
    site.sender.answer = all_kept
    site.clock.advance(POLICY.backoff_s)
    assert site.lane.run_one(OWNER)

    assert only_revision(site.ledger).state is StudyState.RETURNED
    assert [content for _, content in site.sender.received] == [b"sr", b"seg", b"sr"]


def test_a_report_that_does_not_come_in_time_lets_the_results_be_sent_again(site: Site) -> None:
    site.lane.run_one(OWNER)
    site.clock.advance(COMMIT_S - 1)
    assert not site.lane.run_one(OWNER)
    site.clock.advance(1)

    assert site.lane.run_one(OWNER)
    late, asked = site.sender.asked
    assert late.transaction_uid != asked.transaction_uid
    assert {one.last_error for one in site.deliveries()} == {
        "it was taken and asked for, and no storage commitment came in time"
    }
    site.reports.take(all_kept(late))  # of a transaction that is over
    assert site.states() == [DeliveryState.SENT] * 2
    site.reports.take(all_kept(asked))
    assert only_revision(site.ledger).state is StudyState.RETURNED


def test_a_destination_that_never_commits_fails_after_the_time_of_a_delivery(site: Site) -> None:
    while site.clock.now() < START.replace(hour=START.hour + 1):
        site.lane.run_one(OWNER)
        assert only_revision(site.ledger).state is StudyState.RETURNING
        site.clock.advance(COMMIT_S)
    site.lane.run_one(OWNER)

    study = only_revision(site.ledger)
    assert study.state is StudyState.FAILED
    assert "never committed to" in str(study.error)


def test_a_destination_that_does_not_take_the_request_is_asked_again_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = site.sender.send

    def goes_down_after(destination: Destination, paths: Sequence[Path]) -> list[SendOutcome]:
        outcomes = send(destination, paths)
        site.sender.unreachable = {"pacs"}
        return outcomes

    monkeypatch.setattr(site.sender, "send", goes_down_after)
    site.lane.run_one(OWNER)

    assert site.states() == [DeliveryState.PENDING] * 2
    assert all(one.last_error for one in site.deliveries())
    monkeypatch.undo()
    site.sender.unreachable = set()
    site.sender.answer = all_kept
    site.clock.advance(POLICY.backoff_s)
    site.lane.run_one(OWNER)
    assert only_revision(site.ledger).state is StudyState.RETURNED


@pytest.mark.parametrize(
    "report",
    [
        lambda request: replace(all_kept(request), transaction_uid="2.25.1"),
        lambda request: CommitmentReport(request.transaction_uid, (), {}),
    ],
    ids=["of another transaction", "of no object"],
)
def test_a_report_that_does_not_name_an_object_settles_nothing(
    site: Site, report: Callable[[CommitmentRequest], CommitmentReport]
) -> None:
    site.lane.run_one(OWNER)
    site.reports.take(report(site.sender.asked[0]))

    assert site.states() == [DeliveryState.SENT] * 2


def test_who_was_killed_before_it_asked_sends_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(site.sender, "request_commitment", killed)
        with pytest.raises(KeyboardInterrupt):
            site.lane.run_one(OWNER)
    assert site.states() == [DeliveryState.SENT] * 2
    site.sender.answer = all_kept
    site.clock.advance(COMMIT_S)
    assert site.lane.run_one(f"{OWNER}2")

    assert only_revision(site.ledger).state is StudyState.RETURNED
