"""Where the pixels of a view come from."""

from __future__ import annotations

import torch

from patchclip_trainer.training.inputs.views import Change, places_of

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

    assert torch.allclose(places_of(CHANGES, side), expected, atol=1e-6)
