from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.records import DeliveryState, FinishedAnalysis
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.ports.result_sender import Destination, SendOutcome
from patchclip_node.services.deliver import DeliveryService
from tests.support.fakes import START, FakeClock, FakeSender, MemorySpool, make_instance, make_result
from tests.support.studies import LEASE_S, OWNER, POLICY, only_revision

DESTINATIONS = [
    *(Destination(name, name.upper(), "127.0.0.1", 104) for name in ("pacs", "research")),
    Destination("old", "OLD", "127.0.0.1", 104, fallback=ResultVariant(ResultKind.SC)),
]


@pytest.fixture
def service(spool: MemorySpool, ledger: SqlLedger, sender: FakeSender, clock: FakeClock) -> DeliveryService:
    return DeliveryService(
        ledger.deliveries, spool, sender, clock, DESTINATIONS, replace(POLICY, delivery_attempts=3, backoff_max_s=15)
    )


REFUSED = SendOutcome(Path(), "does not accept this class", permanent=True, class_refused=True)


def analysed(
    ledger: SqlLedger, spool: MemorySpool, *destinations: str, uid: str = "1.2.3", picture: bool = False
) -> int:
    """Finish a study whose SR is b"sr" and whose SEG is b"seg", for each destination; none gets its picture."""
    ledger.arrivals.record(make_instance(uid))
    ledger.arrivals.close_quiet(START, 0)
    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None
    results = [
        make_result(f"{uid}.9.{kind.value}", kind, spool.write([kind.value.encode()]).key)
        for kind in (ResultKind.SR, ResultKind.SEG, *([ResultKind.SC] if picture else []))
    ]
    uids = [result.sop_instance_uid for result in results[:2]]
    ledger.analyses.finish(
        leased.study.id, OWNER, START, FinishedAnalysis(results, dict.fromkeys(destinations, uids), {}, "{}")
    )
    return leased.study.id


def states(ledger: SqlLedger, study_id: int) -> list[DeliveryState]:
    return [delivery.state for delivery in ledger.studies.deliveries(study_id)]


def test_nothing_due_is_no_work(service: DeliveryService, sender: FakeSender) -> None:
    assert service.run_one(OWNER) is False
    assert sender.associations == []


