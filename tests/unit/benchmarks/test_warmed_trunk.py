"""Heads stand on the trunk of their own fold's run, which has not seen the fold's images."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from benchmarks.warmed_trunk import main
from patchclip_core.checkpoints.checkpoint import read_card, read_settings
from patchclip_core.checkpoints.loading import fill_weights
from patchclip_core.models.card import WEIGHTS_FILE
from patchclip_core.models.efficientnet import EfficientNetImageTower
from patchclip_core.models.methods.patchclip import PatchClipSettings
from patchclip_trainer.evaluation.out_of_fold import read_out_of_fold
from tests.support.checkpoints import write_network
from tests.support.squares import write_squares
from tests.unit.patchclip_trainer.training.inputs.test_feature_cache import efficientnet_checkpoint

FOLDS = 2


def _predicted(folder: Path, data: Path, recipe: Path, trunks: Path | None = None) -> dict[str, str]:
    of = ["--trunks", str(trunks)] if trunks else []
    main(["--recipe", str(recipe), "--data", str(data), "--out", str(folder), *of])
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return {json.loads(line)["image"]: line for line in lines}


def _change_trunk(checkpoint: Path) -> None:
    """Change a checkpoint's trunk, as a run that trains it does."""
    card = read_card(checkpoint)
    network = read_settings(card, PatchClipSettings).build()
    fill_weights(network, checkpoint / WEIGHTS_FILE)
    tower = network.trunk
    assert isinstance(tower, EfficientNetImageTower)
    with torch.no_grad():
        for weight in tower.model.stages[-1].parameters():
            weight.mul_(-1.5)
    write_network(checkpoint, network)


def test_a_fold_is_predicted_from_its_own_trunk(tmp_path: Path) -> None:
    write_squares(tmp_path / "data", 64)
    start = efficientnet_checkpoint(tmp_path / "start")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"name: toy\nstart: {start}\nfolds: {FOLDS}\nfindings: [pneumothorax]\n", encoding="utf-8")
    for fold in range(FOLDS):
        efficientnet_checkpoint(tmp_path / f"trunks/fold-{fold}/checkpoint")

    published = _predicted(tmp_path / "published", tmp_path / "data", recipe)
    alike = _predicted(tmp_path / "alike", tmp_path / "data", recipe, tmp_path / "trunks")
    _change_trunk(tmp_path / "trunks/fold-1/checkpoint")
    warmed = _predicted(tmp_path / "warmed", tmp_path / "data", recipe, tmp_path / "trunks")

    folds = read_out_of_fold(tmp_path / "warmed")
    assert folds is not None
    assert published == alike
    assert len(published) == len(folds.fold_of) == 32
    assert {folds.fold_of[image] for image in published if published[image] != warmed[image]} == {1}
