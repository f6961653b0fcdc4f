"""What is logged of peers is bounded, however many associations they make; no peer makes the node log a traceback."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation
from structlog.testing import capture_logs

from patchclip_node.domain.records import Arrival
from patchclip_node.scp.places import Caller, KnownCallers
from patchclip_node.scp.storage_scp import StorageScp
from patchclip_node.scp.troubles import RationedLog
from patchclip_node.services.ration import A_MINUTE
from tests.support.scp import (
    KeepingReceiver,
    associate_request,
    p_data,
    received_pdu,
    received_until_end,
    store_command,
    wait_until,
)

DX = str(DigitalXRayImageStorageForPresentation)


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("patchclip_node.scp.troubles.time.monotonic", lambda: now[0])
    return now


def test_strangers_share_a_ration_and_each_known_address_has_its_own(now_s: list[float]) -> None:
    rationed = RationedLog(KnownCallers([Caller("CR", "10.0.0.1")]), lines_a_minute=5)

    with capture_logs() as logged:
        for number in range(100):
            rationed.warning("association_aborted", f"10.0.9.{number}", peer=number)
        for _ in range(3):
            rationed.warning("association_aborted", "10.0.0.1", peer="known")
        for _ in range(4):
            rationed.line(logging.INFO, "association_accepted", "10.0.9.1", peer="stranger")

    assert [one["peer"] for one in logged] == [0, 1, 2, 3, 4, *["known"] * 3, *["stranger"] * 4]


def test_the_next_minute_says_how_many_were_left_out(now_s: list[float]) -> None:
    rationed = RationedLog(KnownCallers(), lines_a_minute=2)

    with capture_logs() as logged:
        for _ in range(10):
            rationed.warning("instance_refused", "10.0.0.1")
        now_s[0] = 60.0
        rationed.warning("instance_refused", "10.0.0.1")
        rationed.warning("instance_refused", "10.0.0.1")

    assert [one.get("left_out") for one in logged] == [None, None, 8, None]


@pytest.mark.parametrize("ends_with", [b"\x07\0\0\0\0\4\0\0\0\0", p_data(9, 0x03, b"")], ids=["A-ABORT", "nonsense"])
def test_many_associations_of_a_stranger_cost_few_lines(start: Callable[..., StorageScp], ends_with: bytes) -> None:
    scp = start()
    with capture_logs() as logged:
        for number in range(A_MINUTE + 20):
            with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
                peer.sendall(associate_request(DX, calling=f"X{number}"))
                received_pdu(peer)
                peer.sendall(ends_with)
                received_until_end(peer)
        wait_until(lambda: scp.connections == 0)

    lines = [one["event"] for one in logged]
    assert {event: lines.count(event) for event in set(lines) if lines.count(event) > A_MINUTE + 1} == {}
    assert lines.count("association_accepted") >= A_MINUTE


class SlowReceiver(KeepingReceiver):
    """Looks at the file only when it is gone."""

    def receive(self, path: Path, **facts: str) -> Arrival:
        self.calls.append(facts)
        wait_until(lambda: not path.exists())
        path.stat()
        return Arrival.OPENED_STUDY


def test_a_peer_that_breaks_the_protocol_before_its_answer_is_no_defect(
    start: Callable[..., StorageScp], receiver: KeepingReceiver
) -> None:
    receiver.__class__ = SlowReceiver
    scp = start()
    with capture_logs() as logged, socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        peer.sendall(associate_request(DX))
        received_pdu(peer)
        peer.sendall(p_data(1, 0x03, store_command()) + p_data(1, 0x02, b"\0" * 100))
        wait_until(lambda: bool(receiver.calls))
        peer.sendall(p_data(3, 0x03, store_command()) + p_data(1, 0x03, store_command()))
        received_until_end(peer)
        wait_until(lambda: scp.connections == 0)

    assert [one["event"] for one in logged if one.get("exc_info")] == []
    assert "association_ended_before_answer" in [one["event"] for one in logged]
