"""Where a model looks, by the methods that patch maps are compared with, behind one interface.

A *map maker* takes a `NetworkAnalyzer`, a radiograph and a finding's key, and gives a `PlaceMap`; saliency takes
`ImageViews` as well. All of them ask the same model, with the mirror image and the smoothing that its card asks for:
the patch map of its heads, attention rollout (Abnar and Zuidema, ACL 2020) and Grad-CAM (Selvaraju et al., ICCV 2017).
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

from patchclip_core.errors import UnknownFindingError, not_known
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.towers import Features, ImageTower
from patchclip_core.places.preprocess import preprocess
from patchclip_core.places.regions import smoothed
from patchclip_core.values.results import FloatArray, Geometry, Radiograph


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


@dataclass(frozen=True, slots=True, eq=False)
class ImageViews:
    """A radiograph as a network sees it, so that several maps need not look at it again.

    views: the image, or what a fixed trunk made of it; then its mirror image, where the card asks for it.
    """

    views: tuple[torch.Tensor | Features, ...]
    geometry: Geometry


def views_of(analyzer: NetworkAnalyzer, radiograph: Radiograph) -> ImageViews:
    """Prepare a radiograph for saliency maps."""
    image, geometry = preprocess(radiograph, analyzer.card.preprocess)
    images = torch.from_numpy(image[None]).to(analyzer.device)
    both = (images, images.flip(-1)) if analyzer.card.mirrored else (images,)
    trunk = analyzer.network.trunk
    if trunk is None:
        return ImageViews(both, geometry)
    with torch.no_grad():
        return ImageViews(tuple(trunk.features(view) for view in both), geometry)


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


def attention_rollout(analyzer: NetworkAnalyzer, image: Radiograph | ImageViews, finding: str) -> PlaceMap:
    """Return how much of each patch reaches what speaks for the image, through the tower's transformer layers.

    That is the class token, or the mean of the patches in a tower that pools them.

    Each layer passes half of a token on and half of what it attends to, heads averaged. Attention knows no text: maps
    differ between findings only where the card smooths them differently. Raises `ValueError` for a tower without
    transformer layers.
    """
    _index(analyzer, finding)
    tower = analyzer.network.image_tower
    layers = len(transformer_layers(tower.readers[0]))

    def flow_from(view: torch.Tensor | Features, patches: int) -> torch.Tensor:
        with torch.no_grad(), _recorded_attention(tower) as attention:
            analyzer.network.look(view)
        one = torch.eye(attention[0].shape[-1], device=attention[0].device)
        flow = one
        for layer in range(layers):
            reached = torch.stack(attention[layer::layers])  # (readers, T, T)
            flow = (reached + one) / 2 @ flow
        flow = flow.mean(dim=0)
        speaker = flow[-patches:].mean(dim=0) if tower.pools_patches else flow[0]
        return speaker[-patches:]  # patches come last, behind the class token and what else there is

    return _as_the_patch_map(analyzer, image, finding, flow_from, _rollout_covers(tower, layers))


def grad_cam(analyzer: NetworkAnalyzer, image: Radiograph | ImageViews, finding: str) -> PlaceMap:
    """Return the Grad-CAM of the finding's image logit on the patches that enter the last transformer layer.

    On what leaves it the class token, and so the global head's image logit, no longer depends. Raises `ValueError` for
    a tower without transformer layers.
    """
    index = _index(analyzer, finding)
    network = analyzer.network
    layers = [transformer_layers(reader) for reader in network.image_tower.readers]

    def weighed(view: torch.Tensor | Features, patches: int) -> torch.Tensor:
        features: list[torch.Tensor] = []

        def keep_input(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            features.append(given[0] if given else named["hidden_states"])

        hooks = [of_reader[-1].register_forward_pre_hook(keep_input, with_kwargs=True) for of_reader in layers]
        try:
            with torch.enable_grad():
                # Patches need a gradient even where all weights are frozen. Texts made in inference mode are copied.
                answer = network.answer(_followed(view), tuple(part.clone() for part in analyzer.texts))
                gradients = torch.autograd.grad(answer.image[0, index], features)
        finally:
            for hook in hooks:
                hook.remove()
        given = torch.cat(features).detach()[:, -patches:]  # (readers, P, W)
        slopes = torch.cat(gradients)[:, -patches:].mean(dim=1, keepdim=True)
        return (given * slopes).sum(dim=-1).clamp(min=0).mean(dim=0)

    covers = f"the patches that enter the last of {len(layers[0])} transformer layers"
    return _as_the_patch_map(analyzer, image, finding, weighed, covers)


MAP_MAKERS: Mapping[str, MapMaker] = MappingProxyType(
    {"patch_map": patch_map, "attention_rollout": attention_rollout, "grad_cam": grad_cam}
)
"""Every map maker by its name."""


def transformer_layers(tower: nn.Module) -> list[nn.Module]:
    """Return the transformer layers of a tower, first to last: its first list of modules of one type that attend.

    Raises `ValueError` where there are none.
    """
    for module in tower.modules():
        if not isinstance(module, nn.ModuleList) or len({type(layer) for layer in module}) != 1:
            continue
        if isinstance(module[0], nn.TransformerEncoderLayer) or _attention_of(module[0]) is not None:
            return list(module)
    raise ValueError(f"{type(tower).__name__} has no transformer layers that saliency could look into")


@contextmanager
def _recorded_attention(tower: ImageTower) -> Iterator[list[torch.Tensor]]:
    """Yield a list that fills with each layer's attention (T, T), heads averaged, while an image runs through.

    All layers of one reader come before those of the next.
    """
    recorded: list[torch.Tensor] = []

    def ask(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        # PyTorch's own layer computes weights only on request; so what it will see is asked once more.
        assert isinstance(layer, nn.TransformerEncoderLayer)
        states = layer.norm1(given[0]) if layer.norm_first else given[0]
        recorded.append(layer.self_attn(states, states, states, need_weights=True)[1][0])

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if isinstance(weights, torch.Tensor) and weights.ndim == 4 and weights.shape[-1] == weights.shape[-2]:
            recorded.append(weights[0].float().mean(dim=0))

    hooks = []
    for layer in (layer for reader in tower.readers for layer in transformer_layers(reader)):
        if isinstance(layer, nn.TransformerEncoderLayer):
            hooks.append(layer.register_forward_pre_hook(ask))
        else:
            attention = _attention_of(layer)
            assert attention is not None
            hooks.append(attention.register_forward_hook(keep))
    model = getattr(tower, "model", None)
    model = model if hasattr(model, "set_attn_implementation") else None  # else it is not a network of transformers
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


def _attention_of(layer: nn.Module) -> nn.Module | None:
    named = (module for name, module in layer.named_modules() if name.endswith(("attn", "attention")))
    return next(named, None)


def _followed(view: torch.Tensor | Features) -> torch.Tensor | Features:
    if isinstance(view, Features):
        return Features(view.values.clone().requires_grad_())
    return view.clone().requires_grad_()


def _as_the_patch_map(
    analyzer: NetworkAnalyzer,
    image: Radiograph | ImageViews,
    finding: str,
    values_of: Callable[[torch.Tensor | Features, int], torch.Tensor],
    covers: str,
) -> PlaceMap:
    """Return values (P,) of a view as a map, with the mirror image and the smoothing that the patch map has."""
    seen = image if isinstance(image, ImageViews) else views_of(analyzer, image)
    geometry, grid = seen.geometry, seen.geometry.grid
    maps = [_scaled(values_of(view, grid.rows * grid.columns), geometry) for view in seen.views]
    # The second view is the mirror image.
    mean = (maps[0] + maps[1][:, ::-1]) / 2 if len(maps) > 1 else maps[0]
    reach = next((card.smoothing_patches for card in analyzer.card.findings if card.key == finding), 0.0)
    values = _scaled(torch.from_numpy(smoothed(np.ascontiguousarray(mean), geometry, reach)), geometry)
    covers += "; with the mirror image" if len(maps) > 1 else ""
    return PlaceMap(values, geometry, f"{covers}; smoothed over {reach:g} patches" if reach else covers)


def _index(analyzer: NetworkAnalyzer, finding: str) -> int:
    if finding not in analyzer.finding_keys:
        known = not_known(finding, analyzer.finding_keys)
        raise UnknownFindingError(f"the model {analyzer.identity.name} has no finding '{finding}'; {known}")
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
    text = f"all {layers} transformer layers"
    return f"{text}; the convolutions before them are not covered" if tower.begins_with_convolutions else text
