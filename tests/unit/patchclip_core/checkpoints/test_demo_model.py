"""The checkpoint that the product ships: small, trained, honest about itself, and its parts what they should be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from patchclip_core.checkpoints.checkpoint import find, load, read_card
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.io import read_radiograph
from patchclip_core.models.efficientnet import EfficientNetImageTower
from patchclip_core.models.methods.patchclip import PatchClip
from patchclip_core.places.preprocess import preprocess
from patchclip_core.values.results import FindingState

_ROOT = Path(__file__).parents[4]
_MOST_BYTES = 40_000_000
_NEAR_PX = 4.0


@pytest.fixture(scope="module")
def demo() -> NetworkAnalyzer:
    loaded = load("demo", device="cpu")
    assert isinstance(loaded, NetworkAnalyzer)
    return loaded


@pytest.fixture(scope="module")
def samples() -> list[Path]:
    found = sorted((_ROOT / "node" / "patchclip_node" / "samples").rglob("*.dcm"))
    assert found
    return found


def test_it_is_small_enough_to_live_in_the_repository() -> None:
    assert sum(file.stat().st_size for file in find("demo").iterdir()) <= _MOST_BYTES


def test_its_card_says_what_it_is() -> None:
    card = read_card(find("demo"))

    assert card.trained
    assert card.calibrated
    assert "research" in card.statement
    assert "NIH ChestX-ray14" in card.training_data
    assert card.licence.endswith("open (2533)")


def test_its_sentence_encoder_agrees_with_the_one_that_it_was_packed_from() -> None:
    stored = json.loads((_ROOT / "tests" / "data" / "minilm_embeddings.json").read_text(encoding="utf-8"))
    model = load("demo", device="cpu")
    assert isinstance(model, NetworkAnalyzer)

    with torch.no_grad():
        ours = model.network.text_tower.read(model.tokenizer(list(stored))).pooled

    cosines = torch.nn.functional.cosine_similarity(ours, torch.tensor(list(stored.values())))
    assert cosines.min() >= 0.98


def test_a_cell_of_its_trunk_answers_to_its_own_square(demo: NetworkAnalyzer, samples: list[Path]) -> None:
    """Where the gradient of random mixtures of a cell's features lies on radiographs, on average over many cells."""
    assert isinstance(demo.network, PatchClip)
    tower = demo.network.image_tower
    assert isinstance(tower, EfficientNetImageTower)
    torch.manual_seed(0)
    drawn = []
    for path in samples[:2]:
        prepared, _ = preprocess(read_radiograph(path), demo.card.preprocess)
        image = torch.from_numpy(prepared[None]).requires_grad_()
        features = tower.cells(tower.features(image))
        where = torch.arange(image.shape[-1]) + 0.5
        for row in range(4, 10):
            column = 13 - row
            mixed = features[0, :, row, column] @ torch.randn(features.shape[1])
            (gradient,) = torch.autograd.grad(mixed, image, retain_graph=True)
            weight = gradient[0, 0] ** 2
            middle = torch.stack([weight.sum(dim=1) @ where, weight.sum(dim=0) @ where]) / weight.sum()
            drawn.append(middle - 32 * torch.tensor([row + 0.5, column + 0.5]))

    assert torch.stack(drawn).mean(dim=0).abs().max() < _NEAR_PX


def test_the_samples_show_each_reported_finding_where_it_was_read(demo: NetworkAnalyzer, samples: list[Path]) -> None:
    """By the readings of samples/ATTRIBUTION.md: what the demo shows is there."""
    table = (samples[0].parent / "ATTRIBUTION.md").read_text(encoding="utf-8").splitlines()
    read = {line.split("`")[1]: line.rsplit("|", 2)[1] for line in table if line.startswith("| `")}
    words = {
        "opacity": "opacity|consolidation",
        "pleural_effusion": "effusion",
        "nodule_mass": "nodule|mass",
    }
    analysed = demo.analyze_batch([read_radiograph(path) for path in samples])

    shown = {
        item.key
        for path, found in zip(samples, analysed, strict=True)
        for item in found.found
        if re.search(words.get(item.key, item.key), read[path.name])
    }
    assert shown == {item.key for item in analysed[0] if item.state is not FindingState.NOT_EVALUATED}


def test_it_speaks_of_the_eight_findings_and_judges_what_it_has_evidence_for(
    demo: NetworkAnalyzer, samples: list[Path]
) -> None:
    (found,) = demo.analyze_batch([read_radiograph(samples[0])])

    assert {item.key for item in found} <= {
        *("opacity", "pleural_effusion", "cardiomegaly", "pneumothorax"),
        *("atelectasis", "edema", "nodule_mass", "fracture"),
    }
    assert found["opacity"].state is not FindingState.NOT_EVALUATED
    assert not [item.key for item in found if item.state is FindingState.ABSENT]  # it misses too many of each
    assert not found["opacity"].lookalikes  # each is judged for itself
    assert found["opacity"].patch_map is not None
    assert np.isfinite(found["opacity"].patch_map).all()
