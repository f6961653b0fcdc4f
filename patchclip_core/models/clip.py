"""CLIP's towers as `transformers` builds them, from a configuration alone; weights are read once, for a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, Field
from torch import nn

from patchclip_core.models.alignment import Alignment
from patchclip_core.models.positions import interpolated
from patchclip_core.models.pretrained import normalisation_of, read_model, tokenizer_of, weights_of
from patchclip_core.models.tokenizer import TOKENIZER_FILE, ClipTokenizer, stand_in_tokenizer
from patchclip_core.models.towers import (
    ImageSettings,
    ImageTokens,
    ImageTower,
    PretrainedImage,
    PretrainedText,
    TextSettings,
    TextTokens,
    TextTower,
    Tokens,
    Wanted,
    unknown_shape,
)

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the input of OpenAI's weights, in [0, 1]."""

_NAMED = {
    "clip-vit-b-16": "openai/clip-vit-base-patch16",
    "clip-vit-b-32": "openai/clip-vit-base-patch32",
    "clip-vit-l-14": "openai/clip-vit-large-patch14",
    "clip-vit-l-14-336": "openai/clip-vit-large-patch14-336",
}

_LAYERS = "num_hidden_layers"
"""What a recipe may choose of a tower in its shape alone: fewer layers."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """Of an image and a text tower of one name. embedding: width of the space that they share."""

    patch: int
    width: int
    layers: int
    text_width: int
    embedding: int
    image: int = 224


_SHAPES = {
    "openai/clip-vit-base-patch16": _Shape(16, 768, 12, 512, 512),
    "openai/clip-vit-base-patch32": _Shape(32, 768, 12, 512, 512),
    "openai/clip-vit-large-patch14": _Shape(14, 1024, 24, 768, 768),
    "openai/clip-vit-large-patch14-336": _Shape(14, 1024, 24, 768, 768, 336),
}
_HEAD, _WIDENED = 64, 4
"""Width of an attention head, and how much wider the layers between are: the same in all of them."""


class ClipImageSettings(ImageSettings):
    """A CLIPVisionConfig; the defaults are ViT-L/14."""

    named = _NAMED
    brings_projection = True

    kind: Literal["clip"] = "clip"
    image_size: Annotated[int, Field(ge=8)] = 224
    patch_size: Annotated[int, Field(ge=1)] = 14
    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_channels: int = 3
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    @property
    def input_channels(self) -> int:
        """As many as the configuration says."""
        return self.num_channels

    def build(self) -> ClipImageTower:
        """Build the tower."""
        return ClipImageTower(self)

    @classmethod
    def from_recipe(cls, wanted: Wanted) -> PretrainedImage:
        """Read the image half of a CLIP, which takes any size. Raises `CheckpointError`."""
        from transformers import CLIPModel  # noqa: PLC0415 - seconds

        model = read_model(wanted.source, CLIPModel)
        config = model.config.vision_config
        mean, std = normalisation_of(wanted.source, config.num_channels, MEAN, STD)
        return PretrainedImage(
            cls.chosen(wanted.choices, **_fields(cls, config)),
            weights_of(_core(model.vision_model, "vision_model")),
            mean,
            std,
            model.visual_projection.weight.detach().float(),
            model.logit_scale.detach().float(),
        )

    @classmethod
    def in_shape(cls, wanted: Wanted) -> PretrainedImage:
        """Return the image half of a CLIP with random weights. Raises `CheckpointError`."""
        if Path(wanted.source).is_dir():
            return cls.from_recipe(wanted)
        shape, choices, layers = _shape_of(wanted)
        settings = cls.chosen(
            choices,
            image_size=shape.image,
            patch_size=shape.patch,
            hidden_size=shape.width,
            intermediate_size=_WIDENED * shape.width,
            num_hidden_layers=shape.layers if layers is None else layers,
            num_attention_heads=shape.width // _HEAD,
        )
        return PretrainedImage(settings, None, MEAN, STD, _projection(shape.embedding, shape.width))


class ClipTextSettings(TextSettings):
    """A CLIPTextConfig; the defaults are ViT-L/14's."""

    named = _NAMED
    brings_projection = True
    tokenizer_file = TOKENIZER_FILE

    kind: Literal["clip"] = "clip"
    vocab_size: int = 49408
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = 77
    eos_token_id: int = 49407
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    def build(self) -> ClipTextTower:
        """Build the tower."""
        return ClipTextTower(self)

    def read_tokenizer(self, path: Path) -> ClipTokenizer:
        """Read the tokenizer."""
        return ClipTokenizer(path, self.max_position_embeddings)

    @classmethod
    def from_recipe(cls, wanted: Wanted) -> PretrainedText:
        """Read the text half of a CLIP, and its tokenizer. Raises `CheckpointError`."""
        from transformers import CLIPModel  # noqa: PLC0415 - seconds

        model = read_model(wanted.source, CLIPModel)
        values = _fields(cls, model.config.text_config)
        if values["eos_token_id"] == 2:  # what OpenAI's configurations say by mistake
            values["eos_token_id"] = values["vocab_size"] - 1
        projection = model.text_projection.weight.detach().float()
        weights = weights_of(_core(model.text_model, "text_model"))
        return PretrainedText(
            cls.chosen(wanted.choices, **values), weights, tokenizer_of(wanted.source, "clip"), projection
        )

    @classmethod
    def in_shape(cls, wanted: Wanted) -> PretrainedText:
        """Return the text half with random weights and a tokenizer that stands in. Raises `CheckpointError`."""
        if Path(wanted.source).is_dir():
            return cls.from_recipe(wanted)
        shape, choices, layers = _shape_of(wanted)
        width = {"hidden_size": shape.text_width, "intermediate_size": _WIDENED * shape.text_width}
        depth = {} if layers is None else {_LAYERS: layers}
        settings = cls.chosen(choices, **width, **depth, num_attention_heads=shape.text_width // _HEAD)
        tokenizer = stand_in_tokenizer(wanted.sentences, settings.vocab_size)
        return PretrainedText(settings, None, tokenizer, _projection(shape.embedding, shape.text_width))


class ClipImageTower(ImageTower):
    """CLIP's vision transformer, without its projection."""

    def __init__(self, settings: ClipImageSettings) -> None:
        super().__init__()
        from transformers import CLIPVisionConfig, CLIPVisionModel  # noqa: PLC0415 - seconds, for CLIP's towers only

        self.settings = settings
        self.width = settings.hidden_size
        self.model = _core(CLIPVisionModel(CLIPVisionConfig(**_without_kind(settings))), "vision_model")

    @property
    def final_norm(self) -> nn.Module:  # type: ignore[override]  # the module is CLIP's own, under CLIP's name
        """CLIP's post_layernorm, which it applies to the class token alone."""
        norm: nn.Module = self.model.post_layernorm
        return norm

    def align(self, alignment: Alignment) -> Alignment:
        """Patches are cut without overlap."""
        return alignment.convolved(self.settings.patch_size, self.settings.patch_size, 0)

    def forward(self, images: torch.Tensor) -> ImageTokens:
        """Encode, at any size: position embeddings are interpolated. Position 0 is the class token."""
        rows, columns = images.shape[-2:]
        own_size = rows == columns == self.settings.image_size
        output = self.model(pixel_values=images, interpolate_pos_encoding=not own_size)
        table = self.model.embeddings.position_embedding.weight[1:]
        patch = self.settings.patch_size
        positions = interpolated(table, rows // patch, columns // patch)  # (P, W)
        return ImageTokens(output.pooler_output, output.last_hidden_state[:, 1:], positions)


class ClipTextTower(TextTower):
    """CLIP's text transformer, without its projection: the state at the end-of-text token."""

    def __init__(self, settings: ClipTextSettings) -> None:
        super().__init__()
        from transformers import CLIPTextConfig, CLIPTextModel  # noqa: PLC0415 - seconds, for CLIP's towers only

        self.settings = settings
        self.width = settings.hidden_size
        config = CLIPTextConfig(**_without_kind(settings), bos_token_id=None, pad_token_id=None)
        self.model = _core(CLIPTextModel(config), "text_model")

    def read(self, tokens: Tokens) -> TextTokens:
        """Encode."""
        output = self.model(input_ids=tokens.ids, attention_mask=tokens.mask.long())
        return TextTokens(output.pooler_output, output.last_hidden_state)


def _shape_of(wanted: Wanted) -> tuple[_Shape, dict[str, Any], Any]:
    """Return a named encoder's shape, the recipe's other choices, and how many layers it wants."""
    if wanted.source not in _SHAPES:
        raise unknown_shape(wanted.source, _NAMED)
    choices = dict(wanted.choices)
    layers = choices.pop(_LAYERS, None)
    return _SHAPES[wanted.source], choices, layers


def _projection(rows: int, width: int) -> torch.Tensor:
    """Return random weights as CLIP draws its projections."""
    return torch.randn(rows, width).mul_(width**-0.5)


def _core(model: Any, name: str) -> Any:
    # Releases of transformers differ in whether a tower is wrapped once more; weights keep one name here.
    return getattr(model, name, model)


def _fields(kind: type[BaseModel], config: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in kind.model_fields if name != "kind"}


def _without_kind(settings: BaseModel) -> dict[str, Any]:
    return settings.model_dump(exclude={"kind"})
