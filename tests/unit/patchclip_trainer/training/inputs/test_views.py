"""Where the pixels of a view come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.training.inputs.views import Change, Views, places_of
from patchclip_trainer.training.run_recipe import AugmentRecipe

CHANGES = (
    Change(),
    Change(mirrored=True),
    Change(scale=1.06, shift_x=0.04, shift_y=-0.02),
    Change(scale=0.9, shift_x=-0.1, shift_y=0.2, mirrored=True),
)


def test_places_are_those_of_the_affine_map() -> None:
    side = 7
    theta = torch.zeros(len(CHANGES), 2, 3)
    for rows, one in zip(theta, CHANGES, strict=True):
        across, down = (-1 if one.mirrored else 1) / one.scale, 1 / one.scale
        rows[:] = torch.tensor([[across, 0, -2 * one.shift_x * across], [0, down, -2 * one.shift_y * down]])
    expected = torch.nn.functional.affine_grid(theta, [len(CHANGES), 1, side, side], align_corners=False)

    assert torch.allclose(places_of(CHANGES, side, torch.device("cpu")), expected, atol=1e-6)


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_a_view_of_the_same_size_is_as_sharp_as_its_image(squares: PreparedData, mirror: float) -> None:
    everything = np.arange(len(squares))
    views = Views(squares, AugmentRecipe(shift=0.25, scale=0, brightness=0, contrast=0, mirror=mirror))

    seen, of = views.see(everything, 3, torch.device("cpu"))

    offsets = {(view.geometry.offset_x_px, view.geometry.offset_y_px) for view in of}
    assert len(offsets) > len(squares) / 2
    for pixels, view, image in zip(seen[:, 0].numpy() * 255, of, squares.images, strict=True):
        plain = np.fliplr(image) if view.mirrored else image
        right, down = round(view.geometry.offset_x_px), round(view.geometry.offset_y_px)
        assert (view.geometry.offset_x_px, view.geometry.offset_y_px) == pytest.approx((right, down))
        rows, columns = (slice(max(0, by), len(plain) + min(0, by)) for by in (down, right))
        from_rows, from_columns = (slice(max(0, -by), len(plain) + min(0, -by)) for by in (down, right))
        np.testing.assert_allclose(pixels[rows, columns], plain[from_rows, from_columns], atol=0.01)


def test_features_of_views_shifted_by_parts_of_pixels_are_not_taken_for_those_of_whole_ones(
    squares: PreparedData,
) -> None:
    changes = [Views(squares, AugmentRecipe(shift=0.1, scale=scale)).describe() for scale in (0.0, 0.06)]

    assert [change.get("shifts") for change in changes] == ["whole pixels", None]
