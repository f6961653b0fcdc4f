"""Send mutated PDUs and DIMSE messages to a storage SCP, with an honest sender beside, and print what they cost.

    python benchmarks/fuzz_receiver.py --messages 100000

The SCP runs in its own process, whose memory is measured. Each message is drawn by its number alone, so that a
number that fails can be sent again with --first. Exits with 1 where the honest sender failed, something stayed on disk
or memory grew beyond the bound.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from patchclip_node.domain.records import Arrival
from patchclip_node.scp.incoming import IncomingRoom
from patchclip_node.scp.places import Caller, KnownCallers, PlacePolicy
from patchclip_node.scp.storage_scp import Admission, Endpoint, StorageScp

MEMORY_BOUND_BYTES = 128 * 1024**2
"""How much the SCP's process may grow from the first messages on."""
DX = "1.2.840.10008.5.1.4.1.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
SENDERS = 4


class DeletingReceiver:
    """Takes every image and keeps none."""

    def receive(self, path: Path, **_: str) -> Arrival:
        """Delete the file: the disk is looked at for what was not taken."""
        path.unlink()
        return Arrival.OPENED_STUDY


def serve(folder: Path, ready: Connection) -> None:
    """Run the SCP until the other side closes the pipe."""
    admission = Admission((), True, PlacePolicy(total=20, per_address=12, kept_for_known=4), 10_000_000)
    known = KnownCallers([Caller("HONEST", "127.0.0.1")])
    room = IncomingRoom(folder, lambda: 1024**4)
    with StorageScp(DeletingReceiver(), room, Endpoint("NODE", "127.0.0.1", 0), admission, known) as scp:
        ready.send(scp.port)
        with suppress(EOFError):
            ready.recv()


def item(kind: int, content: bytes) -> bytes:
    """Return an item of an A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(content)) + content


def associate_request(calling: str) -> bytes:
    """Return an A-ASSOCIATE-RQ with one context for digital X-rays."""
    context = struct.pack(">BBBB", 1, 0, 0, 0) + item(0x30, DX.encode()) + item(0x40, EXPLICIT.encode())
    content = struct.pack(">HH", 1, 0) + b"NODE".ljust(16) + calling.encode().ljust(16) + b"\0" * 32
    content += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context)
    content += item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4"))
    return struct.pack(">BBL", 0x01, 0, len(content)) + content


def request(field: int, sop_class_uid: str, has_data_set: bool) -> bytes:
    """Return the command set of a request (PS3.7 9.3)."""

    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHL", 0, number, len(value)) + value

    uid = sop_class_uid.encode()
    body = element(0x0002, uid + b"\0" * (len(uid) % 2)) + element(0x0100, struct.pack("<H", field))
    body += element(0x0110, struct.pack("<H", 1)) + element(0x0700, struct.pack("<H", 0))
    body += element(0x0800, struct.pack("<H", 0 if has_data_set else 0x0101)) + element(0x1000, b"1.2.3.4\0")
    return element(0x0000, struct.pack("<L", len(body))) + body


def p_data(context_id: int, control: int, fragment: bytes) -> bytes:
    """Return a P-DATA-TF with one value (PS3.8 9.3.5)."""
    value = struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment
    return struct.pack(">BBL", 0x04, 0, len(value)) + value


def mutated(chance: random.Random, content: bytes) -> bytes:
    """Return the bytes with some of them changed, taken out, doubled or cut off."""
    changed = bytearray(content)
    for _ in range(chance.choice([0, 1, 1, 2, 4, 16])):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0 if place < len(changed):
                changed[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
            case 1:
                del changed[place : place + chance.randrange(1, 9)]
            case 2:
                changed[place:place] = chance.randbytes(chance.randrange(1, 9))
            case 3:
                changed[place:place] = changed[place : place + chance.randrange(1, 64)]
            case _:
                del changed[place:]
    return bytes(changed)


def conversation(number: int) -> Iterator[bytes]:
    """Yield what one connection sends; some of its PDUs are mutated."""
    chance = random.Random(number)
    yield mutated(chance, associate_request(f"X{number % 97}")) if chance.random() < 0.3 else associate_request("X")
    for _ in range(chance.randrange(1, 5)):
        field = chance.choice([0x0001, 0x0001, 0x0030, 0x0020, 0x0021, 0x0130, 0x0100, 0x0FFF, 0x8001, 0x0444])
        sop_class = chance.choice([DX, DX, "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1", "1.2.3"])
        has_data_set = chance.random() < 0.8
        pdus = [p_data(1, 0x03, mutated(chance, request(field, sop_class, has_data_set)))]
        if has_data_set:
            pdus += [p_data(chance.choice([1, 1, 1, 3]), 0x00, chance.randbytes(2000)), p_data(1, 0x02, b"\0" * 64)]
        if chance.random() < 0.2:
            chance.shuffle(pdus)
        for pdu in pdus:
            yield mutated(chance, pdu) if chance.random() < 0.3 else pdu
    yield chance.choice([b"", b"\x05\0\0\0\0\4\0\0\0\0", b"\x07\0\0\0\0\4\0\0\0\0", chance.randbytes(20)])


def talk(port: int, number: int) -> None:
    """Have one conversation and leave, whatever the node says."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer, suppress(OSError):
        peer.settimeout(0.02)
        for sent in conversation(number):
            peer.sendall(sent)
            with suppress(TimeoutError):
                peer.recv(4096)


