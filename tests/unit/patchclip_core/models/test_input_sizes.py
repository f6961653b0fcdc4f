"""Towers of the published shapes, but for width and depth, at the sizes at which radiographs are read."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from patchclip_core.models.alignment import Alignment
from patchclip_core.models.encoders import ImageTowerSettings
from patchclip_core.models.towers import ImageSettings, ImageTower

SIDES = (224, 336, 448, 518)
SMALL: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def clip(patch_size: int, image_size: int = 224) -> dict[str, Any]:
    return {"kind": "clip", **SMALL, "patch_size": patch_size, "image_size": image_size}


def auto(model_type: str, patch_size: int, image_size: int, pooling: str = "class", **more: Any) -> dict[str, Any]:
    config = {"model_type": model_type, **SMALL, "patch_size": patch_size, "image_size": image_size, **more}
    return {"kind": "auto", "pooling": pooling, "config": config}


SHAPES: dict[str, dict[str, Any]] = {
    "compact": {"kind": "compact", "input_px": 224, "channels": 3, "widths": (4, 8, 8), "layers": 1},
    "efficientnet": {"kind": "efficientnet", "input_px": 448, "width": 8, "layers": 1, "hidden": 16},
    "efficientnet-16": {"kind": "efficientnet", "input_px": 224, "width": 8, "layers": 1, "hidden": 16, "stride": 16},
    "clip-vit-b-16": clip(16),
    "clip-vit-b-32": clip(32),
    "clip-vit-l-14": clip(14),
    "clip-vit-l-14-336": clip(14, 336),
    "rad-dino": auto("dinov2", 14, 518, mlp_ratio=2),
    "dinov2-registers": auto("dinov2_with_registers", 14, 518, mlp_ratio=2, num_register_tokens=4),
    "dinov3": auto("dinov3_vit", 16, 224, num_register_tokens=4),
    "vit-b-16": auto("vit", 16, 224),
    "deit-b-16": auto("deit", 16, 224),
    "siglip-b-16": auto("siglip_vision_model", 16, 224, pooling="mean"),
}


@functools.cache
def tower(name: str) -> ImageTower:
    adapter: TypeAdapter[ImageSettings] = TypeAdapter(ImageTowerSettings)
    torch.manual_seed(0)
    return adapter.validate_python(SHAPES[name]).build().eval()


def images(name: str, side: int) -> torch.Tensor:
    channels = 1 if SHAPES[name]["kind"] == "efficientnet" else 3
    return torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(1)) * 0.1


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", SHAPES)
def test_a_published_shape_reads_every_usual_size(name: str, side: int) -> None:
    grid = tower(name).align(Alignment.of_input(side)).grid

    with torch.no_grad():
        tokens = tower(name)(images(name, side))

    patches = grid.rows * grid.columns
    assert tokens.patches.shape == (1, patches, tower(name).width)
    assert tokens.positions.shape == (patches, tower(name).width)
    assert bool(tokens.patches.isfinite().all())
    assert bool(tokens.pooled.isfinite().all())
    unseen_px = side - grid.rows * grid.pitch_px
    assert 0 <= unseen_px < 32
    assert grid.centre_px == grid.pitch_px / 2


# A convolutional trunk with random weights hardly answers to its input; where its cells lie has its own test.
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", [name for name in SHAPES if SHAPES[name]["kind"] != "efficientnet"])
def test_at_every_usual_size_a_patch_answers_to_what_lies_in_its_place(name: str, side: int) -> None:
    grid = tower(name).align(Alignment.of_input(side)).grid
    row, column = grid.rows // 2, grid.columns - 1
    x, y = (round(grid.centre_px + index * grid.pitch_px) for index in (column, row))
    reach = int(grid.pitch_px) // 2 - 1
    plain = images(name, side)
    changed = plain.clone()
    changed[..., y - reach : y + reach, x - reach : x + reach] += 3.0

    with torch.no_grad():
        difference = (tower(name)(changed).patches - tower(name)(plain).patches).norm(dim=-1)[0]

    assert int(difference.argmax()) == row * grid.columns + column
