"""Another program fills and frees the node's disk again and again while it receives, analyses and returns."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endurance.kept import KeptNode
from tests.endurance.scale import Scale
from tests.endurance.senders import Modalities
from tests.endurance.test_kills import COMMANDS, RETRY, all_ended, assert_kept
from tests.peers.archive import Archive
from tests.peers.node import new_node
from tests.peers.processes import wait_until

pytestmark = pytest.mark.long_only

MIB = 1024**2
DISK_BYTES, RESERVE_BYTES = 512 * MIB, 64 * MIB
STUDIES, IMAGES_A_STUDY = 60, 3
"""Each image may be a separate revision: 0.9 MB of results and pictures each, 160 MB of this disk for ever."""
LEFT_BYTES = (0, 0, 4096, MIB, RESERVE_BYTES // 4, RESERVE_BYTES // 2, RESERVE_BYTES, RESERVE_BYTES + MIB)
"""What the other program leaves: nothing, less than the reserve in several ways, hardly more than it."""
FULL_S, FREE_S = (0.5, 4.0), (2.0, 6.0)
END_WITHIN_S = 900.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class OtherProgram(threading.Thread):
    """Takes the disk up to some bytes, for a while, again and again."""

    def __init__(self, disk: Path, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._file = disk / "other"
        self._chance = chance
        self.over = threading.Event()
        self.times = 0

    def run(self) -> None:
        while not self.over.is_set():
            left_bytes = self._chance.choice(LEFT_BYTES)
            took = max(1, shutil.disk_usage(self._file.parent).free - left_bytes)
            with self._file.open("wb") as file, contextlib.suppress(OSError):  # the node was faster
                os.posix_fallocate(file.fileno(), 0, took)
            self.times += 1
            self.over.wait(self._chance.uniform(*FULL_S))
            self._file.unlink()
            self.over.wait(self._chance.uniform(*FREE_S))


def test_a_disk_that_fills_up_again_and_again_loses_nothing(disk: Path, tmp_path: Path, scale: Scale) -> None:
    with Archive() as archive:
        node = new_node(
            tmp_path / "node",
            [archive.destination],
            data_dir=str(disk / "var"),
            limits={"min_free_bytes": RESERVE_BYTES},
            retry=RETRY,
        )
        kept = KeptNode(node, COMMANDS)
        sent = Modalities(node.port, STUDIES, IMAGES_A_STUDY, modalities=3)
        other = OtherProgram(disk, scale.chance())
        began_s = time.monotonic()
        with kept.running(), sent.at_work():
            other.start()
            for _ in range(sent.images):
                sent.send(1)
                time.sleep(0.5)
            wait_until(lambda: len(sent.acknowledged) == sent.images, "all is acknowledged", END_WITHIN_S)
            other.over.set()
            other.join()
            wait_until(lambda: all_ended(node, sent), "all studies end", END_WITHIN_S, every_s=0.5)
            assert_kept(node, sent, archive)
            left = list((node.settings.spool_dir / "incoming").iterdir())
    scale.say(
        f"the disk was full {other.times} times in {time.monotonic() - began_s:.0f} s; {sent.images} images in "
        f"{sent.attempts} C-STORE requests, {kept.restarts} processes ended; the archive got {len(archive.encoded)} "
        f"objects, {len(set(archive.sop_instance_uids))} different ones"
    )
    assert left == []
