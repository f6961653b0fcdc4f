"""Memory of a step."""

from __future__ import annotations

from functools import partial

import torch
from torch.utils.checkpoint import checkpoint

from patchclip_core.models.network import FindingsNetwork


def recompute_layers(network: FindingsNetwork) -> int:
    """Let each transformer layer of the towers keep its input alone, and compute the rest again for the gradient.

    Returns how many layers there are. Names of weights stay as they are.
    """
    towers = (network.image_tower, network.text_tower)
    lists = [module for tower in towers for module in tower.modules() if isinstance(module, torch.nn.ModuleList)]
    layers = [layer for layers in lists for layer in layers if any(True for _ in layer.parameters())]
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    return len(layers)
