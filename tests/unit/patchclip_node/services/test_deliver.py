from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import DamagedFileError, SpoolUnavailableError, StorageFullError
from patchclip_node.domain.records import DeliveryState, FinishedAnalysis
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.ports.result_sender import Destination, SendOutcome
from patchclip_node.services.deliver import MAX_REST
from patchclip_node.settings import DestinationSettings, NodeSettings
from tests.support.bench import Bench
from tests.support.fakes import START, FakeClock, FakeSender, MemorySpool, make_instance, make_result
from tests.support.lanes import lane
from tests.support.studies import LEASE_S, OWNER, POLICY, only_revision

DESTINATIONS = [
    *(Destination(name, name.upper(), "127.0.0.1", 104) for name in ("pacs", "research")),
    Destination("old", "OLD", "127.0.0.1", 104, fallback=ResultVariant(ResultKind.SC)),
]


class Lanes:
    """A lane for each of DESTINATIONS; `pacs` was called `renamed` before."""

    def __init__(self, spool: MemorySpool, ledger: SqlLedger, sender: FakeSender, clock: FakeClock) -> None:
        policy = replace(POLICY, deliver_for_s=600, backoff_max_s=15)
        names = {"pacs": ("pacs", "renamed")}
        self.of = {
            one.name: lane(one, ledger, spool, sender, clock, policy, names.get(one.name, ())) for one in DESTINATIONS
        }

    def run_one(self, owner: str) -> bool:
        """Let the first lane that has something to do, do it."""
        return any(lane.run_one(owner) for lane in self.of.values())


@pytest.fixture
def service(spool: MemorySpool, ledger: SqlLedger, sender: FakeSender, clock: FakeClock) -> Lanes:
    return Lanes(spool, ledger, sender, clock)


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


def whole(ledger: SqlLedger, spool: MemorySpool, clock: FakeClock, folder: Path) -> tuple[Bench, int]:
    """Analyse a study whose report and segmentation are for `old`."""
    old = DestinationSettings(name="old", ae_title="OLD", host="127.0.0.1", port=104)
    bench = Bench(folder, ledger, spool, clock=clock, destinations=(old,))
    bench.arrive()
    assert bench.run_one()
    return bench, bench.study().id


def full(*_: object, **__: object) -> NoReturn:
    raise StorageFullError("no room")


def states(ledger: SqlLedger, study_id: int) -> list[DeliveryState]:
    return [delivery.state for delivery in ledger.studies.deliveries(study_id)]


def test_nothing_due_is_no_work(service: Lanes, sender: FakeSender) -> None:
    assert service.run_one(OWNER) is False
    assert sender.associations == []


