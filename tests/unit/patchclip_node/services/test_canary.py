"""The canary says how far a study came, one process sends it, and nothing of one that came through stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import dcmread

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.trial_patient import CANARY_ID, PATIENT_NAME
from patchclip_node.ports.result_sender import Destination, SendOutcome
from patchclip_node.services.alerts import conditions
from patchclip_node.services.alerts.canary import Canary
from tests.support.fakes import FakeClock, FakeSender, make_instance, make_ledger
from tests.support.studies import OWNER, POLICY

US = Destination("this node", "PATCHCLIP", "127.0.0.1", 104)
EVERY_S = 3600.0


class Receiver(FakeSender):
    """Takes a canary as the node's receiver would, and lets become of it what `then` does."""

    def __init__(self, ledger: SqlLedger, clock: FakeClock) -> None:
        super().__init__()
        self.ledger, self.clock = ledger, clock
        self.then: Callable[[str], None] = lambda _: None
        self.patients: list[tuple[str, str]] = []

    def send(self, destination: Destination, paths: Sequence[Path]) -> list[SendOutcome]:
        (path,) = paths
        outcomes = super().send(destination, [path])
        image = dcmread(path)
        self.patients.append((str(image.PatientName), str(image.PatientID)))
        self.ledger.arrivals.record(
            make_instance(str(image.StudyInstanceUID), patient_id=CANARY_ID, received_at=self.clock.now())
        )
        self.then(str(image.StudyInstanceUID))
        return outcomes


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    made = make_ledger(tmp_path)
    yield made
    made.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def receiver(ledger: SqlLedger, clock: FakeClock) -> Receiver:
    return Receiver(ledger, clock)


def canary(ledger: SqlLedger, receiver: Receiver, clock: FakeClock, owner: str = "me") -> Canary:
    def forget(uid: str) -> bool:
        return ledger.retention.forget(uid, [], clock.now())

    return Canary(
        ledger.duties, ledger.studies, forget, receiver, lambda: US, clock, owner, EVERY_S, 0.3, threading.Event()
    )


def rejected(ledger: SqlLedger, clock: FakeClock) -> Callable[[str], None]:
    def then(_: str) -> None:
        ledger.arrivals.close_quiet(clock.advance(10), 5, 3600)
        while (leased := ledger.analyses.lease(clock.now(), OWNER, POLICY.lease_s)) is not None:
            ledger.analyses.reject(leased.study.id, OWNER, clock.now(), "no decoder", {})

    return then


def test_the_first_goes_after_an_interval_and_each_is_of_no_patient(
    ledger: SqlLedger, receiver: Receiver, clock: FakeClock
) -> None:
    sends = canary(ledger, receiver, clock)

    assert not sends.run_once(), "a node that starts is not asked at once"
    clock.advance(EVERY_S)
    assert [canary(ledger, receiver, clock, "another").run_once(), sends.run_once()] == [True, False]
    assert receiver.patients == [(PATIENT_NAME, CANARY_ID)]


def test_one_that_does_not_arrive_says_why(ledger: SqlLedger, receiver: Receiver, clock: FakeClock) -> None:
    sends = canary(ledger, receiver, clock)
    sends.run_once()
    clock.advance(EVERY_S)
    receiver.unreachable.add(US.name)

    assert sends.run_once()

    (found,) = conditions.canary(ledger.duties.duty("canary"), clock.now(), 3 * EVERY_S)
    assert found.detail.endswith("through the node: it was not received: this node does not answer")


def test_one_that_stays_says_where_and_goes_with_the_next(
    ledger: SqlLedger, receiver: Receiver, clock: FakeClock
) -> None:
    sends = canary(ledger, receiver, clock)
    sends.run_once()
    clock.advance(EVERY_S)
    sends.run_once()
    (found,) = conditions.canary(ledger.duties.duty("canary"), clock.now(), 3 * EVERY_S)
    assert "it was received, and is RECEIVING after 0.3 s" in found.detail

    clock.advance(EVERY_S)
    receiver.then = rejected(ledger, clock)
    sends.run_once()

    (found,) = conditions.canary(ledger.duties.duty("canary"), clock.now(), 3 * EVERY_S)
    assert "ended REJECTED: no decoder" in found.detail
    assert StudyState.REJECTED not in [one.state for one in ledger.studies.find(patient_id=CANARY_ID)]


def test_none_for_long_is_told_too(ledger: SqlLedger, receiver: Receiver, clock: FakeClock) -> None:
    canary(ledger, receiver, clock).run_once()
    duty = ledger.duties.duty("canary")

    assert list(conditions.canary(duty, clock.now() + timedelta(seconds=2 * EVERY_S - 1), 2 * EVERY_S)) == []
    (found,) = conditions.canary(duty, clock.now() + timedelta(seconds=2 * EVERY_S), 2 * EVERY_S)
    assert found.detail.startswith("no canary study has gone through the node since ")
