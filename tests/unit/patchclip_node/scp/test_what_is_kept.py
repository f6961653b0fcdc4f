"""What no handler takes is kept nowhere, however its association ends; it asks for room while bytes arrive."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

from patchclip_node.scp.incoming import IncomingDataSet, IncomingRoom
from patchclip_node.scp.storage_scp import Endpoint, StorageScp
from tests.peers.radiographs import radiograph
from tests.support.scp import (
    OPEN,
    KeepingReceiver,
    associate,
    associate_request,
    p_data,
    received_pdu,
    request,
    room,
    store,
    store_command,
    wait_until,
)

DX = DigitalXRayImageStorageForPresentation
UNKNOWN_REQUEST = 0x0444
"""pynetdicom as the peer cannot take its response: bytes over a bare connection show it."""
OTHER_REQUESTS = [0x0020, 0x0010, 0x0021, 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150, UNKNOWN_REQUEST]
"""C-FIND, C-GET, C-MOVE, N-EVENT-REPORT, N-GET, N-SET, N-ACTION, N-CREATE, N-DELETE, and none of the standard's."""

REFUSED = {
    "another class": (request(0x0001, ComputedRadiographyImageStorage), 0x0122),
    "a class of nothing": (request(0x0001, "1.2.3"), 0x0122),
    "an echo": (request(0x0030, DX), 0x0211),
    **{f"command {field:04X}": (request(field, DX), 0x0211) for field in OTHER_REQUESTS},
}


def connection_of(association: Association) -> socket.socket:
    transport: Any = association.dul.socket
    connected: socket.socket = transport.socket
    return connected


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.parametrize("command", [one for one, _ in REFUSED.values() if one != request(UNKNOWN_REQUEST, DX)])
@pytest.mark.parametrize("end", ["release", "abort", "killed connection", "stop", "half a message"])
def test_nothing_of_a_request_that_is_not_served_is_written(
    start: Callable[..., StorageScp],
    incoming: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: bytes,
    end: str,
) -> None:
    opened = MagicMock(side_effect=OSError)
    monkeypatch.setattr("patchclip_node.scp.incoming.tempfile.mkstemp", opened)
    scp = start()
    association = associate(scp, (DX, ExplicitVRLittleEndian))
    connection = connection_of(association)

    connection.sendall(p_data(1, 0x03, command) + p_data(1, 0x00, b"\0" * 50_000))
    if end != "half a message":
        connection.sendall(p_data(1, 0x02, b"\0" * 50_000))
    if end == "release":
        association.release()
    elif end == "abort":
        association.abort()
    elif end == "stop":
        scp.stop(grace_s=0)
    else:
        connection.shutdown(socket.SHUT_RDWR)

    wait_until(lambda: scp.connections == 0)
    opened.assert_not_called()


@pytest.mark.parametrize(("command", "status"), list(REFUSED.values()), ids=list(REFUSED))
def test_a_request_that_is_not_served_is_answered_at_once_and_the_association_lives(
    start: Callable[..., StorageScp], command: bytes, status: int
) -> None:
    dataset = radiograph()
    scp = start()
    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        peer.sendall(associate_request(DX))
        assert received_pdu(peer)[0] == 0x02
        began_s = time.monotonic()

        peer.sendall(p_data(1, 0x03, command) + p_data(1, 0x02, b"\0" * 1000))
        answer = received_pdu(peer)

        assert time.monotonic() - began_s < 1.0
        assert struct.pack("<HHLH", 0x0000, 0x0900, 2, status) in answer
        assert struct.pack("<HHLH", 0x0000, 0x0120, 2, 1) in answer
        peer.sendall(p_data(1, 0x03, command) + p_data(1, 0x02, b"\0" * 1000))
        assert received_pdu(peer)[0] == 0x04
    assert store(scp, dataset).Status == 0x0000


def test_an_echo_with_a_data_set_is_refused(start: Callable[..., StorageScp]) -> None:
    scp = start()
    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        peer.sendall(associate_request(Verification))
        received_pdu(peer)

        peer.sendall(p_data(1, 0x03, request(0x0030, Verification)) + p_data(1, 0x02, b"\0" * 1000))

        assert struct.pack("<HHLH", 0x0000, 0x0900, 2, 0x0212) in received_pdu(peer)


@pytest.mark.parametrize(
    "fragments",
    [
        p_data(1, 0x03, store_command()) + p_data(3, 0x02, b"\0" * 1000),
        p_data(1, 0x01, store_command()[:20]) + p_data(3, 0x03, store_command()[20:]),
        p_data(1, 0x02, b"\0" * 1000),
        p_data(1, 0x03, store_command()) + p_data(1, 0x00, b"\0" * 1000) + p_data(1, 0x03, store_command()),
        p_data(5, 0x03, store_command()) + p_data(5, 0x02, b"\0" * 1000),
        p_data(1, 0x03, request(0x8001, DX, has_data_set=False)),
        p_data(1, 0x03, request(0x0001, DX)[:-8]),
        p_data(1, 0x03, b""),
    ],
    ids=[
        "the data set in another context",
        "the command in two contexts",
        "a data set without a command",
        "a command inside a data set",
        "a context that was not accepted",
        "a response to nothing",
        "a command that is cut off",
        "an empty command",
    ],
)
def test_a_message_that_breaks_the_rules_ends_its_association_and_leaves_nothing(
    start: Callable[..., StorageScp], receiver: KeepingReceiver, incoming: Path, fragments: bytes
) -> None:
    scp = start()
    association = associate(
        scp, (DX, ExplicitVRLittleEndian), (ComputedRadiographyImageStorage, ExplicitVRLittleEndian)
    )

    connection_of(association).sendall(fragments)

    wait_until(lambda: association.is_aborted)
    wait_until(lambda: scp.connections == 0)
    assert files(incoming) == []
    assert receiver.calls == []


