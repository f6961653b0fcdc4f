"""Where a model looks, by the methods that patch maps are compared with, behind one interface.

A *map maker* takes (analyzer, radiograph, finding's key) and gives a `PlaceMap`. All of them ask the same model: the
patch map of its heads, attention rollout (Abnar and Zuidema, ACL 2020) and Grad-CAM (Selvaraju et al., ICCV 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from patchclip_core.inference import NetworkAnalyzer
from patchclip_core.models.auto import AutoImageTower
from patchclip_core.models.compact import CompactImageTower
from patchclip_core.models.towers import ImageTower
from patchclip_core.preprocess import preprocess
from patchclip_core.types import FloatArray, Geometry, Radiograph


@dataclass(frozen=True, slots=True, eq=False)
class PlaceMap:
    """A map of where a finding is.

    values: (grid rows, grid columns) float32 in [0, 1]; a saliency map's highest value is 1, or all are 0.
    covers: in plain language, which layers of the model the map looks into.
    """

    values: FloatArray
    geometry: Geometry
    covers: str


MapMaker = Callable[[NetworkAnalyzer, Radiograph, str], PlaceMap]


def patch_map(analyzer: NetworkAnalyzer, radiograph: Radiograph, finding: str) -> PlaceMap:
    """Return the model's own patch probabilities. Raises `ValueError` for a finding without a map."""
    _index(analyzer, finding)
    (findings,) = analyzer.analyze_batch([radiograph])
    values = findings[finding].patch_map
    if values is None:
        raise ValueError(f"the model has no map of {finding}: its card calls it a finding without a place")
    covers = "the patch head, above all layers of the image tower"
    smoothing = {card.key: card.smoothing_patches for card in analyzer.card.findings}.get(finding, 0.0)
    return PlaceMap(
        values, findings.geometry, f"{covers}, smoothed over {smoothing:g} patches" if smoothing else covers
    )


def attention_rollout(analyzer: NetworkAnalyzer, radiograph: Radiograph, finding: str) -> PlaceMap:
    """Return how much of each patch reaches what speaks for the image, through the tower's transformer layers.

    That is the class token, or the mean of the patches in a tower that pools them.

    Each layer passes half of a token on and half of what it attends to, heads averaged. The map is the same for every
    finding: attention knows no text. Raises `ValueError` for a tower without transformer layers.
    """
    _index(analyzer, finding)
    tower = analyzer.network.image_tower
    image, geometry = _input(analyzer, radiograph)
    with torch.no_grad(), _recorded_attention(tower) as attention:
        analyzer.network.look(image)
    flow = torch.eye(attention[0].shape[-1], device=image.device)
    for layer in attention:
        flow = (layer + torch.eye(len(layer), device=layer.device)) / 2 @ flow
    patches = geometry.grid.rows * geometry.grid.columns
    pools = isinstance(tower, AutoImageTower) and tower.settings.pooling == "mean"
    speaker = flow[-patches:].mean(dim=0) if pools else flow[0]
    values = speaker[-patches:]  # patches come last, behind the class token and what else there is
    return PlaceMap(_scaled(values, geometry), geometry, _rollout_covers(tower, len(attention)))


