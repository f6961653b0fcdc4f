"""Memory of a step, and between steps, which ask for the same large pieces again."""

from __future__ import annotations

import ctypes
from functools import partial

import torch
from torch.utils.checkpoint import checkpoint

from patchclip_core.models.network import FindingsNetwork

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of `mallopt` in glibc's malloc.h."""


def keep_freed_memory() -> bool:
    """Let the C library keep what tensors free; tell whether it does.

    Left alone, glibc gives large pieces back at once, and the system fills each page with zeros when the next step
    touches it again: up to a third of a small network's step. It holds for the whole process, whose memory no longer
    shrinks; its peak stays what it was. Other C libraries have no such parameters: nothing changes there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))


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
