"""Alerts in the ledger: told once whoever looks, kept until they went, and never by two processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from patchclip_core.io.selection import RADIOGRAPHY_MODALITIES
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.alerts import AlertKind, AlertMessage, AlertPolicy, News
from patchclip_node.domain.backlog import BacklogLimit
from patchclip_node.domain.errors import PeerError
from patchclip_node.domain.records import ReceivedInstance
from patchclip_node.domain.rhythm import ExpectedSender
from patchclip_node.domain.trial_patient import CANARY_ID
from patchclip_node.services.alerts.post import BACKOFF, GIVES_UP_AFTER, LEASE_S, AlertPost
from patchclip_node.services.alerts.watch import AlertWatch, WatchPlan
from tests.support.fakes import START, FakeClock, MemorySpool, make_instance

PLAN = WatchPlan(
    policy=AlertPolicy(after_s=0, repeat_s=86_400, grew_s=3600),
    look_s=10,
    outage_s=300,
    backlog=BacklogLimit(),
    analyses=True,
    least_free_bytes=0,
    certificate_days=30,
    senders=(),
    learns_senders=True,
    canary_late_s=None,
    modalities=RADIOGRAPHY_MODALITIES,
    channels=("mail",),
    whose=("PATCHCLIP", "node-1", ""),
)
NOBODY = {(AlertKind.WORKER, ""), (AlertKind.DELIVERER, "")}
"""What is wrong in a ledger to which no process has ever said that it lives."""

Watch = Callable[..., AlertWatch]


class Channel:
    """Takes messages, unless it is down."""

    def __init__(self) -> None:
        self.took: list[AlertMessage] = []
        self.down = False

    def send(self, message: AlertMessage) -> None:
        if self.down:
            raise PeerError("the mail server can't be reached: Connection refused")
        self.took.append(message)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def watch(ledger: SqlLedger, clock: FakeClock, tmp_path: Path) -> Watch:
    ledger.alerts.follow(["mail"])
    spool = MemorySpool(tmp_path)

    def made(owner: str = "one", plan: WatchPlan = PLAN) -> AlertWatch:
        return AlertWatch(
            ledger.alerts,
            ledger.duties,
            ledger.watched,
            ledger.outages,
            ledger.workers,
            ledger.workload,
            ledger.audit,
            spool,
            clock,
            owner,
            list,
            plan,
        )

    return made


def told(ledger: SqlLedger, clock: FakeClock) -> list[tuple[AlertKind, str, News]]:
    """Let all messages go; returns what they told."""
    channel = Channel()
    AlertPost("mail", channel, ledger.alerts, clock).run_once()
    return [(one.condition.kind, one.condition.subject, one.news) for one in channel.took]


def test_a_trouble_is_told_once_by_whichever_process_looks(ledger: SqlLedger, clock: FakeClock, watch: Watch) -> None:
    one, other = watch("one"), watch("other")

    assert [one.run_once(), other.run_once(), one.run_once()] == [True, False, True]
    assert {(kind, subject) for kind, subject, _ in told(ledger, clock)} == NOBODY

    clock.advance(3600)
    assert [other.run_once(), one.run_once()] == [True, False], "the other one takes over where the first is gone"
    assert told(ledger, clock) == []


def test_a_process_that_lost_the_duty_while_it_looked_tells_nothing(
    ledger: SqlLedger, clock: FakeClock, watch: Watch
) -> None:
    watch("one").run_once()
    opened = ledger.alerts.open()
    clock.advance(3600)
    watch("other").run_once()

    assert not ledger.alerts.tell("one", clock.now(), [], ["mail"], PLAN.whose)
    assert ledger.alerts.open() == opened


def test_a_destination_is_told_after_its_time_and_again_when_it_is_back(
    ledger: SqlLedger, clock: FakeClock, watch: Watch
) -> None:
    looking = watch()
    ledger.outages.began("pacs", clock.now(), "pacs refused the connection")
    ledger.outages.began("pacs", clock.advance(299), "another error, of the same outage")
    looking.run_once()
    assert (AlertKind.DESTINATION, "pacs", News.RAISED) not in told(ledger, clock)

    clock.advance(1)
    looking.run_once()
    looking.run_once()
    assert told(ledger, clock) == [(AlertKind.DESTINATION, "pacs", News.RAISED)]
    (alert,) = [one for one in ledger.alerts.open() if one.condition.kind is AlertKind.DESTINATION]
    assert (alert.since, alert.condition.detail) == (
        START,
        "the destination pacs takes no results: pacs refused the connection",
    )

    ledger.outages.ended("pacs")
    looking.run_once()
    assert told(ledger, clock) == [(AlertKind.DESTINATION, "pacs", News.OVER)]
    assert [one.condition.subject for one in ledger.alerts.recent(5)] == ["pacs"]


def test_a_channel_that_is_down_keeps_messages_counts_failures_and_stops_nothing(
    ledger: SqlLedger, clock: FakeClock, watch: Watch
) -> None:
    channel = Channel()
    channel.down = True
    post = AlertPost("mail", channel, ledger.alerts, clock)
    watch().run_once()

    assert post.run_once() == 0
    (record,) = ledger.alerts.channels()
    assert (record.sent, record.failed, record.waiting) == (0, 2, 2)
    assert "Connection refused" in record.trouble
    assert post.run_once() == 0, "each waits for its next try"
    assert ledger.alerts.channels()[0].failed == 2

    channel.down = False
    clock.advance(BACKOFF.total_seconds())
    assert post.run_once() == 2
    (record,) = ledger.alerts.channels()
    assert (record.sent, record.waiting, record.trouble) == (2, 0, "")


def test_a_message_that_is_too_old_is_given_up(ledger: SqlLedger, clock: FakeClock, watch: Watch) -> None:
    channel = Channel()
    channel.down = True
    post = AlertPost("mail", channel, ledger.alerts, clock)
    watch().run_once()
    clock.advance(GIVES_UP_AFTER.total_seconds())

    post.run_once()

    assert ledger.alerts.channels()[0].waiting == 0


def test_a_message_whose_process_died_while_it_sent_goes_once_more_later(
    ledger: SqlLedger, clock: FakeClock, watch: Watch
) -> None:
    watch().run_once()
    first = ledger.alerts.take("mail", clock.now(), LEASE_S)
    second = ledger.alerts.take("mail", clock.now(), LEASE_S)
    assert first is not None
    assert second is not None
    assert first.message != second.message
    assert ledger.alerts.take("mail", clock.now(), LEASE_S) is None

    again = ledger.alerts.take("mail", clock.advance(LEASE_S), LEASE_S)

    assert again is not None
    assert (again.message, again.attempts) == (first.message, 2)


def test_what_waits_for_a_channel_that_is_gone_is_forgotten(ledger: SqlLedger, watch: Watch) -> None:
    watch().run_once()

    ledger.alerts.follow([])

    assert ledger.alerts.channels() == []
    assert ledger.alerts.take("mail", START, LEASE_S) is None


def test_a_sender_is_learned_from_what_it_sent_and_missed(ledger: SqlLedger, clock: FakeClock, watch: Watch) -> None:
    """Radiographs alone count, canaries left out; and what was received before this version is learned, too."""
    monday = START + timedelta(days=1)
    for week in range(4):
        for hour in range(8):
            at = monday + timedelta(weeks=week, hours=hour)
            ledger.arrivals.record(make_instance(f"1.{week}.{hour}", received_at=at))
            ledger.arrivals.record(_of("CT-SCANNER", at, modality="CT"))
            ledger.arrivals.record(_of("CANARY", at, patient_id=CANARY_ID))
    clock.advance((monday + timedelta(weeks=3, hours=7, minutes=30) - START).total_seconds())
    looking = watch()
    looking.run_once()
    assert set(ledger.watched.last_images()) == {"MODALITY"}

    clock.advance(timedelta(days=6, hours=16).total_seconds())  # Sunday night
    looking.run_once()
    assert not any(kind is AlertKind.SENDER for kind, *_ in told(ledger, clock))

    clock.advance(timedelta(hours=9).total_seconds())
    looking.run_once()
    assert [(kind, subject) for kind, subject, _ in told(ledger, clock) if kind is AlertKind.SENDER] == [
        (AlertKind.SENDER, "MODALITY")
    ]


def _of(ae_title: str, at: datetime, modality: str = "DX", patient_id: str = "PAT-1") -> ReceivedInstance:
    made = make_instance(f"1.{ae_title.encode().hex()}.{at:%Y%m%d%H}", received_at=at, patient_id=patient_id)
    return replace(made, calling_ae_title=ae_title, header=replace(made.header, modality=modality))


def test_a_sender_of_the_settings_that_never_sent_is_missed(ledger: SqlLedger, clock: FakeClock, watch: Watch) -> None:
    looking = watch(plan=replace(PLAN, senders=(ExpectedSender("ROOM2", 3600),)))
    looking.run_once()
    clock.advance(3600)

    looking.run_once()

    assert (AlertKind.SENDER, "ROOM2", News.RAISED) in told(ledger, clock)
    assert any("when it began to be watched" in one.condition.detail for one in ledger.alerts.open())


def test_ids_that_are_given_again_after_all_images_went_are_learned_again(
    ledger: SqlLedger, clock: FakeClock, watch: Watch
) -> None:
    for number in range(3):
        ledger.arrivals.record(make_instance(f"1.{number}"))
    looking = watch()
    looking.run_once()
    with ledger._database.write() as connection:
        for table in ("events", "instances", "studies"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    looking.run_once()
    later = clock.advance(3600)
    ledger.arrivals.record(make_instance("2.1", received_at=later))

    looking.run_once()

    assert ledger.watched.last_images() == {"MODALITY": later}
