"""docker/'s own commands on this host: the wheel installed, every service started, a study there and back."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from tests.peers.archive import COMPREHENSIVE_SR, SEGMENTATION
from tests.peers.box import Box
from tests.peers.postgresql import new_postgresql
from tests.peers.processes import wait_until
from tests.peers.redis import new_redis
from tests.support.docs import ROOT, fenced, page

pytestmark = [pytest.mark.peer(name) for name in ("redis", "postgresql", "dcmtk", "orthanc", "ohif", "nginx")]
RESULTS = {COMPREHENSIVE_SR, SEGMENTATION, str(SecondaryCaptureImageStorage)}
COMMANDS = "".join(fenced(page("docs/installation.md"), "sh")).splitlines()
(ACCOUNT,) = [line.split() for line in COMMANDS if " run " in line]
(SEND,) = [line.split() for line in COMMANDS if line.startswith("storescu")]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    redis = new_redis(tmp_path / "redis")
    with new_postgresql() as postgresql, redis.running(), postgresql.running():
        postgresql.execute("CREATE DATABASE patchclip")
        (tmp_path / "box").mkdir()
        yield Box(tmp_path / "box", redis, postgresql)


def got(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
    return content


def test_a_study_sent_to_the_archive_comes_back_as_results_that_the_viewer_is_given(box: Box) -> None:
    study = str(dcmread(ROOT / SEND[-1], stop_before_pixels=True).StudyInstanceUID)
    box.install()
    service = ACCOUNT.index("web")
    box.run_once("web", [*ACCOUNT[service + 1 :], "--password-stdin"], "a horse and a battery\n")
    with box.running():
        for name in ("orthanc", "receiver", "web", "worker", "deliver", "ohif"):
            wait_until(partial(box.is_healthy, name), f"{name} is healthy", every_s=0.3)

        words = [str(box.ports["orthanc", 4242]) if word == "4242" else word for word in SEND]
        sent = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert sent.returncode == 0, sent.stderr
        wait_until(lambda: set(box.archive.sop_classes(study).values()) >= RESULTS, "the archive holds the results", 60)

        series = json.loads(got(f"{box.url('ohif', 3000)}/dicom-web/studies/{study}/series?includefield=all"))
        health = json.loads(got(f"{box.url('web', 8042)}/healthz"))
        viewer = got(f"{box.url('ohif', 3000)}/viewer?StudyInstanceUIDs={study}").decode()
        settings = got(f"{box.url('ohif', 3000)}/app-config.js").decode()

    assert {"DX", "SR", "SEG"} <= {one["00080060"]["Value"][0] for one in series}
    assert health["instances"] == 1, "results that come back to the archive are not sent to the node again"
    assert "app-config.js" in viewer
    assert "/dicom-web" in settings
