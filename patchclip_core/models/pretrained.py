"""Weights as `transformers` has them, from a local folder or from the Hugging Face hub, read once: by a training.

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
from pathlib import Path
from typing import Any

import torch

from patchclip_core.errors import CheckpointError

_SAME_AS = {"cxr-bert": "bert"}
"""Model types that come with their own code, but whose encoder is one that `transformers` has."""
_NOT_ARCHITECTURE = {
    *("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "auto_map"),
    *("id2label", "label2id", "problem_type", "output_attentions", "output_hidden_states", "return_dict"),
}


def read_model(source: str | Path, kind: Any, **options: Any) -> Any:
    """Read a model of a class of `transformers`, for use. Raises `CheckpointError` where its weights do not fill it."""
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


def read_auto(source: str | Path, part: str) -> tuple[Any, dict[str, Any]]:
    """Read any model that `transformers` holds, and its configuration as JSON values. Raises `CheckpointError`.

    part: name of the part of the configuration that is wanted, where it has parts.
    """
    from transformers import AutoConfig, AutoModel, PretrainedConfig  # noqa: PLC0415 - seconds

    with _explained(source):
        content, _ = PretrainedConfig.get_config_dict(source)
        content = {name: value for name, value in content.items() if name != "auto_map"}
        model_type = str(content.pop("model_type", None))
        config: Any = AutoConfig.for_model(_SAME_AS.get(model_type, model_type), **content)
    config = getattr(config, part, config)
    model = read_model(source, AutoModel, config=config, trust_remote_code=False)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    values = {name: value for name, value in config.to_dict().items() if name not in _NOT_ARCHITECTURE}
    return model, json.loads(json.dumps(values))


def weights_of(core: Any) -> dict[str, torch.Tensor]:
    """Return a model's weights in float32, by their names in a tower that holds it as `model`."""
    return {f"model.{name}": weight.detach().float() for name, weight in core.state_dict().items()}


def normalisation_of(
    source: str | Path, channels: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the input, a number a channel; those given where the source has none."""
    path = _file(source, "preprocessor_config.json")
    values = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    mean, std = tuple(values.get("image_mean", mean)), tuple(values.get("image_std", std))
    if channels == 1:
        return (sum(mean) / len(mean),), (sum(std) / len(std),)
    return mean * (channels // len(mean)), std * (channels // len(std))


def tokenizer_of(source: str | Path, model_type: str) -> str:
    """Return the content of the encoder's tokenizer.json. Raises `CheckpointError` where it has no tokenizer."""
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
