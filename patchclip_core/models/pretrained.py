"""Towers with weights from a local folder or from the Hugging Face hub, read once: when a training starts.

A source is a folder as `save_pretrained` writes it, or a hub id ("openai/clip-vit-base-patch16"), which `transformers`
downloads unless HF_HUB_OFFLINE is set. Neither pickled code nor code that comes with weights is ever run: weights are
safetensors, or what `torch.load(weights_only=True)` accepts. What is read here goes into a checkpoint that needs none
of it again.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from patchclip_core.errors import CheckpointError
from patchclip_core.models.auto import AutoImageSettings, AutoImageTower, AutoTextSettings
from patchclip_core.models.clip import ClipImageSettings, ClipTextSettings
from patchclip_core.models.efficientnet import MEAN as EFFICIENTNET_MEAN
from patchclip_core.models.efficientnet import STD as EFFICIENTNET_STD
from patchclip_core.models.efficientnet import EfficientNetImageSettings
from patchclip_core.models.efficientnet_weights import read_efficientnet

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_SAME_AS = {"cxr-bert": "bert"}
"""Model types that come with code of their own, but whose encoder is one that `transformers` has."""
_NOT_ARCHITECTURE = {
    *("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "auto_map"),
    *("id2label", "label2id", "problem_type", "output_attentions", "output_hidden_states", "return_dict"),
}


@dataclass(frozen=True, slots=True, eq=False)
class PretrainedImage:
    """An image tower to start from.

    weights: of the tower, by its own names; of a fixed trunk alone, where it has one. mean, std: of its input, one
    number a channel. projection: (D, W) into the space it shared with text, where it had one; logit_scale: likewise.
    """

    settings: ClipImageSettings | AutoImageSettings | EfficientNetImageSettings
    weights: dict[str, torch.Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    projection: torch.Tensor | None = None
    logit_scale: torch.Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PretrainedText:
    """A text tower to start from.

    tokenizer: the content of its tokenizer.json. projection: (D, W), where it had one.
    """

    settings: ClipTextSettings | AutoTextSettings
    weights: dict[str, torch.Tensor]
    tokenizer: str
    projection: torch.Tensor | None = None


def read_clip_image(source: str | Path) -> PretrainedImage:
    """Read the image half of a CLIP. Raises `CheckpointError`."""
    from transformers import CLIPModel  # noqa: PLC0415 - seconds

    model = _read(source, CLIPModel)
    config = model.config.vision_config
    settings = ClipImageSettings(**_fields(ClipImageSettings, config))
    mean, std = _normalisation(source, config.num_channels, CLIP_MEAN, CLIP_STD)
    return PretrainedImage(
        settings,
        _weights(getattr(model.vision_model, "vision_model", model.vision_model)),
        mean,
        std,
        model.visual_projection.weight.detach().float(),
        model.logit_scale.detach().float(),
    )


def read_clip_text(source: str | Path) -> PretrainedText:
    """Read the text half of a CLIP, and its tokenizer. Raises `CheckpointError`."""
    from transformers import CLIPModel  # noqa: PLC0415 - seconds

    model = _read(source, CLIPModel)
    values = _fields(ClipTextSettings, model.config.text_config)
    if values["eos_token_id"] == 2:  # what OpenAI's configurations say by mistake
        values["eos_token_id"] = values["vocab_size"] - 1
    core = getattr(model.text_model, "text_model", model.text_model)
    projection = model.text_projection.weight.detach().float()
    return PretrainedText(ClipTextSettings(**values), _weights(core), _tokenizer(source, "clip"), projection)


def read_efficientnet_image(source: str, settings: EfficientNetImageSettings) -> PretrainedImage:
    """Read the trunk; the layers after it are new. Raises `CheckpointError`."""
    weights = {f"model.{name}": weight for name, weight in read_efficientnet(Path(source)).items()}
    return PretrainedImage(settings, weights, (EFFICIENTNET_MEAN,), (EFFICIENTNET_STD,))


def read_auto_image(source: str | Path) -> PretrainedImage:
    """Read any vision transformer with patch tokens. Raises `CheckpointError`."""
    model, config = _read_auto(source, "vision_config")
    settings = AutoImageSettings(config=config)
    tower = AutoImageTower(settings)
    weights = _weights(model)
    tower.load_state_dict(weights)
    if not tower.has_class_token():
        settings = AutoImageSettings(config=config, pooling="mean")
    mean, std = _normalisation(source, tower.channels, _IMAGENET_MEAN, _IMAGENET_STD)
    return PretrainedImage(settings, weights, mean, std)


def read_auto_text(source: str | Path, pooling: Literal["mean", "class"] = "mean", tokens: int = 128) -> PretrainedText:
    """Read any text encoder and its tokenizer. Raises `CheckpointError`.

    tokens: longest sentence; less where the encoder knows fewer positions.
    """
    model, config = _read_auto(source, "text_config")
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int):
        tokens = min(tokens, positions)
    settings = AutoTextSettings(config=config, pooling=pooling, tokens=tokens)
    return PretrainedText(settings, _weights(model), _tokenizer(source, str(config["model_type"])))


def _read(source: str | Path, kind: Any, **options: Any) -> Any:
    with _explained(source), _without_bar(source):
        model, info = kind.from_pretrained(source, output_loading_info=True, **options)
    missing = [name for name in info["missing_keys"] if not name.startswith("pooler.")]
    if missing or info["mismatched_keys"]:
        wrong = [*missing, *(str(item[0]) for item in info["mismatched_keys"])]
        shown = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise CheckpointError(
            f"the weights in {source} do not fill a {type(model).__name__}: {shown} missing or misfit"
        )
    return model.eval()


def _read_auto(source: str | Path, part: str) -> tuple[Any, dict[str, Any]]:
    from transformers import AutoConfig, AutoModel, PretrainedConfig  # noqa: PLC0415 - seconds

    with _explained(source):
        content, _ = PretrainedConfig.get_config_dict(source)
        content = {name: value for name, value in content.items() if name != "auto_map"}
        model_type = str(content.pop("model_type", None))
        config: Any = AutoConfig.for_model(_SAME_AS.get(model_type, model_type), **content)
    config = getattr(config, part, config)
    model = _read(source, AutoModel, config=config, trust_remote_code=False)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    values = {name: value for name, value in config.to_dict().items() if name not in _NOT_ARCHITECTURE}
    return model, json.loads(json.dumps(values))


def _weights(core: Any) -> dict[str, torch.Tensor]:
    return {f"model.{name}": weight.detach().float() for name, weight in core.state_dict().items()}


def _fields(kind: type[ClipImageSettings | ClipTextSettings], config: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in kind.model_fields if name != "kind"}


def _normalisation(
    source: str | Path, channels: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    path = _file(source, "preprocessor_config.json")
    values = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    mean, std = tuple(values.get("image_mean", mean)), tuple(values.get("image_std", std))
    if channels == 1:
        return (sum(mean) / len(mean),), (sum(std) / len(std),)
    return mean * (channels // len(mean)), std * (channels // len(std))


def _tokenizer(source: str | Path, model_type: str) -> str:
    path = _file(source, "tokenizer.json")
    if path is not None:
        return path.read_text(encoding="utf-8")
    if all(_file(source, name) is None for name in ("vocab.txt", "vocab.json", "sentencepiece.bpe.model")):
        raise CheckpointError(f"{source} has no tokenizer: put the encoder's tokenizer.json (or vocab.txt) beside it")
    import transformers  # noqa: PLC0415 - seconds

    named: Any = transformers
    # Bio_ClinicalBERT has a vocabulary alone, and CXR-BERT's own class is code: BERT's reads both.
    kind = named.BertTokenizerFast if model_type == "bert" else named.AutoTokenizer
    with _explained(source):
        tokenizer = kind.from_pretrained(source, trust_remote_code=False)
        return str(tokenizer.backend_tokenizer.to_str())


def _file(source: str | Path, name: str) -> Path | None:
    from transformers.utils.hub import cached_file  # noqa: PLC0415 - seconds

    with _explained(source):
        found = cached_file(
            source,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_connection_errors=False,
        )
    return None if found is None else Path(found)


@contextmanager
def _without_bar(source: str | Path) -> Iterator[None]:
    """Keep `transformers` from drawing a bar for weights that are here already; a download has its bar."""
    from transformers.utils import logging  # noqa: PLC0415 - seconds

    if not (Path(source).is_dir() and logging.is_progress_bar_enabled()):
        yield
        return
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    try:
        yield
    finally:
        logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped


@contextmanager
def _explained(source: str | Path) -> Iterator[None]:
    try:
        yield
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"the weights of '{source}' hold pickled code, which is never run: save them as safetensors where they are "
            "trusted, and give that folder"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise CheckpointError(
            f"the encoder '{source}' cannot be read: {reason}. Give a folder with config.json and its weights, or "
            "an id of the Hugging Face hub where it can be reached"
        ) from error
