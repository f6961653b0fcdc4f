from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patchclip_core.checkpoints.checkpoint import digest_of, load, read_card
from patchclip_core.errors import CheckpointError
from patchclip_core.values.results import Analyzer, FindingState, Radiograph

PLUGINS = Path(__file__).parents[3] / "plugins"


@pytest.fixture
def bright_checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PLUGINS / "bright_checkpoint", tmp_path / "bright"))


def change_card(folder: Path, **changes: Any) -> None:
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_plug_in_is_found_by_its_entry_point(bright_checkpoint: Path) -> None:
    model = load(bright_checkpoint)

    assert isinstance(model, Analyzer)
    assert model.identity.name == "bright-pixels"
    assert model.finding_keys == ("opacity", "pleural_effusion", "pneumothorax")


def test_the_bright_model_names_the_bright_rectangle() -> None:
    pixels = np.full((600, 450), 0.2, dtype=np.float32)
    pixels[120:240, 90:300] = 0.9

    (findings,) = load(PLUGINS / "bright_checkpoint").analyze_batch([Radiograph(pixels)])

    (region,) = findings["opacity"].regions
    patch_px = findings.geometry.patch_box(0, 0).w
    assert (region.x, region.y) == pytest.approx((90, 120), abs=patch_px)
    assert (region.w, region.h) == pytest.approx((210, 120), abs=patch_px)
    assert findings["pleural_effusion"].state is FindingState.NOT_SEEN
    assert findings["pneumothorax"].state is FindingState.NOT_EVALUATED


def test_the_bright_model_finds_nothing_in_a_dark_image() -> None:
    (findings,) = load(PLUGINS / "bright_checkpoint").analyze_batch([Radiograph(np.zeros((100, 80), np.float32))])

    assert findings.found == ()


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint 'radzero'.*untrained"):
        load("radzero")


def test_a_folder_without_a_card_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read card\.json"):
        load(tmp_path)


def test_a_card_that_is_no_json_is_refused(bright_checkpoint: Path) -> None:
    (bright_checkpoint / "card.json").write_text("{")

    with pytest.raises(CheckpointError, match="not valid JSON"):
        load(bright_checkpoint)


def test_a_card_with_wrong_keys_is_refused_by_name(bright_checkpoint: Path) -> None:
    change_card(bright_checkpoint, format=2, licens="MIT")

    with pytest.raises(CheckpointError, match=r"(?s)format: .*licens: "):
        load(bright_checkpoint)


def test_damaged_weights_are_refused(bright_checkpoint: Path) -> None:
    weights = bright_checkpoint / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    with pytest.raises(CheckpointError, match="not those of its card"):
        load(bright_checkpoint)


def test_missing_weights_are_named(bright_checkpoint: Path) -> None:
    (bright_checkpoint / "weights.safetensors").unlink()

    with pytest.raises(CheckpointError, match=r"lacks weights\.safetensors"):
        load(bright_checkpoint)


def test_weights_outside_the_folder_are_refused(bright_checkpoint: Path) -> None:
    change_card(bright_checkpoint, weights_files=["../weights.safetensors"])

    with pytest.raises(CheckpointError, match="lie beside the card"):
        load(bright_checkpoint)


def test_an_architecture_that_is_not_installed_is_named_with_those_that_are(bright_checkpoint: Path) -> None:
    change_card(bright_checkpoint, architecture="resnet")

    with pytest.raises(CheckpointError, match=r"'resnet'.*bright_pixels, lrclr, onnx, patchclip"):
        load(bright_checkpoint)


def test_the_digest_is_the_plain_sha_256_of_the_weights() -> None:
    folder = PLUGINS / "bright_checkpoint"

    assert digest_of([folder / "weights.safetensors"]) == read_card(folder).weights_digest


@pytest.mark.parametrize(
    "module",
    ["patchclip_core", "patchclip_core.values.results", "patchclip_core.io", "patchclip_core.checkpoints.checkpoint"],
)
def test_importing_does_not_import_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"

    result = subprocess.run([sys.executable, "-c", code], check=False, env=os.environ, timeout=60)

    assert result.returncode == 0
