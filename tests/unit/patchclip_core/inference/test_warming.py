from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

import patchclip_core
from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.inference import analyzer as inference
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.inference.scales import TileSettings
from patchclip_core.models.network import Answer, Texts
from patchclip_core.values.results import Findings, ModelIdentity, Radiograph

IDENTITY = ModelIdentity("counting", "1", "sha256:" + "0" * 64, False, False, "none", "none", "It counts.")


@dataclass
class Counting:
    """A model that only counts what it is given."""

    identity: ModelIdentity = IDENTITY
    finding_keys: tuple[str, ...] = ()
    seen: list[Radiograph] = field(default_factory=list)

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        self.seen += radiographs
        return []


def test_any_model_is_warmed_up_by_one_black_radiograph_of_a_usual_size() -> None:
    model = Counting()

    seconds = patchclip_core.warm_up(model)

    (radiograph,) = model.seen
    assert (radiograph.rows, radiograph.columns) == (2500, 2048)
    assert not radiograph.pixels.any()
    assert 0 <= seconds < 60


def test_what_a_warm_model_finds_is_what_a_cold_one_finds() -> None:
    image = Radiograph(np.random.default_rng(0).random((300, 260), dtype=np.float32))
    cold, warm = (load("untrained", device="cpu") for _ in range(2))
    patchclip_core.warm_up(warm)

    (expected,), (found,) = (model.analyze_batch([image]) for model in (cold, warm))

    assert [(item.probability, item.regions) for item in found] == [
        (item.probability, item.regions) for item in expected
    ]


def test_a_pass_in_advance_runs_the_network_in_the_precision_of_every_pass_with_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = load("untrained", device="cpu")
    assert isinstance(loaded, NetworkAnalyzer)
    model = loaded.looking_closer(TileSettings(tiles=2))
    precisions: list[torch.device] = []
    batches: list[int] = []

    def noted(device: torch.device) -> AbstractContextManager[None]:
        precisions.append(device)
        return nullcontext()

    answer = model.network.answer

    def counted(images: torch.Tensor, texts: Texts) -> Answer:
        batches.append(len(images))
        return answer(images, texts)

    monkeypatch.setattr(inference, "_precise", noted)
    monkeypatch.setattr(model.network, "answer", counted)

    patchclip_core.warm_up(model)

    assert batches == [1, 4]
    assert precisions == [model.device, model.device]


def test_loading_alone_runs_nothing() -> None:
    code = (
        "from patchclip_core.models.methods.patchclip import PatchClip\n"
        "def never(*_): raise AssertionError('loading ran the network')\n"
        "PatchClip.answer = never\n"
        "import patchclip_core; patchclip_core.load('untrained', device='cpu')"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
