"""A sender of DCMTK, a receiver, and no worker: what it refuses, in DICOM's terms, and when it takes images again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from patchclip_node.bootstrap.receiver import build_receiver
from patchclip_node.domain.states import StudyState
from patchclip_node.services.backlog import LOOK_S
from patchclip_node.settings import read_settings
from tests.peers import dcmtk
from tests.peers.processes import free_port
from tests.peers.radiographs import radiograph, write
from tests.support.fakes import FakeClock, MemorySpool, make_ledger
from tests.support.studies import LEASE_S, OWNER

pytestmark = pytest.mark.peer("dcmtk")


def test_a_sender_keeps_images_of_new_studies_until_workers_have_caught_up(tmp_path: Path) -> None:
    limits = {"min_free_bytes": 0, "max_waiting_studies": 2, "waiting_studies_again": 1}
    settings = read_settings(None, host="127.0.0.1", port=free_port(), data_dir=tmp_path / "var", limits=limits)
    ledger, clock = make_ledger(tmp_path), FakeClock()
    first, rest, second, third, urgent = (radiograph(rows=16, columns=16) for _ in range(5))
    rest.StudyInstanceUID = first.StudyInstanceUID
    urgent.RequestedProcedurePriority = "STAT"
    files = [write(one, tmp_path / f"{number}.dcm") for number, one in enumerate((first, rest, second, third, urgent))]
    with build_receiver(settings, ledger, MemorySpool(tmp_path / "spool"), clock) as scp:
        assert dcmtk.storescu(scp.port, files[0], files[2]).returncode == 0
        time.sleep(LOOK_S)

        refused = dcmtk.storescu(scp.port, files[3])
        assert refused.returncode != 0
        assert "Refused: OutOfResources" in refused.stderr
        assert dcmtk.storescu(scp.port, files[1], files[4]).returncode == 0
        assert ledger.studies.revisions(str(third.StudyInstanceUID)) == []

        ledger.arrivals.close_quiet(clock.now(), 0)
        for _ in range(2):
            leased = ledger.analyses.lease(clock.now(), OWNER, LEASE_S)
            assert leased is not None
            ledger.analyses.reject(leased.study.id, OWNER, clock.now(), "a lateral view", {})
        time.sleep(LOOK_S)
        assert dcmtk.storescu(scp.port, files[3]).returncode == 0

    assert len(ledger.studies.instances(str(first.StudyInstanceUID))) == 2
    assert len(ledger.studies.find([StudyState.RECEIVING, StudyState.RECEIVED])) == 2
    ledger.close()
