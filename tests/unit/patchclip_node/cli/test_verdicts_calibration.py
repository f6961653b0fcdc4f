"""`verdicts calibration`, and what a site makes of it: a checkpoint that decides by the site's own cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from patchclip_core.checkpoints.checkpoint import load, read_card
from patchclip_core.values.results import FindingState, Radiograph
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.audit import events
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.variants import STANDARD_VARIANTS
from patchclip_node.domain.verdicts import Opinion, VerdictKind
from patchclip_node.services.analyse import AnalysisService, StudyAnalysis
from patchclip_node.services.study_summary import read_summary
from patchclip_node.services.verdicts import VerdictDesk
from patchclip_trainer.cli import app as trainer
from tests.support.analysis import radiograph_file, receive, result_issuer
from tests.support.checkpoints import write_checkpoint
from tests.support.fakes import FakeClock, MemorySpool
from tests.support.studies import OWNER, POLICY
from tests.support.synthetic import FULL_RANGE
from tests.unit.patchclip_node.cli.conftest import Command
from tests.unit.patchclip_node.cli.test_verdicts import UID, analysed

__all__ = ["analysed"]

PATIENTS, IMAGES, SIDE_PX = 12, 4, 64


class Pixels:
    """Decodes what `judged` has written."""

    def read(self, path: Path) -> Radiograph:
        return Radiograph((dcmread(path).pixel_array / 65535).astype(np.float32), display=FULL_RANGE)


@dataclass(frozen=True)
class Judged:
    """A checkpoint that calls an opacity in every image, and what readers said: in which of the images there is one."""

    checkpoint: Path
    radiographs: list[Radiograph]
    is_there: list[bool]


@pytest.fixture
def judged(ledger: SqlLedger, tmp_path: Path) -> Judged:
    spool, clock, chance = MemorySpool(tmp_path / "spool"), FakeClock(), np.random.default_rng(0)
    checkpoint = write_checkpoint(tmp_path / "model", "patchclip")
    for number in range(PATIENTS * IMAGES):
        pixels = chance.integers(0, 1 + 65535 * (number + 1) // (PATIENTS * IMAGES), (SIDE_PX, SIDE_PX))
        patient = number % PATIENTS
        path = radiograph_file(
            tmp_path,
            f"{number}.dcm",
            f"1.2.{patient}",
            PatientID=f"P-{patient}",
            Rows=SIDE_PX,
            Columns=SIDE_PX,
            BitsStored=16,
            HighBit=15,
            PixelData=pixels.astype("<u2").tobytes(),
        )
        receive(ledger, spool, path, clock.now())
    ledger.arrivals.close_quiet(clock.now(), 0)
    plan = ResultPlan({"pacs": STANDARD_VARIANTS})
    analysis = StudyAnalysis(spool, Pixels(), load(checkpoint, "cpu"), result_issuer(), plan)
    service = AnalysisService(ledger.analyses, ledger.recalls, analysis, clock, POLICY, clock)
    while service.run_one(OWNER):
        pass
    said = {}
    for uid in (f"1.2.{patient}" for patient in range(PATIENTS)):
        summary = read_summary(ledger.studies.revisions(uid)[-1].summary_json)
        assert summary is not None
        for image in summary.images:
            (opacity,) = [one for one in image.findings if one.key == "opacity"]
            assert opacity.probability is not None
            assert opacity.state.is_found
            said[image.sop_instance_uid] = (uid, opacity.probability)
    cut = _widest_gap(sorted(probability for _, probability in said.values()))
    desk = VerdictDesk(ledger.studies, ledger.verdicts, clock)
    for image_uid, (uid, probability) in said.items():
        kind = VerdictKind.ACCEPTED if probability > cut else VerdictKind.REJECTED
        desk.give(uid, 1, Opinion(image_uid, "opacity", kind), events.person("rita"))
    files = [tmp_path / f"{number}.dcm" for number in range(PATIENTS * IMAGES)]
    is_there = [said[str(dcmread(file).SOPInstanceUID)][1] > cut for file in files]
    return Judged(checkpoint, [Pixels().read(file) for file in files], is_there)


def _widest_gap(values: list[float]) -> float:
    """Return a cut in the middle third of the values, where rounding moves none of them across it."""
    third = len(values) // 3
    low = max(range(third, 2 * third), key=lambda index: values[index + 1] - values[index])
    return (values[low] + values[low + 1]) / 2


def test_verdicts_of_a_node_become_a_checkpoint_that_calls_what_its_readers_see(
    command: Command, config: Path, judged: Judged, tmp_path: Path
) -> None:
    table, out = tmp_path / "verdicts.csv", tmp_path / "calibrated"
    written = command(
        "verdicts",
        "calibration",
        *("--out", table, "--key-file", tmp_path / "key", "--model", judged.checkpoint, "--config", config),
    )
    assert written.status == 0, written.err
    there = sum(judged.is_there)
    assert f"opacity: {there} present, {len(judged.is_there) - there} absent\n" in written.out
    assert f"verdicts on findings of {PATIENTS} patients" in written.out

    arguments = ["--checkpoint", str(judged.checkpoint), "--verdicts", str(table), "--site", "St Elsewhere"]
    settings = ["--operating-point", "youden", "--least", "10", "--draws", "50", "--out", str(out)]
    made = CliRunner().invoke(trainer, ["calibrate", *arguments, *settings], catch_exceptions=False)

    assert made.exit_code == 0, made.output
    before, after = (
        [found["opacity"] for found in load(folder, "cpu").analyze_batch(judged.radiographs)]
        for folder in (judged.checkpoint, out)
    )
    assert all(one.state.is_found for one in before)
    assert [one.state.is_found for one in after] == judged.is_there
    assert all(one.state is FindingState.POSSIBLE for one in after if one.state.is_found)  # fewer than --least-firm
    assert not any(one.regions for one in after if not one.state.is_found)
    (card,) = [one for one in read_card(out).findings if one.key == "opacity"]
    assert card.evidence is not None
    assert (card.evidence.judged_by, card.evidence.positives) == ("radiologists at St Elsewhere", there)


def test_a_checkpoint_that_no_verdict_is_about_is_named_and_nothing_is_written(
    command: Command, config: Path, analysed: SqlLedger, tmp_path: Path
) -> None:
    summary = read_summary(analysed.studies.revisions(UID)[-1].summary_json)
    assert summary is not None
    opinion = Opinion(summary.images[0].sop_instance_uid, "edema", VerdictKind.ACCEPTED)
    VerdictDesk(analysed.studies, analysed.verdicts, FakeClock()).give(UID, 1, opinion, events.person("rita"))
    table = tmp_path / "verdicts.csv"

    ended = command(
        "verdicts",
        "calibration",
        *("--out", table, "--key-file", tmp_path / "key", "--model", "untrained", "--config", config),
    )

    assert ended.status == 1
    assert "left out: 1 on images that only another checkpoint has analysed" in ended.err
    assert "nothing was written" in ended.err
    assert not table.exists()
