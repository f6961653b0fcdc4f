"""Weights in fewer bytes: matrices as eight-bit integers with one scale a row, or everything in sixteen bits.

What a training leaves as it is may be stored so: it is rounded when it is first read, so that training, measuring and
use see the very same numbers. A packed file needs no further description: the types of its tensors say what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

Packing = Literal["int8", "float16"]

_SCALE = ".row_scale"
_LEAST_ELEMENTS = 4096
"""Smaller ones are not worth it."""


def pack(weights: Mapping[str, torch.Tensor], packings: Mapping[str, Packing]) -> dict[str, torch.Tensor]:
    """Return the weights as they are stored. packings: by the beginning of a weight's name; others stay as they are.

    int8 is for matrices of some size; what else has such a name, such as a bias, keeps its 32 bits.
    """
    packed: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        packing = next((packings[start] for start in packings if name.startswith(start)), None)
        if packing == "float16" and weight.is_floating_point():
            packed[name] = weight.half()
        elif packing == "int8" and weight.ndim == 2 and weight.numel() >= _LEAST_ELEMENTS:
            scale = weight.float().abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
            packed[name] = (weight.float() / scale).round().to(torch.int8)
            packed[name + _SCALE] = scale
        else:
            packed[name] = weight
    return packed


def unpack(stored: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return what `pack` packed, with 32 bits again. A weight in integers without its scale stays as it is."""
    weights: dict[str, torch.Tensor] = {}
    for name, weight in stored.items():
        if name.endswith(_SCALE):
            continue
        scale = stored.get(name + _SCALE)
        if scale is not None:
            weights[name] = weight.float() * scale
        else:
            weights[name] = weight.float() if weight.dtype == torch.float16 else weight
    return weights
