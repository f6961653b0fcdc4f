"""Fuzz the receiver with atheris: what reaches code that was not reached before is kept, and changed further.

    python -m tests.endurance.coverage_guided FOLDER MESSAGES SEED

A separate program, since libFuzzer ends its process. Each input is what a peer sends after its association was
accepted; 40 messages of `mutation` are the first ones. An honest peer sends an image after every 25th. Says what it
did in one line, and ends with status 1 where an honest image failed, a file was left, or memory grew beyond the bound.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import struct
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Final

import atheris
import structlog

with atheris.instrument_imports(
    include=[
        "patchclip_node.scp",
        "patchclip_node.dicom.headers",
        "pynetdicom.acse",
        "pynetdicom.dimse",
        "pynetdicom.dimse_messages",
        "pynetdicom.dul",
        "pynetdicom.fsm",
        "pynetdicom.pdu",
        "pynetdicom.pdu_items",
        "pydicom.filereader",
    ],
    enable_loader_override=False,
):
    from patchclip_node.scp.storage_scp import Endpoint, StorageScp
    from tests.support.scp import OPEN, KeepingReceiver, associate_request, received_pdu, room

import psutil

from tests.endurance.mutation import DX, KINDS
from tests.endurance.senders import RefusedError, Sending
from tests.peers.radiographs import radiograph

ANSWER_S: Final = 0.02
HONEST_EVERY: Final = 25
FIRST_INPUTS: Final = 40
WARMING_MESSAGES: Final = 300
MEMORY_BOUND_BYTES: Final = 128 * 1024**2
LONGEST_INPUT_BYTES: Final = 8192


class Fuzzed:
    """A storage SCP, the peers that talk to it, and what became of it."""

    def __init__(self, folder: Path, messages: int) -> None:
        self.incoming, self.kept = folder / "incoming", folder / "kept"
        for made in (self.incoming, self.kept):
            made.mkdir(parents=True)
        self.scp = StorageScp(KeepingReceiver(self.kept), room(self.incoming), Endpoint("NODE", "127.0.0.1", 0), OPEN)
        self.scp.start()
        self.messages = messages
        self.sent = 0
        self.took_s: list[float] = []
        self.failures: list[str] = []
        self.began_s = time.monotonic()
        self.before_bytes = 0

    def take(self, content: bytes) -> None:
        """Send one input of the fuzzer; ends the process after the last one."""
        source = (f"127.0.2.{1 + self.sent % 200}", 0)
        with suppress(OSError, struct.error), socket.create_connection(("127.0.0.1", self.scp.port), 5, source) as peer:
            peer.sendall(associate_request(DX))
            received_pdu(peer)
            peer.sendall(content)
            peer.settimeout(ANSWER_S)
            peer.recv(65536)
        self.sent += 1
        if self.sent == WARMING_MESSAGES:
            self.before_bytes = psutil.Process().memory_info().rss
        if self.sent % HONEST_EVERY == 0:
            self.send_honestly()
        if self.sent >= self.messages:
            self.end()

    def send_honestly(self) -> None:
        """Store an image as a good peer does."""
        began_s = time.monotonic()
        try:
            association = Sending(self.scp.port, "HONEST")
            association.store(radiograph(rows=8, columns=8))
            association.release()
        except (OSError, struct.error, RefusedError) as error:
            self.failures.append(repr(error))
        self.took_s.append(time.monotonic() - began_s)
        for file in self.kept.iterdir():
            file.unlink()

    def end(self) -> None:
        """Say what became of it, and end the process as libFuzzer would, but with a status that tells."""
        grown_bytes = psutil.Process().memory_info().rss - self.before_bytes if self.before_bytes else 0
        until_s = time.monotonic() + 90
        while any(self.incoming.iterdir()) and time.monotonic() < until_s:
            time.sleep(0.2)
        left = sorted(path.name for path in self.incoming.iterdir())
        sys.stdout.write(
            f"{self.sent} inputs by coverage in {time.monotonic() - self.began_s:.0f} s; honest images: "
            f"{len(self.took_s) - len(self.failures)} stored, {len(self.failures)} failed, slowest "
            f"{max(self.took_s):.2f} s; memory grew by {grown_bytes / 1024**2:.1f} MiB; {len(left)} files left\n"
        )
        for failure in self.failures[:5]:
            sys.stdout.write(f"honest image: {failure}\n")
        sys.stdout.flush()
        os._exit(1 if self.failures or left or grown_bytes > MEMORY_BOUND_BYTES else 0)


def main(folder: Path, messages: int, seed: int) -> None:
    """Write the first inputs, and fuzz. What the SCP logs of each peer is not shown."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    chance = random.Random(seed)
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    for number in range(FIRST_INPUTS):
        kind, _ = KINDS[number % len(KINDS)]
        (inputs / str(number)).write_bytes(kind(chance)[:LONGEST_INPUT_BYTES])
    fuzzed = Fuzzed(folder, messages)
    options = [f"-seed={seed + 1}", f"-max_len={LONGEST_INPUT_BYTES}", "-rss_limit_mb=0", "-timeout=60", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(inputs)], fuzzed.take, enable_python_coverage=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()), int(sys.argv[2]), int(sys.argv[3]))