@pytest.mark.parametrize("end", ["abort", "killed connection", "stop"])
@pytest.mark.parametrize("requests", [1, 2])
def test_a_data_set_that_arrives_is_deleted_with_its_association(
    start: Callable[..., StorageScp], receiver: KeepingReceiver, incoming: Path, end: str, requests: int
) -> None:
    scp = start()
    receiver.pause.clear()
    association = associate(scp, (DX, ExplicitVRLittleEndian))
    connection = connection_of(association)
    whole = p_data(1, 0x03, store_command()) + p_data(1, 0x02, b"\0" * 1000)
    connection.sendall(whole * (requests - 1) + p_data(1, 0x03, store_command()) + p_data(1, 0x00, b"\0" * 50_000))
    wait_until(lambda: len(files(incoming)) == requests)

    if end == "abort":
        association.abort()
    elif end == "stop":
        scp.stop(grace_s=0)
        assert files(incoming) == []
    else:
        connection.shutdown(socket.SHUT_RDWR)
    receiver.failure = RuntimeError("not kept")
    receiver.pause.set()

    wait_until(lambda: files(incoming) == [])


def test_without_room_not_one_byte_is_written(
    receiver: KeepingReceiver, incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = MagicMock(side_effect=OSError)
    monkeypatch.setattr("patchclip_node.scp.incoming.tempfile.mkstemp", opened)
    with StorageScp(receiver, room(incoming, free_bytes=0), Endpoint("NODE", "127.0.0.1", 0), OPEN) as scp:
        response = store(scp, radiograph())

    assert response.Status == 0xA700
    assert "limits.min_free_bytes" in response.ErrorComment
    opened.assert_not_called()
    assert receiver.calls == []


def test_room_that_ends_while_bytes_arrive_deletes_what_came_and_is_told(
    receiver: KeepingReceiver, incoming: Path
) -> None:
    disk_bytes = 200_000
    left = IncomingRoom(incoming, lambda: disk_bytes - sum(path.stat().st_size for path in files(incoming)))
    with StorageScp(receiver, left, Endpoint("NODE", "127.0.0.1", 0), OPEN) as scp:
        assert store(scp, radiograph(rows=1000, columns=1000)).Status == 0xA700
        assert files(incoming) == []

        assert store(scp, radiograph(rows=100, columns=100)).Status == 0x0000


def test_room_is_summed_over_all_associations(tmp_path: Path) -> None:
    shared = IncomingRoom(tmp_path, lambda: 1_000)
    others = [IncomingDataSet(shared, 10_000, b"") for _ in range(3)]
    for other in others:
        other.write(b"\0" * 300)
    data_set = IncomingDataSet(shared, 10_000, b"")
    data_set.write(b"\0" * 300)

    assert data_set.failure is not None
    assert len(files(tmp_path)) == len(others)
    for other, end in zip(others, (IncomingDataSet.complete, IncomingDataSet.discard, _is_too_long), strict=True):
        end(other)
        after = IncomingDataSet(shared, 10_000, b"")
        after.write(b"\0" * 300)
        assert after.failure is None
        after.discard()


def _is_too_long(data_set: IncomingDataSet) -> None:
    data_set.write(b"\0" * 10_000)


def test_one_fragment_asks_for_room_for_many_where_there_is_plenty_and_for_itself_where_there_is_not(
    tmp_path: Path,
) -> None:
    asked = list[int]()

    def look(free_bytes: int) -> int:
        asked.append(free_bytes)
        return free_bytes

    for free_bytes in (1024**3, 1024**2):
        data_set = IncomingDataSet(IncomingRoom(tmp_path, partial(look, free_bytes)), 1024**3, b"")
        for _ in range(60):
            data_set.write(b"\0" * 16_384)
        data_set.discard()

    assert asked == [1024**3, *[1024**2] * 60]


def test_a_refused_data_set_that_does_not_end_is_ended(start: Callable[..., StorageScp]) -> None:
    association = associate(start(max_instance_bytes=100_000), (DX, ExplicitVRLittleEndian))
    connection = connection_of(association)

    connection.sendall(p_data(1, 0x03, request(0x0020, DX)))
    for _ in range(3):
        connection.sendall(p_data(1, 0x00, b"\0" * 50_000))

    wait_until(lambda: association.is_aborted)
