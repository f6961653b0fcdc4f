"""The power fails: what was written and not synced is gone, or there in part. Nothing acknowledged may be missing.

The node's files are recorded while it works; then the disk is rebuilt as of each acknowledgement, and of moments
between them, and looked at. On some of these disks a node is started, which has to bring all to its end.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from pydicom import Dataset

from patchclip_node.domain.states import StudyState
from tests.endurance.disk.crashed_disk import RecordedDisk, build_recorder
from tests.endurance.scale import Scale
from tests.endurance.senders import Modalities
from tests.peers.archive import Archive
from tests.peers.node import Node, new_node
from tests.peers.processes import wait_until

pytestmark = pytest.mark.peer("cc")

STUDIES, IMAGES_A_STUDY, MODALITIES = 20, 3, 3
CUTS_BETWEEN, RESTARTS = 100, 6
PARTS = 2
"""How many disks of each moment have some of what was not synced; one more has nothing of it."""


class Recording:
    """A node that has worked, what was acknowledged when, and what an archive got when: positions in the record."""

    def __init__(self, folder: Path, images: tuple[int, int, int], command: str) -> None:
        self.folder = folder
        self.root, self.record = folder / "disk", folder / "record"
        self.root.mkdir()
        self.acknowledged: list[tuple[int, Dataset]] = []
        self.delivered: list[int] = []
        with Archive(answer=self._deliver) as archive:
            data = str(self.root / "var")
            node = new_node(folder / "node", [archive.destination], data_dir=data, receivers=None)
            node.environment = {
                "LD_PRELOAD": str(build_recorder(folder)),
                "RECORD_ROOT": str(self.root),
                "RECORD_LOG": str(self.record),
            }
            sent = Modalities(node.port, *images)
            sent.tell(lambda dataset: self.acknowledged.append((self._position(), dataset)))
            with node.running(command), sent.at_work():
                sent.send(sent.images)
                wait_until(lambda: len(sent.acknowledged) == sent.images, "all is acknowledged", 300)
                if command == "serve":
                    node.wait_for_end_of(sent.studies, 300)
        self.archived = list(zip(self.delivered, archive.sop_instance_uids, archive.encoded, strict=True))

    def disk(self) -> RecordedDisk:
        return RecordedDisk(self.record, self.root)

    def acknowledged_before(self, position: int) -> dict[str, Dataset]:
        return {dataset.SOPInstanceUID: dataset for at, dataset in self.acknowledged if at <= position}

    def archived_before(self, position: int) -> list[tuple[str, bytes]]:
        return [(uid, encoded) for at, uid, encoded in self.archived if at <= position]

    def _deliver(self, _: Dataset) -> int:
        self.delivered.append(self._position())
        return 0x0000

    def _position(self) -> int:
        return self.record.stat().st_size


def missing(disk: Path, acknowledged: Mapping[str, Dataset]) -> list[str]:
    """Return which images a disk lacks, in the ledger or in the spool, or has with other bytes."""
    data = disk / "var"
    if not acknowledged:
        return []
    if not (data / "ledger.sqlite").exists():
        return list(acknowledged)
    with closing(sqlite3.connect(data / "ledger.sqlite")) as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = ledger.execute("SELECT sop_instance_uid, spool_key, sha256 FROM instances").fetchall()
    kept = {uid for uid, key, sha256 in found if _sha256(data / "spool" / "instances" / key[:2] / key) == sha256}
    return [uid for uid in acknowledged if uid not in kept]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"


def chances(seed: int, parts: int) -> Sequence[random.Random | None]:
    return [None, *(random.Random(f"{seed}/{number}") for number in range(parts))]


def assert_ends_well(recording: Recording, position: int, disk: Path, folder: Path) -> None:
    """Start a node on a disk: studies end, and with what the archive had before each result is there once."""
    acknowledged = recording.acknowledged_before(position)
    studies = sorted({str(dataset.StudyInstanceUID) for dataset in acknowledged.values()})
    with Archive() as archive:
        node = new_node(folder, [archive.destination], data_dir=str(disk / "var"), receivers=None)
        with node.running():
            ended = node.wait_for_end_of(studies, 120)
        assert {study.state for study in ended.values()} <= {StudyState.RETURNED}
        assert_results_once(node, studies, archive, recording.archived_before(position))


def assert_results_once(
    node: Node, studies: Sequence[str], archive: Archive, before: Sequence[tuple[str, bytes]]
) -> None:
    bytes_of: dict[str, set[bytes]] = {}
    for uid, encoded in [*before, *zip(archive.sop_instance_uids, archive.encoded, strict=True)]:
        bytes_of.setdefault(uid, set()).add(encoded)
    expected = set().union(*(node.results_of(uid) for uid in studies))
    assert expected <= set(bytes_of)
    assert {uid for uid, contents in bytes_of.items() if len(contents) > 1} == set()


def test_nothing_acknowledged_is_lost_when_the_power_fails(tmp_path: Path, scale: Scale) -> None:
    images = (STUDIES, IMAGES_A_STUDY, MODALITIES) if scale.long else (2, 1, 2)
    recording = Recording(tmp_path, images, "serve" if scale.long else "receive")
    disk, chance = recording.disk(), scale.chance()
    ends = list(disk.positions())
    between = chance.sample(ends, min(len(ends), scale.pick(15, CUTS_BETWEEN)))
    moments = sorted({*(position for position, _ in recording.acknowledged), *between})
    restarts = set(chance.sample(moments, scale.pick(0, RESTARTS)))
    disks = 0
    for number, position in enumerate(moments):
        disk.play_to(next(end for end in ends if end >= position))
        for part, partly in enumerate(chances(scale.seed + number, scale.pick(1, PARTS))):
            crashed = tmp_path / "crashed"
            disk.write_to(crashed, partly)
            assert missing(crashed, recording.acknowledged_before(position)) == [], f"at {position}, disk {part}"
            disks += 1
            if position in restarts and part == len(restarts) % 2:
                assert_ends_well(recording, position, crashed, tmp_path / f"node-{number}")
            shutil.rmtree(crashed)
    scale.say(
        f"{len(recording.acknowledged)} images, {len(ends)} records ({disk.size / 1024**2:.0f} MiB); the power failed "
        f"at {len(moments)} moments, {disks} disks; {len(restarts)} nodes started on one"
    )
