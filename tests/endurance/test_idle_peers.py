"""Half-open, dripping and silent connections by the hundred: a known sender gets in within five seconds, always."""

from __future__ import annotations

import multiprocessing
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from tests.endurance.mutation import DX
from tests.endurance.scale import Scale
from tests.endurance.senders import Sending
from tests.peers.node import new_node
from tests.peers.radiographs import radiograph
from tests.support.scp import associate_request

pytestmark = pytest.mark.long_only

HALF_OPEN, DRIPPING, SILENT = 500, 500, 100
ADDRESSES = {"one address": ["127.0.0.1"], "199 addresses": [f"127.0.1.{number}" for number in range(1, 200)]}
WITHIN_S = 5.0
TRIES_S = 300
"""How long the known sender tries, one image after another."""
PATIENCE_S = 60.0


def besiege(port: int, sources: Sequence[str], held: Event, over: Event) -> None:
    """Hold the connections, and make again each that the node ends."""
    kinds = ["half-open"] * HALF_OPEN + ["dripping"] * DRIPPING + ["silent"] * SILENT
    peers: dict[int, socket.socket] = {}
    while not over.is_set():
        for number, kind in enumerate(kinds):
            if number not in peers:
                with suppress(OSError):
                    peers[number] = _begun(port, sources[number % len(sources)], kind, number)
            elif not _goes_on(peers[number], kind):
                peers.pop(number).close()
        held.set()
        over.wait(1.0)
    for peer in peers.values():
        peer.close()


def _begun(port: int, source: str, kind: str, number: int) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
    if kind == "silent":
        peer.sendall(associate_request(DX, calling=f"X{number}"))
    elif kind == "dripping":
        peer.sendall(struct.pack(">BBL", 0x01, 0, 5000))
    peer.setblocking(False)
    return peer


def _goes_on(peer: socket.socket, kind: str) -> bool:
    """Send the next byte where this peer drips; False when the node has ended the connection."""
    try:
        if kind == "dripping":
            peer.send(b"\0")
        while True:
            if not peer.recv(4096):
                return False
    except BlockingIOError:
        return True
    except OSError:
        return False


@contextmanager
def besieged(port: int, sources: Sequence[str]) -> Iterator[None]:
    spawning = multiprocessing.get_context("spawn")
    held, over = spawning.Event(), spawning.Event()
    process = spawning.Process(target=besiege, args=(port, sources, held, over))
    process.start()
    try:
        assert held.wait(PATIENCE_S)
        yield
    finally:
        over.set()
        process.join()


@pytest.mark.parametrize("addresses", ADDRESSES)
def test_a_known_sender_gets_in_always(addresses: str, tmp_path: Path, scale: Scale) -> None:
    known = [{"ae_title": "KNOWN", "address": "127.0.0.1"}]
    node = new_node(tmp_path / "node", known_callers=known)
    end_s = min(TRIES_S, scale.seconds or TRIES_S)
    took_s: list[float] = []
    with node.running("receive"), besieged(node.port, ADDRESSES[addresses]):
        end_s += time.monotonic()
        while time.monotonic() < end_s:
            began_s = time.monotonic()
            association = Sending(node.port, "KNOWN", timeout_s=PATIENCE_S)
            association.store(radiograph(rows=64, columns=64))
            took_s.append(time.monotonic() - began_s)
            association.release()
    scale.say(
        f"{addresses}: {HALF_OPEN} half-open, {DRIPPING} dripping, {SILENT} silent; {len(took_s)} images, the slowest "
        f"in {max(took_s):.2f} s, half of them within {sorted(took_s)[len(took_s) // 2]:.3f} s"
    )
    assert max(took_s) < WITHIN_S