def test_all_results_go_over_one_association_and_the_study_is_returned(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    study_id = analysed(ledger, spool, "pacs")

    assert service.run_one(OWNER) is True

    assert sender.associations == ["pacs"]
    assert sender.received == [("pacs", b"sr"), ("pacs", b"seg")]
    assert states(ledger, study_id) == [DeliveryState.DELIVERED] * 2
    assert only_revision(ledger).state is StudyState.RETURNED
    assert service.run_one(OWNER) is False


def test_each_destination_gets_its_results(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    analysed(ledger, spool, "pacs", "research")

    assert [service.run_one(OWNER) for _ in range(3)] == [True, True, False]

    assert sender.associations == ["pacs", "research"]
    assert only_revision(ledger).state is StudyState.RETURNED


def test_a_destination_that_is_down_is_tried_again_later_and_later(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
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
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
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


def test_a_destination_that_is_down_costs_nothing_until_the_time_is_up_however_often_it_was_tried(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
) -> None:
    study_id = analysed(ledger, spool, "pacs")
    sender.unreachable = {"pacs"}

    while clock.now() < START + timedelta(seconds=590):
        service.run_one(OWNER)
        clock.advance(5)
    waiting = ledger.studies.deliveries(study_id)
    clock.advance(10)
    assert service.run_one(OWNER)

    assert {one.state for one in waiting} == {DeliveryState.PENDING}
    assert min(one.attempts for one in waiting) > 20
    assert states(ledger, study_id) == [DeliveryState.FAILED] * 2
    failed = only_revision(ledger)
    assert (failed.state, failed.error) == (StudyState.FAILED, "pacs: pacs does not answer")


def test_after_a_long_outage_all_that_waited_goes_within_the_longest_rest(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
) -> None:
    for number in range(5):
        analysed(ledger, spool, "pacs", uid=f"1.{number}")
    sender.unreachable = {"pacs"}
    for _ in range(100):
        service.run_one(OWNER)
        clock.advance(5)

    sender.unreachable = set()
    clock.advance(MAX_REST.total_seconds())
    while service.run_one(OWNER):
        pass

    assert {study.state for study in ledger.studies.find()} == {StudyState.RETURNED}


def test_an_association_that_broke_is_a_reason_to_rest(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
) -> None:
    analysed(ledger, spool, "pacs")
    analysed(ledger, spool, "pacs", uid="1.9")
    sender.errors |= {
        b"sr": SendOutcome(Path(), "ended", broken=True),
        b"seg": SendOutcome(Path(), "ended", broken=True),
    }

    assert [service.run_one(OWNER) for _ in range(2)] == [True, False]
    clock.advance(10)
    sender.errors.clear()
    assert [service.run_one(OWNER) for _ in range(3)] == [True, True, False]
    assert {study.state for study in ledger.studies.find()} == {StudyState.RETURNED}


def test_a_patient_conflict_waits_for_a_person_and_is_sent_again_when_told(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
) -> None:
    study_id = analysed(ledger, spool, "pacs", "research")
    conflict = SendOutcome(Path(), "0xA779 another patient", conflict=True)
    sender.errors |= {b"sr": conflict, b"seg": conflict}
    service.of["pacs"].run_one(OWNER)
    sender.errors.clear()
    service.of["research"].run_one(OWNER)

    clock.advance(86_400)
    assert service.run_one(OWNER) is False
    assert states(ledger, study_id).count(DeliveryState.CONFLICT) == 2
    study = only_revision(ledger)
    assert (study.state, study.error) == (StudyState.PARTLY_RETURNED, "pacs: 0xA779 another patient")
    ledger.requeueing.requeue("1.2.3", clock.now())
    assert service.run_one(OWNER)
    assert only_revision(ledger).state is StudyState.RETURNED
    assert sender.received[-2:] == [("pacs", b"sr"), ("pacs", b"seg")]


def test_a_permanent_refusal_fails_at_once_and_the_rest_is_delivered(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    study_id = analysed(ledger, spool, "pacs")
    sender.errors[b"seg"] = SendOutcome(Path(), "0x0122 SOP class not supported", permanent=True)

    service.run_one(OWNER)

    assert states(ledger, study_id) == [DeliveryState.DELIVERED, DeliveryState.FAILED]
    assert only_revision(ledger).error == "pacs: 0x0122 SOP class not supported"


def test_what_was_delivered_is_not_sent_again_with_what_was_not(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
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
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    study_id = analysed(ledger, spool, "old", picture=True)
    sender.errors[b"sr"] = sender.errors[b"seg"] = REFUSED

    while service.run_one(OWNER):
        pass

    assert sender.received == [("old", b"sc")]
    assert states(ledger, study_id) == [DeliveryState.REPLACED, DeliveryState.REPLACED, DeliveryState.DELIVERED]
    assert ledger.studies.deliveries(study_id)[0].last_error == "does not accept this class"
    assert only_revision(ledger).state is StudyState.RETURNED


def test_pictures_are_drawn_where_they_are_wanted_first(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock, tmp_path: Path
) -> None:
    bench, study_id = whole(ledger, spool, clock, tmp_path)
    before = set(spool.files)
    for content in [spool.files[one.result.spool_key] for one in ledger.studies.results(study_id)]:
        sender.errors[content] = REFUSED

    while service.run_one(OWNER):
        pass

    assert states(ledger, study_id) == [DeliveryState.REPLACED, DeliveryState.REPLACED, DeliveryState.DELIVERED]
    (name, content), (drawn,) = sender.received[0], set(spool.files) - before
    assert (name, content) == ("old", spool.files[drawn])
    assert [one.result.kind for one in ledger.studies.results(study_id)][-1] is ResultKind.SC
    assert bench.study().state is StudyState.RETURNED


def test_pictures_that_cannot_be_drawn_just_now_are_waited_for(
    service: Lanes,
    ledger: SqlLedger,
    spool: MemorySpool,
    sender: FakeSender,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, study_id = whole(ledger, spool, clock, tmp_path)
    for content in [spool.files[one.result.spool_key] for one in ledger.studies.results(study_id)]:
        sender.errors[content] = REFUSED
    with monkeypatch.context() as patched:
        patched.setattr(spool, "write", full)
        service.run_one(OWNER)
    assert states(ledger, study_id) == [DeliveryState.PENDING] * 2
    assert len(ledger.studies.results(study_id)) == 2

    clock.advance(600 - 1)
    while service.run_one(OWNER):
        pass

    assert states(ledger, study_id)[-1] is DeliveryState.DELIVERED


def test_a_destination_that_refuses_pictures_as_well_fails(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    study_id = analysed(ledger, spool, "old", picture=True)
    sender.errors |= {b"sr": REFUSED, b"sc": REFUSED}

    while service.run_one(OWNER):
        pass

    assert states(ledger, study_id) == [DeliveryState.REPLACED, DeliveryState.DELIVERED, DeliveryState.FAILED]
    assert only_revision(ledger).state is StudyState.FAILED


@pytest.mark.parametrize(("destination", "picture"), [("pacs", True), ("old", False)])
def test_a_refused_class_fails_where_nothing_may_go_instead(
    service: Lanes,
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


def test_what_waits_for_a_destination_that_is_configured_no_more_goes_on_waiting(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, clock: FakeClock
) -> None:
    study_id = analysed(ledger, spool, "former")

    clock.advance(30 * 86_400)
    assert service.run_one(OWNER) is False

    assert states(ledger, study_id) == [DeliveryState.PENDING] * 2
    assert ledger.workload.waiting_by_destination() == {"former": 1}


def test_a_destination_gets_what_waits_under_its_former_name(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    analysed(ledger, spool, "renamed")

    assert service.run_one(OWNER)

    assert sender.received == [("pacs", b"sr"), ("pacs", b"seg")]
    assert only_revision(ledger).state is StudyState.RETURNED


def test_a_result_that_the_spool_lost_fails_and_the_rest_is_delivered(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender
) -> None:
    study_id = analysed(ledger, spool, "pacs")
    spool.delete(ledger.studies.results(study_id)[0].result.spool_key)

    service.run_one(OWNER)

    assert states(ledger, study_id) == [DeliveryState.FAILED, DeliveryState.DELIVERED]
    assert sender.received == [("pacs", b"seg")]


def test_a_defect_of_the_sender_is_tried_again_and_logged(
    service: Lanes,
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
    service: Lanes,
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


def test_an_archive_that_is_down_from_friday_to_monday_costs_nothing_with_the_defaults(
    spool: MemorySpool, ledger: SqlLedger, sender: FakeSender, clock: FakeClock
) -> None:
    policy = NodeSettings().work_policy
    pacs = lane(DESTINATIONS[0], ledger, spool, sender, clock, policy)
    study_id = analysed(ledger, spool, "pacs")
    sender.unreachable = {"pacs"}
    for _ in range(62):  # Friday 18:00 to Monday 8:00
        assert pacs.run_one(OWNER)
        clock.advance(3600)
    waiting = ledger.studies.deliveries(study_id)
    assert {one.state for one in waiting} == {DeliveryState.PENDING}
    assert {one.attempts for one in waiting} == {62}
    sender.unreachable = set()

    assert pacs.run_one(OWNER)

    assert only_revision(ledger).state is StudyState.RETURNED
    assert len(sender.received) == 2


def test_while_the_store_is_away_nothing_is_leased(
    service: Lanes, ledger: SqlLedger, spool: MemorySpool, sender: FakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = analysed(ledger, spool, "pacs")
    with monkeypatch.context() as away:
        away.setattr(spool, "trouble", lambda: "the store does not answer")
        assert service.run_one(OWNER) is False
    assert {one.attempts for one in ledger.studies.deliveries(study_id)} == {0}
    assert sender.associations == []

    assert service.run_one(OWNER) is True
    assert states(ledger, study_id) == [DeliveryState.DELIVERED] * 2


@pytest.mark.parametrize("error", [SpoolUnavailableError("the store is away"), DamagedFileError("it is damaged")])
def test_a_result_that_cannot_be_read_now_is_sent_later(
    service: Lanes,
    ledger: SqlLedger,
    spool: MemorySpool,
    sender: FakeSender,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    study_id = analysed(ledger, spool, "pacs")

    def fails(_: str) -> None:
        raise error

    with monkeypatch.context() as away:
        away.setattr(spool, "local_path", fails)
        assert service.run_one(OWNER) is True
    assert states(ledger, study_id) == [DeliveryState.PENDING] * 2
    assert {one.last_error for one in ledger.studies.deliveries(study_id)} == {str(error)}
    clock.advance(600)

    assert service.run_one(OWNER) is True
    assert states(ledger, study_id) == [DeliveryState.DELIVERED] * 2
