"""How weights move: groups with learning rates of their own, a schedule that is a function of the step, a mean."""

from __future__ import annotations

import math

import torch

from patchclip_core.models.network import FindingsNetwork
from patchclip_trainer.training.recipe import OptimizerRecipe


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
    return torch.optim.AdamW(made, lr=0.0)


def rate_factor(step: int, steps: int, recipe: OptimizerRecipe) -> float:
    """Return what the highest learning rates are multiplied by at a step, counted from 0: in (0, 1]."""
    warmup = math.ceil(recipe.warmup_share * steps)
    if step < warmup:
        return (step + 1) / warmup
    if recipe.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@torch.no_grad()
def follow(mean: torch.nn.Module, network: torch.nn.Module, decay: float, step: int) -> None:
    """Move the running mean towards the weights; early steps count more, so that it does not cling to the start."""
    decay = min(decay, (1 + step) / (10 + step))
    weights = dict(network.named_parameters())
    for name, value in mean.named_parameters():
        if weights[name].requires_grad:
            value.lerp_(weights[name], 1 - decay)
    buffers = dict(network.named_buffers())
    for name, buffer in mean.named_buffers():
        buffer.copy_(buffers[name])
