"""Mutated PDUs and messages: memory within a bound, an honest sender beside never fails, nothing stays on disk.

`tests/endurance/test_fuzz.py` does the same to the receiver's process, at length.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchclip_node.scp.storage_scp import StorageScp
from tests.peers.radiographs import radiograph
from tests.support.scp import associate_request, p_data, request, store, wait_until

DX = "1.2.840.10008.5.1.4.1.1.1.1"
COMMANDS = [0x0001, 0x0030, 0x0020, 0x0021, 0x0130, 0x0100, 0x0FFF, 0x8001, 0x0444]

mutations = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from(["change", "insert", "cut", "double"]), st.binary(max_size=6)),
    max_size=3,
)
messages = st.builds(
    lambda field, uid, control, context: p_data(1, 0x03, request(field, uid)) + p_data(context, control, b"\0" * 500),
    st.sampled_from(COMMANDS),
    st.sampled_from([DX, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", ""]),
    st.sampled_from([0x00, 0x01, 0x02, 0x03, 0xFF]),
    st.sampled_from([1, 3, 0]),
)


def mutated(content: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    changed = bytearray(content)
    for place, kind, given_bytes in changes:
        match kind:
            case "change":
                changed[place : place + len(given_bytes)] = given_bytes
            case "insert":
                changed[place:place] = given_bytes
            case "double":
                changed[place:place] = changed[place : place + 20]
            case _:
                del changed[place:]
    return bytes(changed)


def test_mutated_messages_cost_their_sender_alone(start: Callable[..., StorageScp], incoming: Path) -> None:
    scp = start()
    process = psutil.Process()
    sent = 0

    @settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.booleans(), mutations, st.lists(st.tuples(messages, mutations), max_size=3))
    def talk(
        is_request_mutated: bool,
        of_request: list[tuple[int, str, bytes]],
        conversation: list[tuple[bytes, list[tuple[int, str, bytes]]]],
    ) -> None:
        nonlocal sent
        with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer, suppress(OSError):
            peer.settimeout(0.01)
            peer.sendall(mutated(associate_request(DX), of_request if is_request_mutated else []))
            for content, changes in conversation:
                with suppress(TimeoutError):
                    peer.recv(4096)
                peer.sendall(mutated(content, changes))
        sent += 1
        if sent % 25 == 0:
            assert store(scp, radiograph()).Status == 0x0000

    talk()
    before_bytes = process.memory_info().rss
    talk()

    wait_until(lambda: scp.connections == 0, timeout_s=15)
    assert list(incoming.iterdir()) == []
    assert process.memory_info().rss - before_bytes < 32 * 1024**2
    assert store(scp, radiograph()).Status == 0x0000