def test_all_results_go_over_one_association_and_the_study_is_returned(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    study_id = analysed(ledger, spool, "pacs")

    assert service.run_one(OWNER) is True

    assert sender.associations == ["pacs"]
    assert sender.received == [("pacs", b"sr"), ("pacs", b"seg")]
    assert states(ledger, study_id) == [DeliveryState.DELIVERED] * 2
    assert only_revision(ledger).state is StudyState.RETURNED
    assert service.run_one(OWNER) is False


def test_each_destination_gets_its_results(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    analysed(ledger, spool, "pacs", "research")

    assert [service.run_one(OWNER) for _ in range(3)] == [True, True, False]

    assert sender.associations == ["pacs", "research"]
    assert only_revision(ledger).state is StudyState.RETURNED


def test_a_destination_that_is_down_is_tried_again_later_and_later(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
) -> None:
    study_id = analysed(ledger, spool, "pacs")
    sender.unreachable = {"pacs"}

    service.run_one(OWNER)
    assert {one.not_before for one in ledger.studies.deliveries(study_id)} == {START + timedelta(seconds=10)}
    assert service.run_one(OWNER) is False
    clock.advance(10)
    service.run_one(OWNER)

    waiting = ledger.studies.deliveries(study_id)
    assert {one.not_before for one in waiting} == {clock.now() + timedelta(seconds=15)}  # 20 s, cut at the maximum
    assert {one.last_error for one in waiting} == {"pacs does not answer"}
    sender.unreachable = set()
    clock.advance(15)
    service.run_one(OWNER)
    assert only_revision(ledger).state is StudyState.RETURNED


def test_a_destination_that_does_not_answer_rests_and_keeps_no_other_study_and_no_other_destination_waiting(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
) -> None:
    for uid in ("1.2.3", "1.2.4"):
        analysed(ledger, spool, "pacs", "research", uid=uid)
    sender.unreachable = {"pacs"}

    assert [service.run_one(OWNER) for _ in range(4)] == [True, True, True, False]

    attempts = {
        (one.destination, one.attempts)
        for study in ledger.studies.find()
        for one in ledger.studies.deliveries(study.id)
    }
    assert attempts == {("pacs", 0), ("pacs", 1), ("research", 1)}, "one study has tried pacs, the other has waited"
    sender.unreachable = set()
    clock.advance(10)
    assert [service.run_one(OWNER) for _ in range(3)] == [True, True, False]
    assert {study.state for study in ledger.studies.find()} == {StudyState.RETURNED}


def test_when_the_attempts_are_used_up_the_study_fails_with_the_error(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
) -> None:
    study_id = analysed(ledger, spool, "pacs")
    sender.unreachable = {"pacs"}

    for _ in range(3):
        assert service.run_one(OWNER)
        clock.advance(60)

    assert states(ledger, study_id) == [DeliveryState.FAILED] * 2
    failed = only_revision(ledger)
    assert (failed.state, failed.error) == (StudyState.FAILED, "pacs: pacs does not answer")


def test_a_permanent_refusal_fails_at_once_and_the_rest_is_delivered(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    study_id = analysed(ledger, spool, "pacs")
    sender.errors[b"seg"] = SendOutcome(Path(), "0x0122 SOP class not supported", permanent=True)

    service.run_one(OWNER)

    assert states(ledger, study_id) == [DeliveryState.DELIVERED, DeliveryState.FAILED]
    assert only_revision(ledger).error == "pacs: 0x0122 SOP class not supported"


def test_what_was_delivered_is_not_sent_again_with_what_was_not(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
) -> None:
    study_id = analysed(ledger, spool, "pacs")
    sender.errors[b"seg"] = SendOutcome(Path(), "0xA700 out of resources")
    service.run_one(OWNER)
    assert states(ledger, study_id) == [DeliveryState.DELIVERED, DeliveryState.PENDING]
    del sender.errors[b"seg"]
    clock.advance(10)

    service.run_one(OWNER)

    assert sender.received == [("pacs", b"sr"), ("pacs", b"seg")]
    assert only_revision(ledger).state is StudyState.RETURNED


def test_pictures_go_instead_of_a_class_that_a_destination_refuses(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    study_id = analysed(ledger, spool, "old", picture=True)
    sender.errors[b"sr"] = sender.errors[b"seg"] = REFUSED

    while service.run_one(OWNER):
        pass

    assert sender.received == [("old", b"sc")]
    assert states(ledger, study_id) == [DeliveryState.REPLACED, DeliveryState.REPLACED, DeliveryState.DELIVERED]
    assert ledger.studies.deliveries(study_id)[0].last_error == "does not accept this class"
    assert only_revision(ledger).state is StudyState.RETURNED


def test_a_destination_that_refuses_pictures_as_well_fails(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    study_id = analysed(ledger, spool, "old", picture=True)
    sender.errors |= {b"sr": REFUSED, b"sc": REFUSED}

    while service.run_one(OWNER):
        pass

    assert states(ledger, study_id) == [DeliveryState.REPLACED, DeliveryState.DELIVERED, DeliveryState.FAILED]
    assert only_revision(ledger).state is StudyState.FAILED


@pytest.mark.parametrize(("destination", "picture"), [("pacs", True), ("old", False)])
def test_a_refused_class_fails_where_nothing_may_go_instead(
    service: DeliveryService,
    ledger: SqlLedger,
    spool: MemorySpool,
    sender: FakeSender,
    destination: str,
    picture: bool,
) -> None:
    study_id = analysed(ledger, spool, destination, picture=picture)
    sender.errors[b"sr"] = REFUSED

    service.run_one(OWNER)

    assert states(ledger, study_id) == [DeliveryState.FAILED, DeliveryState.DELIVERED]


def test_a_destination_that_is_configured_no_more_fails_by_name(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    analysed(ledger, spool, "former")

    service.run_one(OWNER)

    error = only_revision(ledger).error
    assert error is not None
    assert "no destination 'former'" in error
    assert sender.associations == []


def test_a_result_that_the_spool_lost_fails_and_the_rest_is_delivered(
    service: DeliveryService, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    study_id = analysed(ledger, spool, "pacs")
    spool.delete(ledger.studies.results(study_id)[0].result.spool_key)

    service.run_one(OWNER)

    assert states(ledger, study_id) == [DeliveryState.FAILED, DeliveryState.DELIVERED]
    assert sender.received == [("pacs", b"seg")]


def test_a_defect_of_the_sender_is_tried_again_and_logged(
    service: DeliveryService,
    ledger: SqlLedger,
    spool: MemorySpool,
    sender: FakeSender,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> list[SendOutcome]:
        raise ValueError("a defect")

    study_id = analysed(ledger, spool, "pacs")
    monkeypatch.setattr(sender, "send", broken)

    with capture_logs() as logs:
        service.run_one(OWNER)

    assert states(ledger, study_id) == [DeliveryState.PENDING] * 2
    assert {one.last_error for one in ledger.studies.deliveries(study_id)} == {"ValueError: a defect"}
    assert logs[0]["event"] == "delivery_defect"


def test_who_lost_the_lease_meanwhile_settles_nothing(
    service: DeliveryService,
    ledger: SqlLedger,
    spool: MemorySpool,
    sender: FakeSender,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = sender.send

    def slow(*arguments: object) -> list[SendOutcome]:
        ledger.leases.expire(START, [OWNER])
        return send(*arguments)  # type: ignore[arg-type]  # as wide as monkeypatch

    study_id = analysed(ledger, spool, "pacs")
    monkeypatch.setattr(sender, "send", slow)

    with capture_logs() as logs:
        assert service.run_one(OWNER)

    assert states(ledger, study_id) == [DeliveryState.PENDING] * 2
    assert [entry["event"] for entry in logs] == ["delivery_lease_lost"] * 2
