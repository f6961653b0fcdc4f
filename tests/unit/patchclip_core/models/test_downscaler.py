from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from patchclip_core.models.alignment import Alignment
from patchclip_core.models.compact import CompactImageSettings, CompactTextSettings
from patchclip_core.models.downscaler import (
    AnyDownscalerSettings,
    ConvolutionalDownscaler,
    Downscaler,
    DownscalerSettings,
    LearnedDownscaler,
    LearnedDownscalerSettings,
    ResizeSettings,
)
from patchclip_core.models.methods.patchclip import PatchClip, PatchClipSettings

FACTORS = [2, 3, 4, 5, 6]
SIDE = 120


def radiograph_like(channels: int = 1, side: int = SIDE) -> torch.Tensor:
    """A normalised image with broad shadows, ribs, an edge and noise: (2, channels, side, side)."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:side, 0:side] / side
    lungs = np.exp(-(((x - 0.3) / 0.15) ** 2) - ((y - 0.5) / 0.3) ** 2) + np.exp(-(((x - 0.7) / 0.15) ** 2))
    ribs = 0.2 * np.sin(40 * y + 6 * x)
    images = np.stack([0.8 - 0.5 * lungs + ribs + (x > 0.9) + rng.normal(0, 0.05, (side, side)) for _ in range(2)])
    normalised = torch.from_numpy((images - 0.5) / 0.25).float()
    return normalised[:, None].repeat(1, channels, 1, 1)


def plain_resize(images: torch.Tensor, factor: int) -> torch.Tensor:
    """What torch's own anti-aliased resize gives."""
    side = images.shape[-1] // factor
    return torch.nn.functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)


def settings_of(kind: str, factor: int) -> AnyDownscalerSettings:
    """Any kind of downscaler by its name, for one channel."""
    adapter: TypeAdapter[AnyDownscalerSettings] = TypeAdapter(AnyDownscalerSettings)
    return adapter.validate_python({"kind": kind, "factor": factor})


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_learned_downscaler_starts_as_the_anti_aliased_resize(factor: int, channels: int) -> None:
    images = radiograph_like(channels)
    downscaler = LearnedDownscalerSettings(factor=factor, channels=channels).build()

    shrunk = downscaler(images)

    torch.testing.assert_close(shrunk, plain_resize(images, factor), rtol=0, atol=1e-5)
    assert shrunk.min() < 0  # what a normalised input has below zero is kept


@pytest.mark.parametrize("factor", FACTORS)
def test_the_bilinear_downscaler_is_the_anti_aliased_resize(factor: int) -> None:
    images = radiograph_like()

    shrunk = ResizeSettings(kind="bilinear", factor=factor).build()(images)

    torch.testing.assert_close(shrunk, plain_resize(images, factor), rtol=0, atol=1e-5)


@pytest.mark.parametrize("factor", FACTORS)
def test_mixed_precision_changes_no_brightness(factor: int) -> None:
    flat = torch.full((1, 1, SIDE, SIDE), 0.75)
    downscaler = LearnedDownscalerSettings(factor=factor).build()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        shrunk = downscaler(flat)

    assert (shrunk.float() - 0.75).abs().max() < 0.01


@pytest.mark.parametrize("factor", FACTORS)
def test_the_area_downscaler_is_the_mean_of_each_cell(factor: int) -> None:
    images = radiograph_like()

    shrunk = ResizeSettings(kind="area", factor=factor).build()(images)

    expected = torch.nn.functional.interpolate(images, scale_factor=1 / factor, mode="area")
    torch.testing.assert_close(shrunk, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["bilinear", "area"])
def test_a_resize_has_nothing_to_learn_and_nothing_to_save(kind: str) -> None:
    downscaler = settings_of(kind, 2).build()

    assert list(downscaler.parameters()) == []
    assert downscaler.state_dict() == {}


def test_the_hidden_branch_of_a_learned_downscaler_learns() -> None:
    images = radiograph_like()
    target = torch.nn.functional.max_pool2d(images, 2)  # what no linear filter can do
    torch.manual_seed(0)
    downscaler = LearnedDownscaler(LearnedDownscalerSettings(factor=2, hidden=8))
    optimizer = torch.optim.Adam(downscaler.parameters(), lr=0.01)

    losses = []
    for step in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(downscaler(images), target)
        torch.autograd.backward(loss)
        if step == 0:
            assert _gradient(downscaler.added.weight) > 0
            assert _gradient(downscaler.kernel) > 0
        if step == 1:
            assert _gradient(downscaler.hidden.weight) > 0
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.5 * losses[0]


def _gradient(weight: torch.Tensor) -> float:
    assert weight.grad is not None
    return float(weight.grad.abs().sum())


def square(x: int, y: int, spot: int) -> torch.Tensor:
    """A bright square with its corner at pixel (x, y): (1, 1, SIDE, SIDE)."""
    image = torch.zeros(1, 1, SIDE, SIDE)
    image[0, 0, y : y + spot, x : x + spot] = 1.0
    return image


