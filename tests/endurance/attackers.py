"""Processes that send a receiver what it should not get, while the test itself looks at what becomes of it."""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from queue import Queue

from tests.endurance.mutation import conversation

ANSWER_S = 0.05
"""How long a conversation waits for an answer, which need not come."""


@dataclass(frozen=True, slots=True)
class Attack:
    """Which conversations: `first`, `first + step`, ... until `mutated` messages are sent, or it is `until_s`."""

    port: int
    seed: int
    first: int
    step: int
    mutated: int
    until_s: float


def talk(attack: Attack, number: int) -> int:
    """Have one conversation; returns how many mutated messages were sent before the node closed it."""
    sent = 0
    source = (f"127.0.2.{1 + number % 200}", 0)
    with suppress(OSError), socket.create_connection(("127.0.0.1", attack.port), 5, source_address=source) as peer:
        peer.settimeout(ANSWER_S)
        for message in conversation(attack.seed, number):
            peer.sendall(message.content)
            sent += message.is_mutated
            with suppress(TimeoutError):
                if not peer.recv(65536):
                    break
    return sent


def converse(attack: Attack, counts: Queue[tuple[int, int]]) -> None:
    """Have conversations one after another; puts how many there were, and of how many mutated messages."""
    conversations = messages = 0
    while messages < attack.mutated and time.monotonic() < attack.until_s:
        messages += talk(attack, attack.first + conversations * attack.step)
        conversations += 1
    counts.put((conversations, messages))


def _process(attacks: list[Attack], counts: Queue[tuple[int, int]]) -> None:
    threads = [threading.Thread(target=converse, args=(attack, counts)) for attack in attacks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def attacked(
    port: int, seed: int, mutated: int, until_s: float, *, first: int = 0, processes: int = 2, threads: int = 4
) -> tuple[int, int]:
    """Send `mutated` messages from several processes; returns how many conversations and messages that were."""
    lanes = processes * threads
    attacks = [Attack(port, seed, first + lane, lanes, -(-mutated // lanes), until_s) for lane in range(lanes)]
    spawning = multiprocessing.get_context("spawn")
    counts = spawning.Queue()
    running = [
        spawning.Process(target=_process, args=(attacks[number::processes], counts)) for number in range(processes)
    ]
    for process in running:
        process.start()
    found = [counts.get() for _ in attacks]
    for process in running:
        process.join()
    return sum(one for one, _ in found), sum(one for _, one in found)
