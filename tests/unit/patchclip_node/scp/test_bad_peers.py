"""Peers that break off, stall, flood or talk nonsense cost themselves alone."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from patchclip_node.scp.lobby import MAX_REQUEST_BYTES
from patchclip_node.scp.storage_scp import StorageScp
from tests.peers.radiographs import radiograph
from tests.support.scp import (
    KeepingReceiver,
    associate,
    drip,
    p_data,
    received_until_end,
    store,
    store_command,
    wait_until,
)


def test_a_sender_that_breaks_off_leaves_no_file(start: Callable[..., StorageScp], incoming: Path) -> None:
    scp = start()
    association = associate(scp, (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian))
    transport: Any = association.dul.socket
    transport.socket.sendall(p_data(1, 0x03, store_command()) + p_data(1, 0x00, b"\0" * 50_000))
    wait_until(lambda: len(list(incoming.iterdir())) == 1)

    transport.socket.shutdown(socket.SHUT_RDWR)

    wait_until(lambda: list(incoming.iterdir()) == [])


def test_a_pdu_that_announces_too_much_is_aborted_instead_of_buffered(start: Callable[..., StorageScp]) -> None:
    scp = start()
    before = psutil.Process().memory_info().rss

    with socket.create_connection(("127.0.0.1", scp.port), timeout=10) as peer:
        peer.sendall(struct.pack(">BBL", 0x01, 0, 300 * 1024**2))
        try:
            for _ in range(64):
                peer.sendall(b"\0" * 1024**2)
        except OSError:
            pass  # the node has closed the connection, as it should
        answer = received_until_end(peer)

    assert answer[:1] in {b"\x07", b""}  # A-ABORT, unless the reset of the connection overtook it
    assert psutil.Process().memory_info().rss - before < 32 * 1024**2


def test_the_abort_of_an_oversized_pdu_reaches_the_peer(start: Callable[..., StorageScp]) -> None:
    scp = start()

    with socket.create_connection(("127.0.0.1", scp.port), timeout=10) as peer:
        peer.sendall(struct.pack(">BBL", 0x01, 0, MAX_REQUEST_BYTES + 1))
        answer = received_until_end(peer)

    assert answer[0] == 0x07


def test_an_endless_command_set_is_aborted(start: Callable[..., StorageScp]) -> None:
    association = associate(start(), (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian))
    transport: Any = association.dul.socket

    transport.socket.sendall(p_data(1, 0x01, b"\0" * 60_000) * 2)

    wait_until(lambda: association.is_aborted)


def test_nonsense_for_a_command_set_aborts_this_association_only(start: Callable[..., StorageScp]) -> None:
    scp = start()
    association = associate(scp, (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian))
    transport: Any = association.dul.socket

    transport.socket.sendall(p_data(1, 0x03, b"\xff" * 32))

    wait_until(lambda: association.is_aborted)
    assert store(scp, radiograph()).Status == 0x0000


def test_requests_without_waiting_for_responses_are_aborted(
    start: Callable[..., StorageScp], receiver: KeepingReceiver, incoming: Path
) -> None:
    receiver.pause.clear()
    association = associate(start(), (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian))
    transport: Any = association.dul.socket
    request = p_data(1, 0x03, store_command()) + p_data(1, 0x02, b"\0" * 1000)

    transport.socket.sendall(request * 4)

    wait_until(lambda: association.is_aborted)
    receiver.pause.set()
    wait_until(lambda: list(incoming.iterdir()) == [])


@pytest.mark.parametrize("beginning", [b"", b"\x01\x00\x00", struct.pack(">BBL", 0x01, 0, 5000) + b"\0" * 100])
def test_a_connection_that_stalls_is_closed(
    start: Callable[..., StorageScp], monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr("patchclip_node.scp.lobby.FIRST_PDU_S", 0.3)
    scp = start()

    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        peer.sendall(beginning)
        answer = received_until_end(peer)

    assert answer[:1] in {b"", b"\x07"}


def test_a_pdu_that_drips_in_does_not_hold_its_connection_for_ever(
    start: Callable[..., StorageScp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchclip_node.scp.storage_scp.NETWORK_TIMEOUT_S", 0.3)
    association = associate(start(), (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian))
    transport: Any = association.dul.socket

    transport.socket.sendall(struct.pack(">BBL", 0x04, 0, 5000))
    with pytest.raises(OSError, match=r"reset|pipe|descriptor"):
        drip(transport.socket, 100)


def test_a_request_that_drips_in_has_no_longer_than_one_that_does_not_come(
    start: Callable[..., StorageScp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchclip_node.scp.lobby.FIRST_PDU_S", 0.3)
    scp = start()

    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        peer.sendall(struct.pack(">BBL", 0x01, 0, 5000))
        with pytest.raises(ConnectionError):
            drip(peer, 100)


def test_a_connection_that_asks_for_nothing_and_closes_is_forgotten_at_once(start: Callable[..., StorageScp]) -> None:
    scp = start()

    with socket.create_connection(("127.0.0.1", scp.port), timeout=5):
        wait_until(lambda: scp.connections == 1)

    wait_until(lambda: scp.connections == 0, timeout_s=2)
