"""How weights move, and the running mean that follows them."""

from __future__ import annotations

import copy

import pytest
import torch

from patchclip_trainer.training.loop.optimize import RunningMean


def network() -> torch.nn.Sequential:
    """A trained layer, one that is not trained, and buffers."""
    made = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    made[1].requires_grad_(False)
    return made


@pytest.mark.parametrize(("step", "share"), [(0, 0.1), (8, 0.5), (10_000, 0.9)])
def test_a_running_mean_keeps_a_share_that_grows_to_its_decay(step: int, share: float) -> None:
    moving = network()
    mean = copy.deepcopy(moving)
    following = RunningMean(mean, moving)
    before = copy.deepcopy(mean.state_dict())
    with torch.no_grad():
        for value in (*moving.parameters(), *moving.buffers()):
            value.add_(2)

    following.follow(0.9, step)

    for name, weight in moving.named_parameters():
        moved = before[name] + (2 * (1 - share) if weight.requires_grad else 0)
        assert torch.allclose(mean.get_parameter(name), moved, atol=1e-6), name
    for name, buffer in moving.named_buffers():
        assert torch.equal(mean.get_buffer(name), buffer), name
