from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from patchclip_core.checkpoints.checkpoint import load, write_card
from patchclip_core.errors import UnknownFindingError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.inference.saliency import (
    MAP_MAKERS,
    ImageViews,
    PlaceMap,
    attention_rollout,
    grad_cam,
    transformer_layers,
    views_of,
)
from patchclip_core.models.auto import AutoImageSettings
from patchclip_core.models.efficientnet import EfficientNetImageSettings
from patchclip_core.models.towers import Features, ImageSettings
from patchclip_core.places.regions import smoothed
from patchclip_core.values.results import Radiograph
from tests.support.checkpoints import CLIP, COMPACT, DINO, write_checkpoint

TOWERS: dict[str, ImageSettings] = {"compact": COMPACT, "clip": CLIP, "dino": DINO}
LAYERS = {"compact": 2, "clip": 3, "dino": 2}


def analyzer(folder: Path, tower: ImageSettings, architecture: str = "patchclip") -> NetworkAnalyzer:
    loaded = load(write_checkpoint(folder, architecture, tower), device="cpu")
    assert isinstance(loaded, NetworkAnalyzer)
    return loaded


def radiograph() -> Radiograph:
    return Radiograph(np.random.default_rng(0).random((90, 70), dtype=np.float32))


@pytest.mark.parametrize("maker", MAP_MAKERS)
@pytest.mark.parametrize("architecture", ["patchclip", "lrclr"])
@pytest.mark.parametrize("tower", TOWERS)
def test_every_map_has_the_patches_shape_and_says_what_it_covers(
    tower: str, architecture: str, maker: str, tmp_path: Path
) -> None:
    model = analyzer(tmp_path, TOWERS[tower], architecture)

    found = MAP_MAKERS[maker](model, radiograph(), "cardiomegaly")

    grid = found.geometry.grid
    assert found.values.shape == (grid.rows, grid.columns) == (8, 8)
    assert np.all((found.values >= 0) & (found.values <= 1))
    assert found.covers


@pytest.mark.parametrize("tower", TOWERS)
def test_rollout_is_the_product_of_the_layers_attention(tower: str, tmp_path: Path) -> None:
    model = analyzer(tmp_path, TOWERS[tower])
    found = attention_rollout(model, radiograph(), "opacity")

    assert found.covers.startswith(f"all {LAYERS[tower]} transformer layers")
    assert ("convolutions" in found.covers) == (tower == "compact")
    assert found.values.max() == 1
    other = attention_rollout(model, radiograph(), "cardiomegaly")
    assert np.array_equal(found.values, other.values), "attention knows no text"


