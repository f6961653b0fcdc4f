"""How weights move: groups with separate learning rates, a schedule that is a function of the step, a mean.

Why not by `torch.optim.lr_scheduler` and `AveragedModel`: docs/decisions/libraries.md.
"""

from __future__ import annotations

import math

import torch

from patchclip_core.models.network import FindingsNetwork
from patchclip_trainer.training.run_recipe import OptimizerRecipe


def make_optimizer(network: FindingsNetwork, recipe: OptimizerRecipe) -> torch.optim.Optimizer:
    """Return an optimizer over what is trainable: tower and new layers apart, matrices with decay, the rest without."""
    new = network.new_parameters()
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            rate = recipe.rate_new if name in new else recipe.rate_tower
            groups.setdefault((rate, recipe.weight_decay if weight.ndim > 1 else 0.0), []).append(weight)
    made = [
        {"params": weights, "lr": rate, "highest": rate, "weight_decay": decay}
        for (rate, decay), weights in groups.items()
    ]
    if recipe.kind == "sgd":
        return torch.optim.SGD(made, lr=0.0, momentum=recipe.momentum)
    return torch.optim.AdamW(made, lr=0.0, fused=True)


def rate_factor(step: int, steps: int, recipe: OptimizerRecipe) -> float:
    """Return what the highest learning rates are multiplied by at a step, counted from 0: in (0, 1]."""
    warmup = math.ceil(recipe.warmup_share * steps)
    if step < warmup:
        return (step + 1) / warmup
    if recipe.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class RunningMean:
    """A network whose weights are the running mean of those of the trained network; the pairs are listed once.

    Weights that are not trained stay as they are; buffers are copied.
    """

    def __init__(self, mean: torch.nn.Module, network: torch.nn.Module) -> None:
        pairs = list(zip(mean.parameters(), network.parameters(), strict=True))
        self._values: list[torch.Tensor] = [value for value, weight in pairs if weight.requires_grad]
        self._weights: list[torch.Tensor] = [weight for _, weight in pairs if weight.requires_grad]
        self._buffers = list(zip(mean.buffers(), network.buffers(), strict=True))

    @torch.no_grad()
    def follow(self, decay: float, step: int) -> None:
        """Move towards the weights; early steps count more, so that the mean does not cling to the start."""
        newer = 1 - min(decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._values, self._weights, newer)
        for buffer, newest in self._buffers:
            buffer.copy_(newest)