def grad_cam(analyzer: NetworkAnalyzer, radiograph: Radiograph, finding: str) -> PlaceMap:
    """Return the Grad-CAM of the finding's image logit on the patches that enter the last transformer layer.

    On what leaves it the class token, and so the global head's image logit, no longer depends. Raises `ValueError` for
    a tower without transformer layers.
    """
    index = _index(analyzer, finding)
    network = analyzer.network
    image, geometry = _input(analyzer, radiograph)
    patches = geometry.grid.rows * geometry.grid.columns
    layers = transformer_layers(network.image_tower)
    features: list[torch.Tensor] = []

    def keep_input(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        features.append(given[0] if given else named["hidden_states"])

    hook = layers[-1].register_forward_pre_hook(keep_input, with_kwargs=True)
    try:
        with torch.enable_grad():
            # The features need a gradient even where every weight is frozen. Texts made in inference mode are copied.
            answer = network.answer(image.requires_grad_(), tuple(part.clone() for part in analyzer.texts))
            (gradient,) = torch.autograd.grad(answer.image[0, index], features[0])
    finally:
        hook.remove()
    of_patches, gradient = features[0].detach()[0, -patches:], gradient[0, -patches:]  # (P, W)
    values = (of_patches * gradient.mean(dim=0)).sum(dim=-1).clamp(min=0)
    covers = f"the patches that enter the last of {len(layers)} transformer layers"
    return PlaceMap(_scaled(values, geometry), geometry, covers)


MAP_MAKERS: Mapping[str, MapMaker] = MappingProxyType(
    {"patch_map": patch_map, "attention_rollout": attention_rollout, "grad_cam": grad_cam}
)
"""Every map maker by its name."""


def transformer_layers(tower: nn.Module) -> list[nn.Module]:
    """Return the transformer layers of a tower, first to last: its first list of modules of one type.

    Raises `ValueError` where there are none.
    """
    for module in tower.modules():
        if isinstance(module, nn.ModuleList) and len(module) > 0 and len({type(layer) for layer in module}) == 1:
            return list(module)
    raise ValueError(f"{type(tower).__name__} has no transformer layers that saliency could look into")


@contextmanager
def _recorded_attention(tower: ImageTower) -> Iterator[list[torch.Tensor]]:
    """Yield a list that fills with each layer's attention (T, T), heads averaged, while an image runs through."""
    recorded: list[torch.Tensor] = []

    def ask(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        # PyTorch's own layer does not compute weights that nobody asks for; what it will see is asked once more.
        assert isinstance(layer, nn.TransformerEncoderLayer)
        states = layer.norm1(given[0]) if layer.norm_first else given[0]
        recorded.append(layer.self_attn(states, states, states, need_weights=True)[1][0])

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if isinstance(weights, torch.Tensor) and weights.ndim == 4 and weights.shape[-1] == weights.shape[-2]:
            recorded.append(weights[0].float().mean(dim=0))

    hooks = []
    for layer in transformer_layers(tower):
        if isinstance(layer, nn.TransformerEncoderLayer):
            hooks.append(layer.register_forward_pre_hook(ask))
        else:
            attention = next(module for name, module in layer.named_modules() if name.endswith(("attn", "attention")))
            hooks.append(attention.register_forward_hook(keep))
    model = getattr(tower, "model", None)
    before = model.config._attn_implementation if model is not None else None  # noqa: SLF001 - transformers has no getter
    try:
        if model is not None:
            model.set_attn_implementation("eager")  # the others do not keep weights
        yield recorded
    finally:
        if model is not None:
            model.set_attn_implementation(before)
        for hook in hooks:
            hook.remove()


def _input(analyzer: NetworkAnalyzer, radiograph: Radiograph) -> tuple[torch.Tensor, Geometry]:
    image, geometry = preprocess(radiograph, analyzer.card.preprocess)
    return image[None].to(analyzer.device), geometry


def _index(analyzer: NetworkAnalyzer, finding: str) -> int:
    if finding not in analyzer.finding_keys:
        known = ", ".join(analyzer.finding_keys)
        raise ValueError(f"the model {analyzer.identity.name} does not know the finding '{finding}'; it knows {known}")
    return analyzer.finding_keys.index(finding)


def _scaled(values: torch.Tensor, geometry: Geometry) -> FloatArray:
    """From the lowest at 0, or 0 where it is lower already, to the highest at 1."""
    values = values.float()
    values = values - values.min()
    highest = values.max()
    scaled = values / highest if highest > 0 else values
    grid = geometry.grid
    return np.asarray(scaled.cpu(), dtype=np.float32).reshape(grid.rows, grid.columns)


def _rollout_covers(tower: ImageTower, layers: int) -> str:
    convolutional = isinstance(tower, CompactImageTower)
    text = f"all {layers} transformer layers"
    return f"{text}; the convolutions before them are not covered" if convolutional else text