def drift(downscaler: Downscaler, image: torch.Tensor) -> tuple[float, float]:
    """Return how far the centre of mass of the answer to a bright spot, mapped back, lies from the spot's own."""
    with torch.no_grad():
        answer = (downscaler(image) - downscaler(torch.zeros_like(image)))[0, 0]
    grid = downscaler.align(Alignment.of_input(SIDE)).grid
    assert answer.shape == (grid.rows, grid.columns)
    before = centre_of_mass(image[0, 0], 0.5, 1.0)
    after = centre_of_mass(answer, grid.centre_px, grid.pitch_px)
    return after[0] - before[0], after[1] - before[1]


def centre_of_mass(image: torch.Tensor, first: float, pitch: float) -> tuple[float, float]:
    """Return (x, y), for pixels whose centres begin at `first`."""
    centres = first + pitch * torch.arange(len(image), dtype=image.dtype)
    return float((image.sum(0) * centres).sum() / image.sum()), float((image.sum(1) * centres).sum() / image.sum())


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kind", ["learned", "bilinear"])
@pytest.mark.parametrize(("x", "y"), [(50, 61), (57, 48), (60, 60)])
def test_a_bright_pixel_comes_back_where_it_was(kind: str, factor: int, x: int, y: int) -> None:
    downscaler = settings_of(kind, factor).build()

    assert drift(downscaler, square(x, y, 1)) == pytest.approx((0, 0), abs=0.1)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kind", ["learned", "bilinear", "area"])
@pytest.mark.parametrize(("x", "y"), [(50, 61), (57, 48)])
def test_a_bright_square_as_large_as_an_output_pixel_comes_back_where_it_was(
    kind: str, factor: int, x: int, y: int
) -> None:
    downscaler = settings_of(kind, factor).build()

    assert drift(downscaler, square(x, y, factor)) == pytest.approx((0, 0), abs=0.1)


@pytest.mark.parametrize(("x", "y"), [(50, 61), (57, 48)])
def test_a_bright_spot_comes_back_from_the_paper_s_convolutions(x: int, y: int) -> None:
    downscaler = ConvolutionalDownscaler(DownscalerSettings(channels=(1, 4, 1), last_relu=True)).eval()
    with torch.no_grad():
        for name, weight in downscaler.named_parameters():
            weight.copy_(torch.zeros_like(weight) if name.endswith("bias") else torch.ones_like(weight))

    pixels = torch.arange(SIDE, dtype=torch.float32)
    # A soft spot: with flat kernels a sharp one weighs its own pixels unevenly.
    soft = torch.outer(torch.exp(-(((pixels - y) / 6) ** 2)), torch.exp(-(((pixels - x) / 6) ** 2)))

    assert drift(downscaler, soft[None, None]) == pytest.approx((0, 0), abs=0.1)


def test_the_paper_s_convolutions_take_900_to_224_with_centres_at_4i_plus_3() -> None:
    grid = ConvolutionalDownscaler(DownscalerSettings(last_relu=True)).align(Alignment.of_input(900)).grid

    assert (grid.rows, grid.columns, grid.pitch_px) == (224, 224, 4)
    assert grid.centre_px == 3 + 0.5  # the pixel with index 3, by its middle


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kind", ["learned", "bilinear", "area"])
@pytest.mark.parametrize("side", [120, 121, 127])
def test_centres_are_a_plain_resize_s(kind: str, factor: int, side: int) -> None:
    downscaler = settings_of(kind, factor).build()

    grid = downscaler.align(Alignment.of_input(side)).grid

    assert (grid.rows, grid.pitch_px, grid.centre_px) == (side // factor, factor, factor / 2)
    assert downscaler(torch.zeros(1, 1, side, side)).shape[-2:] == (grid.rows, grid.columns)


def test_settings_written_before_there_were_kinds_are_the_convolutions() -> None:
    adapter: TypeAdapter[AnyDownscalerSettings] = TypeAdapter(AnyDownscalerSettings)

    read = adapter.validate_python({"channels": [1, 1], "kernel": 4, "stride": 2, "padding": 1, "last_relu": False})

    assert read == DownscalerSettings(channels=(1, 1), kernel=4)


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="kind is one of: learned, convolutions, bilinear, area"):
        settings_of("lanczos", 2)


@pytest.mark.parametrize("kind", ["learned", "bilinear", "area", "convolutions"])
def test_a_network_goes_through_its_settings_and_back_with_every_kind(kind: str) -> None:
    downscaler: dict[str, Any] = {"kind": kind}
    if kind == "convolutions":
        downscaler |= {"channels": (1, 1), "kernel": 4}
    settings = PatchClipSettings.model_validate(
        {
            "input_px": 64,
            "embedding": 8,
            "image_tower": CompactImageSettings(input_px=32, widths=(8,), strides=(8,), layers=1),
            "text_tower": CompactTextSettings(vocabulary=9, width=8, layers=1),
            "downscaler": downscaler,
        }
    )

    again = PatchClipSettings.model_validate_json(settings.model_dump_json())
    network = PatchClip(again).eval()

    assert again == settings
    assert network.encode_image(torch.zeros(1, 1, 64, 64)).shape == (1, 8)
