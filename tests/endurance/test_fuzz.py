"""Mutated PDUs and messages to the receiver as it is run: memory, files and log bounded, an honest sender beside it."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.endurance.attackers import attacked
from tests.endurance.scale import Scale
from tests.endurance.senders import RefusedError, Sending
from tests.peers.node import Node, new_node
from tests.peers.processes import wait_until
from tests.peers.radiographs import radiograph

MESSAGES = 100_000
MEMORY_BOUND_BYTES = 128 * 1024**2
"""How much the receiver's process may grow from the first messages on."""
LOG_BOUND_BYTES_A_MINUTE = 256 * 1024
"""Beside the lines of each image that was kept."""
LINE_BYTES = 500
WARMING_MESSAGES = 300
HONEST_EVERY_S = 0.1


@dataclass
class HonestSender:
    """Sends a new image again and again, and notes how long each took, or why it failed."""

    port: int
    took_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def sending(self) -> Iterator[None]:
        over = threading.Event()

        def run() -> None:
            while not over.is_set():
                began_s = time.monotonic()
                try:
                    self.send()
                except (OSError, struct.error, RefusedError) as error:
                    self.failures.append(f"after {time.monotonic() - began_s:.2f} s: {error!r}")
                self.took_s.append(time.monotonic() - began_s)
                over.wait(HONEST_EVERY_S)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def send(self) -> None:
        association = Sending(self.port, "HONEST")
        try:
            association.store(radiograph(rows=64, columns=64))
        finally:
            association.release()


def spooled_but_unknown(node: Node) -> set[Path]:
    """Return the files of the spool that no row of the ledger names."""
    spool = node.settings.spool_dir
    with node.ledger() as ledger:
        keys = {
            record.instance.spool_key
            for study in ledger.studies.find(limit=10**9)
            for record in ledger.studies.instances(study.study_instance_uid)
        }
    files = {path for path in (spool / "instances").rglob("*") if path.is_file()}
    return {path for path in files if path.name not in keys} | set((spool / "incoming").iterdir())


def test_mutated_messages_cost_their_sender_alone(tmp_path: Path, scale: Scale) -> None:
    node = new_node(tmp_path / "node", known_callers=[{"ae_title": "HONEST", "address": "127.0.0.1"}])
    honest = HonestSender(node.port)
    with node.running("receive") as running:
        receiver = psutil.Process(running.pid)
        attacked(node.port, scale.seed, WARMING_MESSAGES, time.monotonic() + 60, first=10**9)
        before_bytes, logged_bytes = receiver.memory_info().rss, len(node.log)
        began_s = time.monotonic()
        with honest.sending():
            conversations, messages = attacked(
                node.port, scale.seed, scale.pick(400, MESSAGES), scale.deadline_s(), processes=scale.pick(1, 2)
            )
        lasted_s = time.monotonic() - began_s
        grown_bytes, logged_bytes = receiver.memory_info().rss - before_bytes, len(node.log) - logged_bytes
        wait_until(lambda: len(receiver.net_connections()) == 1, "nothing but the listening socket is open", 90)
        files = {Path(file.path).name for file in receiver.open_files()}
        left, kept = spooled_but_unknown(node), node.log.count('"instance_received"')
    scale.say(
        f"{messages} mutated messages in {conversations} conversations, {lasted_s:.0f} s; honest images: "
        f"{len(honest.took_s) - len(honest.failures)} stored, {len(honest.failures)} failed, slowest "
        f"{max(honest.took_s):.2f} s; memory grew by {grown_bytes / 1024**2:.1f} MiB, the log by {logged_bytes} bytes"
    )
    assert honest.failures == []
    assert grown_bytes < MEMORY_BOUND_BYTES
    assert logged_bytes < LOG_BOUND_BYTES_A_MINUTE * (lasted_s / 60 + 1) + LINE_BYTES * kept
    assert left == set()
    its_own = ("ledger.sqlite", "node.log", "receive-")  # the last is its word that it runs, locked while it does
    assert {name for name in files if not name.startswith(its_own)} == set()
