"""rsyslog is down for an hour while studies go their ways, and the node is killed: nothing that was told is lost."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from patchclip_node.adapters.audit_files import trail_files, trail_lines
from patchclip_node.audit.chain import verify
from patchclip_node.ports.audit import AuditLane
from tests.endurance.scale import Scale
from tests.peers import dcmtk
from tests.peers.audited import OF_A_WAY, VIEWER, Audited, audited_node
from tests.peers.visitor import Visitor
from tests.support.audit_schema import problems

pytestmark = [
    pytest.mark.peer("dcmtk"),
    pytest.mark.peer("openssl"),
    pytest.mark.peer("rsyslog"),
    pytest.mark.long_only,
]

OUTAGE_S = 3660.0
A_WAY_EVERY_S = 60.0
A_WRONG_PASSWORD_EVERY = 10
"""Ways. More of them would slow the person's next login down."""
FLUSHED_S = 2.0
"""A process holds what it was refused for a second before it tells the ledger."""


def go_ways(audited: Audited, for_s: float) -> int:
    """Let studies go their ways for a time, one at least; returns how many wrong passwords were tried."""
    end_s, wrong = time.monotonic() + for_s, 0
    while True:
        begin_s = time.monotonic()
        audited.go_a_way()
        if len(audited.uids) % A_WRONG_PASSWORD_EVERY == 1:
            assert Visitor(audited.node.settings.web.port).log_in(VIEWER, "a wrong password") == 401
            wrong += 1
        if begin_s + A_WAY_EVERY_S >= end_s:
            time.sleep(max(0.0, end_s - time.monotonic()))
            return wrong
        time.sleep(max(0.0, begin_s + A_WAY_EVERY_S - time.monotonic()))


def test_nothing_is_lost_while_the_collector_is_down(tmp_path: Path, scale: Scale) -> None:
    outage_s = min(OUTAGE_S, scale.seconds or OUTAGE_S)
    with dcmtk.storescp(tmp_path / "storescp") as archive, ExitStack() as running:
        audited = audited_node(tmp_path, archive.destination)
        running.enter_context(audited.node.running())
        with audited.collector.running():
            audited.go_a_way()
            audited.wait_for_collector()
        before, down_s = len(audited.collector.messages()), time.monotonic()
        wrong = go_ways(audited, outage_s / 2)
        time.sleep(FLUSHED_S)
        audited.node.kill()
        running.enter_context(audited.node.running())
        wrong += go_ways(audited, outage_s / 2)
        missed, down_s = audited.waiting(AuditLane.SYSLOG), time.monotonic() - down_s
        assert len(audited.collector.messages()) == before

        begin_s = time.monotonic()
        with audited.collector.running():
            audited.wait_for_collector(timeout_s=180)
            came_s = time.monotonic() - begin_s
            audited.node.end()
            with audited.node.running("deliver"):
                audited.wait_for_collector()

    arrived, lines = audited.collector.messages(), audited.lines()
    numbers = [one.sequence for one in arrived]
    assert numbers == [line.sequence for line in lines] == list(range(1, len(lines) + 1))
    assert [one.message.removeprefix("\ufeff") for one in arrived] == [line.message for line in lines]
    assert {one.message: found for one in arrived if (found := problems(one.message.removeprefix("\ufeff")))} == {}
    with audited.node.ledger() as ledger:
        head = ledger.audit.head(AuditLane.FILE)
    assert verify(trail_lines(trail_files(audited.node.settings.audit_dir)), head).faults == ()

    told = audited.told()
    ways, counts = len(audited.uids), Counter((one.event, one.type, one.action, one.outcome) for one in told)
    lacking = {what: counts[kind] for what, kind in OF_A_WAY.items() if counts[kind] < ways}
    assert lacking == {}
    assert counts["User Authentication", "Login", "E", "4"] == wrong
    for uid in audited.uids:
        of_study = Counter((one.event, one.action) for one in told if uid in one.study_uids)
        assert of_study["DICOM Instances Transferred", "C"] == 1 + of_study["Begin Transferring DICOM Instances", "E"]
        assert of_study["DICOM Instances Accessed", "U"] == 1
    scale.say(
        f"rsyslog was down for {down_s:.0f} s, in which {ways - 1} studies went their ways and the node was killed: "
        f"{missed} events waited, and arrived within {came_s:.0f} s; {len(arrived)} in all, each once, in order, "
        f"valid, as in the files, whose chain is whole"
    )