def received_pdu(peer: socket.socket) -> bytes:
    """Return one PDU. Raises `OSError` where the connection ends."""
    header = peer.recv(6, socket.MSG_WAITALL)
    if len(header) < 6:
        raise ConnectionError("the connection ended")
    return header + peer.recv(struct.unpack(">L", header[2:])[0], socket.MSG_WAITALL)


def was_stored(port: int) -> bool:
    """Send one image as an honest sender does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            peer.sendall(associate_request("HONEST"))
            if received_pdu(peer)[0] != 0x02:
                return False
            peer.sendall(p_data(1, 0x03, request(0x0001, DX, True)) + p_data(1, 0x02, b"\0" * 100_000))
            return struct.pack("<HHLH", 0, 0x0900, 2, 0) in received_pdu(peer)
    except OSError:
        return False


def attack(port: int, first: int, messages: int, over: threading.Event) -> list[float | None]:
    """Have the conversations, and return how long each honest image took meanwhile; None for one that failed."""
    took_s: list[float | None] = []
    numbers = iter(range(first, first + messages))
    lock = threading.Lock()

    def honest() -> None:
        while not over.is_set():
            began_s = time.monotonic()
            took_s.append(time.monotonic() - began_s if was_stored(port) else None)
            over.wait(0.1)

    def dishonest() -> None:
        while not over.is_set():
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            with suppress(OSError):
                talk(port, number)

    sender = threading.Thread(target=honest)
    attackers = [threading.Thread(target=dishonest) for _ in range(SENDERS)]
    for thread in (sender, *attackers):
        thread.start()
    for thread in attackers:
        thread.join()
    over.set()
    sender.join()
    return took_s


def main() -> int:
    """Fuzz, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="conversations (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=None, help="end after this long, whatever is left")
    arguments = parser.parse_args()
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        node = spawning.Process(target=serve, args=(Path(folder), there))
        node.start()
        port = here.recv()
        measured = psutil.Process(node.pid)
        attack(port, arguments.first, 200, threading.Event())
        before_bytes = measured.memory_info().rss
        over = threading.Event()
        if arguments.seconds is not None:
            timer = threading.Timer(arguments.seconds, over.set)
            timer.daemon = True
            timer.start()
        began_s = time.monotonic()
        took_s = attack(port, arguments.first, arguments.messages, over)
        lasted_s = time.monotonic() - began_s
        time.sleep(7)  # what was cut off ends by itself
        grown_bytes = measured.memory_info().rss - before_bytes
        threads, left = measured.num_threads(), list(Path(folder).iterdir())
        here.close()
        there.close()
        node.join(15)
        node.kill()
    failed, times = took_s.count(None), sorted(one for one in took_s if one is not None)
    print(
        f"{lasted_s:.0f} s; honest images: {len(times)} stored, {failed} failed, slowest {max(times, default=0):.2f} s"
    )
    print(f"memory grew by {grown_bytes / 1024**2:.1f} MiB; {threads} threads and {len(left)} files stayed")
    return int(failed > 0 or bool(left) or grown_bytes > MEMORY_BOUND_BYTES)


if __name__ == "__main__":
    sys.exit(main())
