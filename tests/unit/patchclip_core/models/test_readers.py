"""A network whose image tower has several readers answers the mean of what each would answer alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.efficientnet import EfficientNetImageSettings, EfficientNetImageTower
from patchclip_core.models.methods.patchclip import PatchClip
from tests.support.checkpoints import write_checkpoint

READERS = EfficientNetImageSettings(input_px=64, stride=16, width=16, attention_heads=2, hidden=16, readers=3)


@pytest.fixture(params=["patchclip", "lrclr"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> NetworkAnalyzer:
    loaded = load(write_checkpoint(tmp_path, request.param, READERS), device="cpu")
    assert isinstance(loaded, NetworkAnalyzer)
    return loaded


def test_the_answer_is_the_mean_of_the_readers_answers(model: NetworkAnalyzer) -> None:
    network, tower = model.network, model.network.image_tower
    assert isinstance(tower, EfficientNetImageTower)
    images = torch.randn(2, 1, 64, 64)

    with torch.inference_mode():
        whole = network.answer(images, model.texts)
        readers, alone = list(tower.reading), []
        for reader in readers:
            tower.reading = nn.ModuleList([reader])
            alone.append(network.answer(images, model.texts))

    torch.testing.assert_close(whole.image, torch.stack([one.image for one in alone]).mean(dim=0))
    torch.testing.assert_close(whole.patches, torch.stack([one.patches for one in alone]).mean(dim=0))
    assert not torch.allclose(alone[0].patches, alone[1].patches)


def test_an_embedding_has_length_1_whoever_reads(tmp_path: Path) -> None:
    loaded = load(write_checkpoint(tmp_path, "patchclip", READERS), device="cpu")
    assert isinstance(loaded, NetworkAnalyzer)
    assert isinstance(loaded.network, PatchClip)

    with torch.no_grad():
        embeddings = loaded.network.encode_image(torch.randn(2, 1, 64, 64))

    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(2))
