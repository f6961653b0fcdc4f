"""A linear reader answers as it was fitted, beside the network's own heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from patchclip_core.checkpoints.checkpoint import load, read_card, write_card
from patchclip_core.checkpoints.onnx import export_onnx
from patchclip_core.errors import CheckpointError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.card import WEIGHTS_FILE
from patchclip_core.models.compact import CompactImageSettings, CompactTextSettings
from patchclip_core.models.downscaler import DownscalerSettings
from patchclip_core.models.efficientnet import EfficientNetImageSettings
from patchclip_core.models.linear_reader import LinearReader, directions_of, into_shared_space, pooled
from patchclip_core.models.methods.patchclip import PatchClip, PatchClipSettings
from patchclip_core.models.towers import Features
from patchclip_core.values.results import Radiograph
from tests.support.checkpoints import write_checkpoint, write_network

TRUNK = EfficientNetImageSettings(input_px=64, stride=16, width=16, attention_heads=2, hidden=16)
COMPACT = CompactImageSettings(input_px=64, widths=(8, 16), strides=(4, 2), layers=1)
TEXT = CompactTextSettings(vocabulary=20, width=16, layers=1)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def features(count: int = 4, channels: int = 3) -> Features:
    return Features(3 + drawn(count, channels, 5, 5, seed=1))


def fitted_model(folder: Path, *, mirrored: bool = True) -> tuple[NetworkAnalyzer, NetworkAnalyzer]:
    """A model, and the same with a linear reader that says something."""
    first = load(write_checkpoint(folder / "plain", "patchclip", TRUNK), "cpu")
    assert isinstance(first, NetworkAnalyzer)
    assert isinstance(first.network, PatchClip)
    settings, directions = first.network.settings, directions_of(first.texts[0])
    stored = load_file(folder / "plain" / WEIGHTS_FILE)
    network = PatchClip(settings.model_copy(update={"linear_reader": True}))
    left = network.load_state_dict(stored, strict=False)
    assert {name.split(".")[0] for name in left.missing_keys} == {"linear_reader"}
    assert network.linear_reader is not None
    channels = network.linear_reader.centre.shape[0]
    network.linear_reader.fit(drawn(channels), drawn(3, channels, seed=2) / 30, drawn(3, seed=3), directions)
    (folder / "fitted").mkdir()
    for name in first.card.weights_files[1:]:
        (folder / "fitted" / name).write_bytes((folder / "plain" / name).read_bytes())
    write_network(folder / "fitted", network)
    models = []
    for name in ("plain", "fitted"):
        write_card(folder / name, read_card(folder / name).model_copy(update={"mirrored": mirrored}))
        model = load(folder / name, "cpu")
        assert isinstance(model, NetworkAnalyzer)
        models.append(model)
    return models[0], models[1]


def radiograph(rows: int = 80, columns: int = 80) -> Radiograph:
    return Radiograph(np.random.default_rng(0).random((rows, columns), dtype=np.float32))


def test_a_linear_reader_answers_the_regressions_that_it_was_fitted_to() -> None:
    reader, directions = LinearReader(channels=3, embedding=8), drawn(4, 8)
    centre, slopes, biases = drawn(6, seed=2), drawn(4, 6, seed=3), drawn(4, seed=4)

    assert torch.equal(reader(features(), directions), torch.zeros(4, 4))
    reader.fit(centre, slopes, biases, directions)

    wanted = (pooled(features()) - centre) @ slopes.T + biases
    torch.testing.assert_close(reader(features(), directions), wanted, rtol=1e-4, atol=1e-4)


def test_pooled_features_are_mean_and_deviation_and_have_a_gradient_where_nothing_varies() -> None:
    values = features().values
    values[0, 0] = 7.0
    values.requires_grad_()

    found = pooled(Features(values))
    (gradient,) = torch.autograd.grad(found.sum(), values)

    torch.testing.assert_close(found[:, :3], values.mean(dim=(2, 3)))
    torch.testing.assert_close(found[:, 3:], values.flatten(2).std(dim=2, correction=0), atol=1e-5, rtol=1e-5)
    assert bool(gradient.isfinite().all())


def test_findings_whose_sentences_are_alike_cannot_be_fitted_apart() -> None:
    directions = drawn(3, 8)
    directions[2] = 2 * directions[0] - directions[1]

    with pytest.raises(ValueError, match="3 findings do not point 3 ways in a space of 8"):
        into_shared_space(drawn(3, 5), directions)
    with pytest.raises(ValueError, match="5 findings do not point 5 ways in a space of 4"):
        into_shared_space(drawn(5, 2), drawn(5, 4))


def test_what_was_fitted_is_added_to_the_image_and_to_nothing_else(tmp_path: Path) -> None:
    plain, fitted = fitted_model(tmp_path)
    network = fitted.network
    assert isinstance(network, PatchClip)
    assert network.linear_reader is not None
    assert network.trunk is not None
    images = drawn(2, 1, 64, 64, seed=5)
    directions = directions_of(fitted.texts[0])

    with torch.inference_mode():
        before, after = plain.network.answer(images, plain.texts), network.answer(images, fitted.texts)
        from_features = network.answer(network.trunk.features(images), fitted.texts)
        said = network.linear_reader(network.trunk.features(images), directions)

    torch.testing.assert_close(after.image, before.image + said)
    torch.testing.assert_close(after.patches, before.patches)
    torch.testing.assert_close(from_features.image, after.image)
    assert float(said.abs().min()) > 0


def test_an_exported_checkpoint_answers_with_it(tmp_path: Path) -> None:
    """The export asks both, and refuses what answers otherwise."""
    _, fitted = fitted_model(tmp_path)

    card = export_onnx(fitted, tmp_path / "exported")

    assert card.settings["greatest_difference"] < 1e-5
    image = radiograph(64, 64)
    (ours,), (theirs,) = (model.analyze_batch([image]) for model in (fitted, load(tmp_path / "exported")))
    for finding, again in zip(ours, theirs, strict=True):
        assert again.probability == pytest.approx(finding.probability, abs=1e-5)


def test_a_linear_reader_needs_a_fixed_trunk_and_is_not_in_the_published_mode() -> None:
    parts = {"input_px": 64, "embedding": 16, "text_tower": TEXT}

    with pytest.raises(CheckpointError, match="linear_reader: there are no features of a fixed trunk"):
        PatchClip(PatchClipSettings.model_validate({**parts, "image_tower": COMPACT, "linear_reader": True}))
    shrunk = DownscalerSettings(channels=(1, 1), kernel=4, stride=2, padding=1)
    with pytest.raises(CheckpointError, match="no downscaler"):
        PatchClip(
            PatchClipSettings.model_validate(
                {**parts, "image_tower": TRUNK, "downscaler": shrunk, "input_px": 128, "linear_reader": True}
            )
        )
    with pytest.raises(ValidationError, match="mode 'paper' has no linear_reader"):
        PatchClipSettings.model_validate({**parts, "image_tower": TRUNK, "mode": "paper", "linear_reader": True})
