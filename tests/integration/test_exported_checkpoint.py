"""What the trainer exports is what the node loads, decides with, and names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import patchclip_core
from patchclip_core.values.results import FindingState, Radiograph
from patchclip_node.cli import checks
from patchclip_node.cli.check_result import Status
from patchclip_node.cli.checks import run_check
from patchclip_node.settings import NodeSettings
from patchclip_trainer.cli.evaluate import counted
from patchclip_trainer.evaluation.measure_table import Bootstrap
from patchclip_trainer.export.export_checkpoint import ExportSettings, export_checkpoint
from tests.unit.patchclip_trainer.export.conftest import checkpoint, crossval, images

__all__ = ["checkpoint", "crossval", "images"]


def test_an_exported_checkpoint_decides_and_says_what_it_does_not_evaluate(
    checkpoint: Path,
    crossval: Path,
    tmp_path: Path,
) -> None:
    settings = ExportSettings(checkpoint, crossval, bootstrap=Bootstrap(draws=20))
    card = export_checkpoint(settings, tmp_path / "exported", counted)

    model = patchclip_core.load(tmp_path / "exported", device="cpu")
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    (found,) = model.analyze_batch([Radiograph(pixels)])
    results = run_check(checks.model, NodeSettings(data_dir=tmp_path / "data", model=str(tmp_path / "exported")))

    opacity, heart, edema = (found[key] for key in ("opacity", "cardiomegaly", "edema"))
    assert opacity.threshold == card.findings[0].threshold
    assert opacity.probability is not None
    assert opacity.state.is_found == (opacity.probability >= card.findings[0].threshold)
    assert (heart.state, heart.probability) == (FindingState.NOT_EVALUATED, None)
    assert heart.reason == card.findings[1].not_evaluated
    assert edema.patch_map is None
    assert found.model.calibrated
    told = {result.name: result for result in results}
    assert told["model training"].status is Status.OK
    assert "trained and calibrated" in told["model training"].detail
    assert "not evaluated by this model: cardiomegaly: too few images" in told["model findings"].detail
