from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from patchclip_core.checkpoints.checkpoint import load, read_card, write_card
from patchclip_core.checkpoints.onnx import OnnxExportError, export_onnx
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.towers import ImageSettings
from patchclip_core.places.preprocess import preprocess
from patchclip_core.values.results import Radiograph
from tests.support.checkpoints import CLIP, COMPACT, DINO, write_checkpoint

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("architecture", "tower"),
    [("patchclip", COMPACT), ("patchclip", CLIP), ("lrclr", COMPACT), ("lrclr", DINO)],
    ids=["patchclip-compact", "patchclip-clip", "lrclr-compact", "lrclr-dino"],
)
def test_the_exported_graph_gives_the_same_probabilities_and_maps(
    architecture: str, tower: ImageSettings, tmp_path: Path
) -> None:
    model = load(write_checkpoint(tmp_path / "checkpoint", architecture, tower), device="cpu")
    assert isinstance(model, NetworkAnalyzer)
    images = [Radiograph(np.random.default_rng(seed).random((90, 70 + seed), dtype=np.float32)) for seed in range(3)]

    export_onnx(model, tmp_path / "model.onnx")

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for batch in (images, images[:1]):  # any batch size
        prepared = np.stack([preprocess(image, model.card.preprocess)[0].numpy() for image in batch])
        probabilities, maps = session.run(None, {"images": prepared})
        for index, findings in enumerate(model.analyze_batch(batch)):
            assert probabilities[index] == pytest.approx([item.probability for item in findings], abs=1e-4)
            for finding, found in zip(findings, maps[index], strict=True):
                if finding.patch_map is not None:
                    assert found == pytest.approx(finding.patch_map, abs=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["patchclip.findings"]) == list(model.finding_keys)
    assert json.loads(metadata["patchclip.card"])["weights_digest"] == model.identity.weights_digest


def test_a_mirrored_checkpoint_s_graph_looks_at_the_mirror_image_too(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", "patchclip", COMPACT)
    write_card(folder, read_card(folder).model_copy(update={"mirrored": True}))
    model = load(folder, device="cpu")
    assert isinstance(model, NetworkAnalyzer)
    image = Radiograph(np.random.default_rng(0).random((90, 70), dtype=np.float32))

    export_onnx(model, tmp_path / "model.onnx")

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    prepared = preprocess(image, model.card.preprocess)[0].numpy()[None]
    probabilities, maps = session.run(None, {"images": prepared})
    (findings,) = model.analyze_batch([image])
    assert probabilities[0] == pytest.approx([item.probability for item in findings], abs=1e-4)
    assert maps[0][0] == pytest.approx(findings[model.finding_keys[0]].patch_map, abs=1e-4)


def test_the_command_writes_the_shipped_checkpoint_and_says_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "patchclip_core.checkpoints.onnx"]

    good = subprocess.run([*command, "untrained", tmp_path / "model.onnx"], cwd=ROOT, check=False, timeout=120)
    bad = subprocess.run(
        [*command, "radzero", tmp_path / "no.onnx"], cwd=ROOT, check=False, timeout=120, capture_output=True, text=True
    )

    assert good.returncode == 0
    assert onnxruntime.InferenceSession(tmp_path / "model.onnx").get_inputs()[0].shape[1:] == [1, 448, 448]
    assert bad.returncode == 1
    assert "no checkpoint 'radzero'" in bad.stderr


def test_missing_packages_are_named_with_the_way_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load("untrained", device="cpu")
    assert isinstance(model, NetworkAnalyzer)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(OnnxExportError, match=r"onnx, onnxscript.*pip install 'patchclip\[onnx\]'"):
        export_onnx(model, tmp_path / "model.onnx")