def test_rollout_of_a_tower_that_pools_its_patches_does_not_ask_the_first_one(tmp_path: Path) -> None:
    config = {"model_type": "siglip_vision_model", "num_channels": 1, "hidden_size": 16, "intermediate_size": 32}
    config |= {"image_size": 64, "patch_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    tower = AutoImageSettings.model_validate({"config": config, "pooling": "mean"})

    found = attention_rollout(analyzer(tmp_path, tower), radiograph(), "opacity")

    assert found.values[0, 0] < 1  # half of a token stays with itself in each layer: of the first, were it asked alone


@pytest.mark.parametrize("tower", ["compact", "clip"])
def test_rollout_points_at_the_patch_that_all_attend_to(tower: str, tmp_path: Path) -> None:
    model = analyzer(tmp_path, TOWERS[tower])
    favoured = 1 + 8 * 2 + 5  # behind the class token: row 2, column 5

    def one_stands_out(layer: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        states = given[0].clone()
        states[:] = torch.linspace(-1.0, 1.0, states.shape[-1])
        states[:, favoured] = torch.linspace(1.0, -1.0, states.shape[-1])
        return (states, *given[1:])

    with torch.no_grad():
        for layer in transformer_layers(model.network.image_tower):
            if isinstance(layer, torch.nn.TransformerEncoderLayer):
                width = layer.self_attn.embed_dim
                layer.self_attn.in_proj_weight[:width] = 3 * torch.eye(width)
                layer.self_attn.in_proj_weight[width : 2 * width] = -3 * torch.eye(width)
                layer.self_attn.in_proj_bias.zero_()
            else:
                attention = layer.get_submodule("self_attn")
                for name, factor in (("q_proj", 3.0), ("k_proj", -3.0)):
                    projection = attention.get_submodule(name)
                    assert isinstance(projection, torch.nn.Linear)
                    projection.weight.copy_(factor * torch.eye(len(projection.weight)))
                    projection.bias.zero_()
            layer.register_forward_pre_hook(one_stands_out)

    found = attention_rollout(model, radiograph(), "opacity")

    assert divmod(int(found.values.argmax()), 8) == (2, 5)


def test_rollout_and_grad_cam_look_into_every_reader(tmp_path: Path) -> None:
    tower = EfficientNetImageSettings(input_px=64, stride=16, width=16, attention_heads=2, hidden=16, readers=2)
    model = analyzer(tmp_path, tower)
    before = [maker(model, radiograph(), "opacity").values for maker in (attention_rollout, grad_cam)]

    with torch.no_grad():
        for layer in transformer_layers(model.network.image_tower.readers[1]):
            for weight in layer.parameters():
                weight.normal_()

    after = [maker(model, radiograph(), "opacity").values for maker in (attention_rollout, grad_cam)]
    assert not np.allclose(before[0], after[0])
    assert not np.allclose(before[1], after[1])


@pytest.mark.parametrize("maker", [attention_rollout, grad_cam])
def test_a_map_behind_a_fixed_trunk_is_the_same_from_what_the_trunk_made(
    maker: Callable[[NetworkAnalyzer, Radiograph | ImageViews, str], PlaceMap], tmp_path: Path
) -> None:
    tower = EfficientNetImageSettings(input_px=64, stride=16, width=16, attention_heads=2, hidden=16)
    model = analyzer(tmp_path, tower)
    seen = views_of(model, radiograph())

    found = [maker(model, image, "opacity") for image in (radiograph(), seen)]

    assert "2 transformer layers" in found[0].covers
    assert isinstance(seen.views[0], Features)
    assert found[0].values.shape == (4, 4)
    np.testing.assert_allclose(found[0].values, found[1].values, atol=1e-6)


@pytest.mark.parametrize("maker", [attention_rollout, grad_cam])
def test_saliency_looks_at_the_mirror_image_and_is_smoothed_where_the_patch_map_is(
    maker: Callable[[NetworkAnalyzer, Radiograph | ImageViews, str], PlaceMap], tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path, "patchclip")
    image = radiograph()
    mirror_image = Radiograph(np.ascontiguousarray(image.pixels[:, ::-1]))
    plain = load(folder, device="cpu")
    assert isinstance(plain, NetworkAnalyzer)
    one, other = (maker(plain, each, "opacity").values for each in (image, mirror_image))
    card = plain.card

    write_card(folder, card.model_copy(update={"mirrored": True}))
    mirrored = load(folder, device="cpu")
    smooth = tuple(finding.model_copy(update={"smoothing_patches": 1.0}) for finding in card.findings)
    write_card(folder, card.model_copy(update={"findings": smooth}))
    smoothing = load(folder, device="cpu")

    assert isinstance(mirrored, NetworkAnalyzer)
    assert isinstance(smoothing, NetworkAnalyzer)
    mean = (one + other[:, ::-1]) / 2
    expected = (mean - mean.min()) / (mean.max() - mean.min())
    np.testing.assert_allclose(maker(mirrored, image, "opacity").values, expected, atol=1e-5)
    smoothed_map = maker(smoothing, image, "opacity")
    wanted = smoothed(one, smoothed_map.geometry, 1.0)
    wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
    np.testing.assert_allclose(smoothed_map.values, wanted, atol=1e-5)
    assert smoothed_map.covers.endswith("smoothed over 1 patches")


def test_a_network_without_transformer_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="Conv2d has no transformer layers"):
        transformer_layers(torch.nn.Conv2d(1, 1, 3))


def test_grad_cam_answers_for_its_finding_and_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = analyzer(tmp_path, CLIP)
    for weight in model.network.parameters():
        weight.requires_grad_(False)
    (before,) = model.analyze_batch([radiograph()])

    one, other = (grad_cam(model, radiograph(), key).values for key in ("opacity", "cardiomegaly"))
    attention_rollout(model, radiograph(), "opacity")

    (after,) = model.analyze_batch([radiograph()])
    assert not np.array_equal(one, other)
    assert [item.probability for item in before] == [item.probability for item in after]


def test_a_finding_that_the_model_does_not_know_is_named_with_those_it_knows(tmp_path: Path) -> None:
    model = analyzer(tmp_path, COMPACT)

    for maker in MAP_MAKERS.values():
        with pytest.raises(UnknownFindingError, match=r"'hernia'.*opacity, cardiomegaly, edema"):
            maker(model, radiograph(), "hernia")


def test_a_finding_without_a_place_has_no_patch_map(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finding without a place"):
        MAP_MAKERS["patch_map"](analyzer(tmp_path, COMPACT), radiograph(), "edema")
