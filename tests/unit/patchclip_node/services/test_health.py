"""What a hang or an outage looks like from outside, and after how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from patchclip_node.domain.records import WorkerRecord, WorkerRole
from patchclip_node.ports.audit import AuditBacklog, AuditLane
from patchclip_node.services.health import AUDIT_LAGS_AFTER_S, HUNG_AFTER_S, LOST_AFTER_S, health
from tests.support.fakes import START

DELIVERS = WorkerRecord("here:2:2", START, role=WorkerRole.DELIVER)


def worker(
    seen_s: float = 0, working_s: float | None = None, trouble: str = "", name: str = "here:1:1"
) -> WorkerRecord:
    since = None if working_s is None else START - timedelta(seconds=working_s)
    return WorkerRecord(name, START - timedelta(seconds=seen_s), since, trouble)


@pytest.mark.parametrize(
    ("workers", "free_bytes", "words"),
    [
        ([], 1, "no worker was seen within 30 s; 2 analyses wait"),
        ([worker(seen_s=LOST_AFTER_S)], 1, "no worker was seen"),
        ([worker(), worker(seen_s=LOST_AFTER_S, name="there:1:1")], 1, "there:1:1 was last seen at 07:59:30 UTC"),
        ([worker(working_s=HUNG_AFTER_S)], 1, "at one piece of work for 300 s"),
        ([worker(trouble="the broker does not answer")], 1, "here:1:1: the broker does not answer"),
        ([worker()], 0, "the disk is full up to its reserve"),
    ],
)
def test_a_trouble_is_said_in_words(workers: list[WorkerRecord], free_bytes: int, words: str) -> None:
    (trouble,) = health([*workers, DELIVERS], (2, 1), free_bytes, START).troubles

    assert words in trouble


def test_a_node_without_a_process_that_delivers_says_so_although_its_workers_live() -> None:
    lost = replace(DELIVERS, seen_at=START - timedelta(seconds=LOST_AFTER_S))
    for delivering in ([], [lost]):
        found = health([worker(), *delivering], (0, 3), 1, START)

        assert [one.detail for one in found.conditions] == [
            "no process that delivers was seen within 30 s; 3 deliveries wait"
        ]
        assert found.working == {WorkerRole.WORK: 1, WorkerRole.DELIVER: 0}


def test_a_node_that_works_has_no_trouble() -> None:
    workers = [worker(seen_s=LOST_AFTER_S - 1), worker(working_s=HUNG_AFTER_S - 1, name="there:1:1"), DELIVERS]

    found = health(workers, (9, 9), 1, START)

    assert (found.troubles, found.working, found.longest_work_s) == (
        (),
        {WorkerRole.WORK: 2, WorkerRole.DELIVER: 1},
        HUNG_AFTER_S - 1,
    )


@pytest.mark.parametrize(
    ("backlog", "words"),
    [
        (
            AuditBacklog(AuditLane.SYSLOG, 17, START - timedelta(seconds=AUDIT_LAGS_AFTER_S), "it refused"),
            "17 audit events wait for the collector since 2026-03-01 07:55:00 UTC: it refused; see that the collector",
        ),
        (
            AuditBacklog(AuditLane.FILE, 1, START - timedelta(days=1), ""),
            "wait for the files since 2026-02-28 08:00:00 UTC: no process that delivers has carried them; make room",
        ),
    ],
)
def test_an_audit_trail_that_lags_is_a_trouble_with_its_reason_and_what_to_do(
    backlog: AuditBacklog, words: str
) -> None:
    (trouble,) = health([worker(), DELIVERS], (0, 0), 1, START, [backlog]).troubles

    assert words in trouble


def test_events_that_have_waited_for_a_moment_are_no_trouble() -> None:
    fresh = AuditBacklog(AuditLane.SYSLOG, 17, START - timedelta(seconds=AUDIT_LAGS_AFTER_S - 1), "it refused")

    assert health([worker(), DELIVERS], (0, 0), 1, START, [fresh]).troubles == ()
