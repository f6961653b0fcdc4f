"""Messages in any order, whole, cut short or changed: each gets the answer that PS3.7 gives it, and leaves nothing."""

from __future__ import annotations

import random
import socket
import struct
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from patchclip_node.scp.storage_scp import Endpoint, StorageScp
from tests.endurance.mutation import DX, changed
from tests.endurance.scale import Scale
from tests.peers.radiographs import radiograph
from tests.support.scp import (
    OPEN,
    KeepingReceiver,
    associate_request,
    close_associations,
    p_data,
    received_pdu,
    received_until_end,
    request,
    room,
    store,
    wait_until,
)

OTHER_CLASS = "1.2.840.10008.5.1.4.1.1.2"
SUCCESS, OTHER_THAN_CONTEXT, UNRECOGNIZED = 0x0000, 0x0122, 0x0211
EXAMPLES, STEPS = 2_000, 20
HONEST_EVERY = 25
RELEASE, ABORT = struct.pack(">BBLL", 0x05, 0, 4, 0), struct.pack(">BBLL", 0x07, 0, 4, 0)


class Bench:
    """A storage SCP with what it keeps, for all sequences of a run."""

    def __init__(self, folder: Path) -> None:
        self.incoming, kept = folder / "incoming", folder / "kept"
        self.incoming.mkdir()
        kept.mkdir()
        self.receiver = KeepingReceiver(kept)
        self.scp = StorageScp(self.receiver, room(self.incoming), Endpoint("NODE", "127.0.0.1", 0), OPEN)
        self.sequences = self.messages = self.honest = 0


class Peer(RuleBasedStateMachine):
    """One peer, and what the node has to answer it."""

    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        self.peer: socket.socket | None = None
        self.awaited: int | None = None
        """The status of the message whose data set is under way; None between messages."""

    @precondition(lambda self: self.peer is None)
    @rule()
    def associate(self) -> None:
        self.peer = socket.create_connection(("127.0.0.1", self.bench.scp.port), timeout=10)
        self.send(associate_request(DX))
        assert received_pdu(self.peer)[0] == 0x02
        self.awaited = None

    @precondition(lambda self: self.peer is not None and self.awaited is None)
    @rule(
        request_of=st.sampled_from(
            [(0x0001, DX, SUCCESS), (0x0001, OTHER_CLASS, OTHER_THAN_CONTEXT)]
            + [(field, DX, UNRECOGNIZED) for field in (0x0020, 0x0021, 0x0030, 0x0110, 0x0130, 0x0140, 0x0444)]
        )
    )
    def begin_a_message(self, request_of: tuple[int, str, int]) -> None:
        field, sop_class, self.awaited = request_of
        command = request(field, sop_class)
        half = len(command) // 2
        self.send(p_data(1, 0x01, command[:half]) + p_data(1, 0x03, command[half:]))

    @precondition(lambda self: self.peer is not None and self.awaited is None)
    @rule(field=st.sampled_from([0x0020, 0x0030, 0x0140]))
    def request_without_a_data_set(self, field: int) -> None:
        self.send(p_data(1, 0x03, request(field, DX, has_data_set=False)))
        self.is_answered(UNRECOGNIZED)

    @precondition(lambda self: self.peer is not None and self.awaited is None)
    @rule()
    def cancel_nothing(self) -> None:
        self.send(p_data(1, 0x03, request(0x0FFF, DX, has_data_set=False)))

    @precondition(lambda self: self.awaited is not None)
    @rule(size=st.integers(1, 3000), is_last=st.booleans())
    def go_on(self, size: int, is_last: bool) -> None:
        self.send(p_data(1, 0x02 if is_last else 0x00, b"\0" * size))
        if is_last:
            assert self.awaited is not None
            self.is_answered(self.awaited)
            self.awaited = None

    @precondition(lambda self: self.peer is not None)
    @rule(kind=st.sampled_from(["context", "command", "data", "response"]))
    def break_the_protocol(self, kind: str) -> None:
        if kind == "data" and self.awaited is not None:
            kind = "context"
        broken = {
            "context": p_data(9, 0x03, request(0x0001, DX)) + p_data(9, 0x02, b""),
            "command": p_data(1, 0x03, b"\xff" * 9000) + p_data(1, 0x03, b""),
            "data": p_data(1, 0x02, b"\0" * 10),
            "response": p_data(1, 0x03, request(0x8001, DX)),
        }[kind]
        self.send(broken)
        self.is_aborted()

    @precondition(lambda self: self.peer is not None)
    @rule(chance=st.integers(0, 2**32), of=st.sampled_from([request(0x0001, DX), b"\0" * 500]))
    def send_something_changed(self, chance: int, of: bytes) -> None:
        self.send(changed(random.Random(chance), p_data(1, 0x03, of)))
        self.leave(b"")

    @precondition(lambda self: self.peer is not None)
    @rule(last=st.sampled_from([RELEASE, ABORT, b"", b"\x04\0\0\0"]))
    def leave(self, last: bytes) -> None:
        assert self.peer is not None
        if last:
            self.send(last)
        self.peer.close()
        self.peer = self.awaited = None

    def teardown(self) -> None:
        if self.peer is not None:
            self.leave(b"")
        self.bench.sequences += 1
        if self.bench.sequences % HONEST_EVERY == 0:
            assert store(self.bench.scp, radiograph(rows=64, columns=64)).Status == SUCCESS
            self.bench.honest += 1
            close_associations()
            wait_until(lambda: self.bench.scp.connections == 0, timeout_s=30)
            assert list(self.bench.incoming.iterdir()) == []

    def send(self, content: bytes) -> None:
        assert self.peer is not None
        self.bench.messages += 1
        with suppress(ConnectionError):  # the node has closed it
            self.peer.sendall(content)

    def is_answered(self, status: int) -> None:
        assert self.peer is not None
        assert struct.pack("<HHLH", 0x0000, 0x0900, 2, status) in received_pdu(self.peer)

    def is_aborted(self) -> None:
        assert self.peer is not None
        assert received_until_end(self.peer)[:1] in {b"\x07", b""}
        self.leave(b"")


def test_each_sequence_gets_its_answers_and_leaves_nothing(tmp_path: Path, scale: Scale) -> None:
    bench = Bench(tmp_path)

    class Sequence(Peer):
        pass

    Sequence.bench = bench
    chosen = settings(
        max_examples=scale.pick(25, EXAMPLES),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with bench.scp:
        run_state_machine_as_test(seeded(scale.seed)(Sequence), settings=chosen)
        wait_until(lambda: bench.scp.connections == 0, timeout_s=30)
    scale.say(f"{bench.sequences} sequences of {bench.messages} messages; {bench.honest} honest images stored")
    assert list(bench.incoming.iterdir()) == []
    assert bench.honest > 0
