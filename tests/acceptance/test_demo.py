"""`patchclip-node demo` as a newcomer runs it: real processes, a real archive, exit status 0 only if all came back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pydicom
import pytest
import yaml

from tests.peers.processes import listens, wait_until
from tests.peers.radiographs import radiograph, write
from tests.support.analysis import radiograph_file

PLUGINS = Path(__file__).parents[1] / "plugins"
MODEL = PLUGINS / "bright_checkpoint"


@contextmanager
def demo(studies: Path, out: Path, hold: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the demo with the model that marks bright pixels; while the file `hold` exists, it does not answer."""
    command = [sys.executable, "-m", "patchclip_node", "demo", "--studies", str(studies), "--out", str(out)]
    path = filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH", "")])  # the tree under test, not what is installed
    process = subprocess.Popen(
        [*command, "--model", str(MODEL), "--timeout", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path), "BRIGHT_PIXELS_HOLD": str(hold or "")},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    return folder


def left_behind(out: Path) -> list[str]:
    """Return the command lines of processes that still use the demo's configuration."""
    config = str(out / "node.yaml")
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if config in (process.info["cmdline"] or ())
    ]


def open_to_others(folder: Path) -> list[Path]:
    """Return what anybody but its user may read, change or enter, of all that lies in a folder."""
    return [path for path in folder.rglob("*") if path.lstat().st_mode & 0o077]


def test_studies_with_and_without_a_finding_come_back(studies: Path, tmp_path: Path) -> None:
    write(radiograph(study_instance_uid="1.2.1", bright=True, patient_name="Bright^One"), studies / "bright.dcm")
    write(radiograph(study_instance_uid="1.2.2", patient_name="Dark^Two"), studies / "dark.dcm")
    out = tmp_path / "out"

    with demo(studies, out) as process:
        printed, _ = process.communicate(timeout=120)

    assert process.returncode == 0, printed
    assert "2 of 2 studies came back" in printed
    assert "lung opacity" in printed
    assert "patient's right, upper half" in printed
    objects = [pydicom.dcmread(path) for path in sorted((out / "returned").glob("*.dcm"))]
    held = {(item.StudyInstanceUID, item.Modality) for item in objects}
    assert held == {("1.2.1", "SR"), ("1.2.1", "SEG"), ("1.2.2", "SR")}
    assert sorted(path.name for path in out.glob("*.png")) == ["study-01.png", "study-02.png"]
    report = (out / "report.html").read_text(encoding="utf-8")
    assert report.count("data:image/jpeg;base64,") == 4
    assert "Bright^One" in report
    assert "Dark^Two" in report
    assert left_behind(out) == []
    assert len(list((out / "node").rglob("*"))) > 256  # the shards of the spool at least
    assert open_to_others(out) == []


def test_a_study_that_does_not_come_back_is_named_with_its_reason(studies: Path, tmp_path: Path) -> None:
    radiograph_file(studies, "lateral.dcm", "1.2.3", ViewPosition="LL", PatientName="Lateral^View")

    with demo(studies, tmp_path / "out") as process:
        printed, _ = process.communicate(timeout=120)

    assert process.returncode == 1, printed
    assert "did not come back: Lateral^View: not analysed: the view is lateral" in printed
    assert "0 of 1 studies came back" in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_behind(studies: Path, tmp_path: Path, number: signal.Signals) -> None:
    write(radiograph(), studies / "image.dcm")
    out, hold = tmp_path / "out", tmp_path / "hold"
    hold.touch()  # it cannot be done before the signal comes

    with demo(studies, out, hold) as process:
        wait_until((out / "node.log").exists, "the demo has written its configuration and starts its node")
        port = yaml.safe_load((out / "node.yaml").read_text())["port"]
        wait_until(lambda: listens(port), "the demo's node listens")
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)

    assert process.returncode not in {0, None}
    assert "Traceback" not in said
    end = time.monotonic() + 5
    while left_behind(out) and time.monotonic() < end:
        time.sleep(0.1)
    assert left_behind(out) == []
