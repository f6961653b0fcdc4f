"""A checkpoint opened at another input size than its card's: the same places, seen by more or fewer patches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from patchclip_core.checkpoints.checkpoint import digest_of, load
from patchclip_core.errors import CheckpointError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.heads import PooledPatchHead
from patchclip_core.models.losses import balanced_patch_loss, masked_cross_entropy
from patchclip_core.models.methods.lrclr import Lrclr
from patchclip_core.models.methods.patchclip import PatchClip
from patchclip_core.models.towers import ImageSettings
from patchclip_core.places.preprocess import preprocess
from patchclip_core.places.targets import box_coverage
from patchclip_core.values.results import Box, Radiograph
from tests.support.checkpoints import CLIP, COMPACT, DINO, INPUT_PX, write_checkpoint

PLUGINS = Path(__file__).parents[3] / "plugins"
SHAPES = [(160, 160), (200, 120), (110, 190)]


def opened(checkpoint: Path | str, input_px: int | None = None) -> NetworkAnalyzer:
    model = load(checkpoint, device="cpu", input_px=input_px)
    assert isinstance(model, NetworkAnalyzer)
    return model


def with_square(seed: int) -> tuple[Radiograph, Box]:
    """A dim, noisy radiograph, and the bright square in it."""
    rng = np.random.default_rng(seed)
    rows, columns = SHAPES[seed % len(SHAPES)]
    pixels = rng.uniform(0.2, 0.4, (rows, columns)).astype(np.float32)
    side = max(rows, columns) // 5
    x, y = int(rng.integers(0, columns - side)), int(rng.integers(0, rows - side))
    pixels[y : y + side, x : x + side] = 0.9
    return Radiograph(pixels), Box(x, y, side, side)


def grown(box: Box, by: float) -> Box:
    return Box(box.x - by, box.y - by, box.w + 2 * by, box.h + 2 * by)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Patch-CLIP that has learned, at 64 px, that an opacity is what is bright."""
    folder = write_checkpoint(tmp_path_factory.mktemp("trained"), "patchclip")
    model = opened(folder)
    network = model.network
    assert isinstance(network, PatchClip)
    texts = model.texts[0][:1].clone()
    pictures, targets = [], []
    for seed in range(18):
        radiograph, square = with_square(seed)
        prepared, geometry = preprocess(radiograph, model.card.preprocess)
        pictures.append(torch.from_numpy(prepared))
        targets.append(torch.from_numpy(box_coverage([square], geometry)).flatten())
    images, coverage = torch.stack(pictures), torch.stack(targets)[:, None]  # (B, 1, P)
    everywhere = torch.ones_like(coverage, dtype=torch.bool)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        output = network(images, texts)
        present = torch.ones_like(output.image)
        loss = balanced_patch_loss(output.patches, coverage, everywhere)
        loss = loss + masked_cross_entropy(output.image, present, present.bool())
        torch.autograd.backward(loss)
        optimizer.step()
    save_file(load_file(folder / "weights.safetensors") | network.state_dict(), folder / "weights.safetensors")
    card = json.loads((folder / "card.json").read_text())
    card["weights_digest"] = digest_of([folder / name for name in card["weights_files"]])
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.mark.parametrize("input_px", [48, INPUT_PX, 80, 128, 150])
def test_what_a_trained_model_sees_stays_where_it_is_at_every_input_size(trained: Path, input_px: int) -> None:
    model = opened(trained, input_px)
    shifts = []

    for seed in range(100, 112):
        radiograph, square = with_square(seed)
        (findings,) = model.analyze_batch([radiograph])
        patch_map, geometry = findings["opacity"].patch_map, findings.geometry
        assert patch_map is not None
        assert patch_map.shape == (input_px // 8, input_px // 8)
        row, column = np.unravel_index(patch_map.argmax(), patch_map.shape)
        assert grown(square, geometry.patch_box(0, 0).w / 2).contains(*geometry.patch_centre(float(row), float(column)))
        # Within two patches of the card's size around the square: the middle of what is seen is the square's.
        centres = [geometry.patch_centre(row, column) for row, column in np.ndindex(patch_map.shape)]
        around = grown(square, 2 * 8 * input_px / INPUT_PX / geometry.scale_x)
        weights = patch_map.ravel() * [around.contains(*centre) for centre in centres]
        middle = (np.array(centres) * weights[:, None]).sum(axis=0) / weights.sum()
        shift_px = middle - (square.x + square.w / 2, square.y + square.h / 2)
        shifts.append(shift_px * geometry.scale_x * INPUT_PX / input_px / 8)

    # In patches of the card's size. A patch's width of drift in any direction would show in the mean over the images.
    assert np.mean(shifts, axis=0) == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("architecture", ["patchclip", "lrclr"])
@pytest.mark.parametrize("tower", [COMPACT, CLIP, DINO], ids=["compact", "clip", "dino"])
def test_every_stored_model_opens_at_another_size(architecture: str, tower: ImageSettings, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, architecture, tower)
    own = opened(folder)

    for input_px in (48, 100):
        model = opened(folder, input_px)
        (findings,) = model.analyze_batch([with_square(1)[0]])

        side = input_px // 8
        assert (findings.geometry.grid.rows, findings.geometry.input_rows) == (side, input_px)
        assert model.network.grid == model.card.preprocess.grid == findings.geometry.grid
        for item in findings:
            assert item.probability is not None
            assert np.isfinite(item.probability)
        assert isinstance(model.network, PatchClip | Lrclr)
        assert model.card.settings == model.network.settings.model_dump(mode="json")
        assert model.network.settings.input_px == input_px
    assert opened(folder, INPUT_PX).card == own.card


def test_the_pooled_patch_head_weighs_the_same_places_with_the_same_sum() -> None:
    head = PooledPatchHead(16)
    columns = torch.linspace(0.0, 0.3, 4)
    with torch.no_grad():
        head.weights.copy_(columns.repeat(4))  # the further right, the heavier

    head.resize(8, 8)

    weights = head.weights.detach().reshape(8, 8)
    assert weights.sum().item() == pytest.approx(4 * columns.sum().item(), rel=0.01)
    assert torch.allclose(weights[0], weights[7], atol=1e-6)
    assert bool((weights[0].diff() > 0).all())
    assert head(torch.ones(1, 64, 3)).flatten().tolist() == pytest.approx([2.4] * 3, rel=0.01)


def test_lrclr_selects_the_same_share_of_the_patches(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "lrclr")
    model = opened(folder, 2 * INPUT_PX)

    image = torch.from_numpy(preprocess(with_square(0)[0], model.card.preprocess)[0][None])
    assert isinstance(model.network, Lrclr)
    with torch.no_grad():
        gates = model.network.select(image).gates

    assert gates.shape == (1, 256)
    assert gates.sum() == 64  # 16 of 64 patches on the card


def test_a_model_at_another_size_says_that_it_was_not_tuned_there(trained: Path) -> None:
    own, other = opened(trained), opened(trained, 96)

    assert other.identity.weights_digest == own.identity.weights_digest
    assert not other.identity.calibrated
    assert other.identity.statement == (
        f"{own.identity.statement} Opened at 96 px; its operating points were set at 64 px."
    )


def test_smoothing_reaches_as_far_on_the_radiograph_at_every_size(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "patchclip")
    card = json.loads((folder / "card.json").read_text())
    card["findings"][0]["smoothing_patches"] = 0.8
    (folder / "card.json").write_text(json.dumps(card))

    assert [finding.smoothing_patches for finding in opened(folder, 2 * INPUT_PX).card.findings] == [1.6, 0.0, 0.0]


@pytest.mark.parametrize(
    ("checkpoint", "input_px", "reason"),
    [
        ("untrained", 12, r"cannot be opened at 12 px .*made for 448 px"),
        ("untrained", 16, "has no patch at 16 px"),
        ("untrained", 9000, "cannot be opened at 9000 px"),
        (PLUGINS / "bright_checkpoint", 256, "takes no other input size"),
    ],
)
def test_a_size_that_cannot_be_is_refused_with_the_one_that_can(
    checkpoint: str | Path, input_px: int, reason: str
) -> None:
    with pytest.raises(CheckpointError, match=reason):
        load(checkpoint, device="cpu", input_px=input_px)
