"""A disk of a few megabytes fills up: nothing takes the reserve, and all goes on when there is room again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchclip_node.adapters.file_spool import FileSpool
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.dicom.headers import read_header
from patchclip_node.domain.errors import StorageFullError
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import STANDARD_VARIANTS, ResultKind, ResultVariant
from patchclip_node.ports.result_sender import Destination, SendOutcome
from patchclip_node.services.analyse import AnalysisService, StudyAnalysis
from patchclip_node.services.analyse.service import ROOM_AGAIN
from patchclip_node.services.receive import ReceiveService
from patchclip_node.services.urgency import UrgencyQuota
from tests.support.analysis import FakeDecoder, OpacityEverywhere, radiograph_file, result_issuer
from tests.support.fakes import FakeClock, FakeSender, make_ledger
from tests.support.lanes import lane
from tests.support.studies import OWNER, POLICY, only_revision

MIB = 1024**2
DISK_BYTES = 64 * MIB
RESERVE_BYTES = 32 * MIB
PICTURE = ResultVariant(ResultKind.SC)


class Node:
    """Receives, analyses and delivers with a spool on a small disk; its ledger lies elsewhere."""

    def __init__(self, disk: Path, folder: Path) -> None:
        self.disk, self.folder = disk, folder
        self.spool = FileSpool(disk / "spool", RESERVE_BYTES)
        self.ledger: SqlLedger = make_ledger(folder)
        self.clock, self.sender = FakeClock(), FakeSender()
        self.analysis = self.analysing(STANDARD_VARIANTS)
        pacs = Destination("pacs", "PACS", "127.0.0.1", 104, fallback=PICTURE)
        self.delivery = lane(pacs, self.ledger, self.spool, self.sender, self.clock, POLICY)

    def analysing(self, variants: tuple[ResultVariant, ...]) -> AnalysisService:
        """Return what analyses, and builds these objects."""
        plan = ResultPlan({"pacs": variants})
        analysis = StudyAnalysis(self.spool, FakeDecoder(), OpacityEverywhere(), result_issuer(), plan)
        return AnalysisService(
            self.ledger.analyses, self.ledger.recalls, analysis, self.clock, POLICY, calendar=self.clock
        )

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.disk).free

    def receive(self, study: str = "1.2.3") -> None:
        path = radiograph_file(self.folder, f"{study}.dcm", study)
        arrived = shutil.copy(path, self.spool.incoming_dir())
        header = read_header(path)
        service = ReceiveService(self.spool, self.ledger.arrivals, self.clock, read_header, 512 * MIB, UrgencyQuota(1))
        service.receive(Path(arrived), "A", "B", "127.0.0.1", header.sop_class_uid, header.sop_instance_uid)
        self.ledger.arrivals.close_quiet(self.clock.now(), 0)

    def leave_free(self, size_bytes: int) -> Path:
        """Let something else take the disk; returns its file."""
        path = self.disk / "somebody"
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, self.free_bytes - size_bytes))
        return path

    def study(self) -> StudyRecord:
        return only_revision(self.ledger)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    disk = tmp_path / "disk"
    disk.mkdir()
    size = f"size={DISK_BYTES}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.decode().strip()}")
    try:
        node = Node(disk, tmp_path)
        yield node
        node.ledger.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_receiving_stops_at_the_reserve_and_goes_on_when_there_is_room(node: Node) -> None:
    taken = node.leave_free(RESERVE_BYTES)
    with pytest.raises(StorageFullError, match=r"limits\.min_free_bytes"):
        node.receive()
    assert list(node.spool.incoming_dir().iterdir()) == []
    assert node.free_bytes >= RESERVE_BYTES - MIB

    taken.unlink()
    node.receive()

    assert node.study().state is StudyState.RECEIVED


@pytest.mark.parametrize("free_bytes", [RESERVE_BYTES // 4, RESERVE_BYTES // 4 + 2 * MIB, RESERVE_BYTES // 2])
def test_analysis_leaves_the_ledgers_part_of_the_reserve_and_goes_on_when_there_is_room(
    node: Node, free_bytes: int
) -> None:
    node.analysis = node.analysing((*STANDARD_VARIANTS, PICTURE))
    node.receive()
    taken = node.leave_free(free_bytes)
    for _ in range(2 * POLICY.analysis_attempts):
        node.analysis.run_one(OWNER)
        node.clock.advance(ROOM_AGAIN.total_seconds())
        assert (node.study().state, node.study().attempts) == (StudyState.RECEIVED, 0)
        assert node.free_bytes >= free_bytes - MIB
    assert list(node.spool.incoming_dir().iterdir()) == []

    taken.unlink()

    assert node.analysis.run_one(OWNER)
    assert node.study().state is StudyState.ANALYSED


def test_reserved_room_is_taken_for_every_process(node: Node) -> None:
    other = FileSpool(node.disk / "spool", RESERVE_BYTES)
    before = node.free_bytes

    with node.spool.reserved(20 * MIB) as room:
        assert before - node.free_bytes >= 20 * MIB
        assert other.free_bytes() <= DISK_BYTES - RESERVE_BYTES - 20 * MIB
        room.write([os.urandom(5 * MIB)])
        assert before - node.free_bytes <= 20 * MIB + MIB  # what was written came out of what was reserved
        with pytest.raises(StorageFullError), other.reserved(40 * MIB):
            pass

    assert before - node.free_bytes <= 5 * MIB + MIB


def test_what_was_built_is_sent_from_a_disk_without_a_free_byte(node: Node) -> None:
    node.receive()
    assert node.analysis.run_one(OWNER)
    node.leave_free(0)
    built = [one.result.spool_key for one in node.ledger.studies.results(node.study().id)]

    while node.delivery.run_one(OWNER):
        pass

    assert node.study().state is StudyState.RETURNED
    assert len(node.sender.received) == len(built)


def test_pictures_that_a_destination_wants_instead_are_drawn_when_there_is_room_again(node: Node) -> None:
    node.receive()
    assert node.analysis.run_one(OWNER)
    for one in node.ledger.studies.results(node.study().id):
        with node.spool.local_path(one.result.spool_key) as path:
            node.sender.errors[path.read_bytes()] = SendOutcome(Path(), "refused", permanent=True, class_refused=True)
    taken = node.leave_free(0)
    node.delivery.run_one(OWNER)
    assert node.study().state is StudyState.RETURNING
    assert node.sender.received == []

    taken.unlink()
    node.clock.advance(POLICY.backoff_max_s)
    while node.delivery.run_one(OWNER):
        pass

    assert node.study().state is StudyState.RETURNED
    (picture,) = (one for one in node.ledger.studies.results(node.study().id) if one.result.kind is ResultKind.SC)
    assert [len(content) for _, content in node.sender.received] == [picture.result.size_bytes]
