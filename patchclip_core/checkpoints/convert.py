"""Turns an OpenAI- or CheXzero-style CLIP into a folder that recipes can name.

    python -m patchclip_core.checkpoints.convert SOURCE --out FOLDER [--tokenizer FOLDER_OR_FILE]
        [--activation quick_gelu]

SOURCE holds a state dict with the names of OpenAI's CLIP (`visual.conv1.weight`, `transformer.resblocks.0...`), as
CheXzero and open_clip use them too: a safetensors file, or a .pt/.pth file of plain tensors. FOLDER is then what
`transformers` reads, and a recipe names it as `image: clip:FOLDER` and, with a tokenizer, `text: clip:FOLDER`.

A .pt file is a pickle, and a pickle is a program. It is read with `torch.load(weights_only=True)`, which refuses
everything but tensors and plain containers; there is no switch to make it run more. OpenAI's own .pt files are
TorchScript archives, which are code as well: take the same weights by `clip-vit-b-16` and the like, or save their
`state_dict()` as safetensors in a place where you trust them.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from patchclip_core.errors import CheckpointError, PatchClipError
from patchclip_core.models.clip import MEAN, STD

Activation = Literal["quick_gelu", "gelu"]
Tensors = Mapping[str, torch.Tensor]

_HEAD_WIDTH = 64  # of every CLIP with these names
_PREFIXES = ("module.", "model.", "clip.")
_NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size", "attn_mask"}
_NAMES = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.": "vision_model.pre_layrnorm.",
    "visual.transformer.resblocks.": "vision_model.encoder.layers.",
    "visual.ln_post.": "vision_model.post_layernorm.",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "transformer.resblocks.": "text_model.encoder.layers.",
    "ln_final.": "text_model.final_layer_norm.",
    "logit_scale": "logit_scale",
}
_LAYER_NAMES = {
    ".attn.out_proj.": ".self_attn.out_proj.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
}
_IN_PROJECTION = re.compile(r"(.*)\.attn\.in_proj_(weight|bias)$")


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read tensors by name, without what wrappers put before the names. Raises `CheckpointError`; runs no code."""
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file ({error}); copy it again") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(
            f"{path} holds more than tensors (pickled objects or TorchScript, which are code), or is damaged. Code is "
            "never run: save the model's state_dict() as safetensors where you trust it, and give that file"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise CheckpointError(f"{path} is not a state dict: tensors by name are needed, and nothing else")
    for prefix in _PREFIXES:
        if content and all(str(name).startswith(prefix) for name in content):
            content = {str(name).removeprefix(prefix): value for name, value in content.items()}
    return {str(name): value for name, value in content.items()}


def _unpickled(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about a TorchScript archive, which it then refuses
        return torch.load(path, "cpu", weights_only=True)


def configuration_of(tensors: Tensors, activation: Activation = "quick_gelu") -> dict[str, Any]:
    """Return the CLIPConfig that shapes alone give away; `activation` is not among what they do.

    Raises `CheckpointError` where this is not a CLIP with a vision transformer.
    """
    if "visual.layer1.0.conv1.weight" in tensors:
        raise CheckpointError("this CLIP's image tower is a ResNet, which has no patch tokens: take one with a ViT")
    needed = ("visual.conv1.weight", "visual.proj", "token_embedding.weight", "positional_embedding", "text_projection")
    if missing := [name for name in (*needed, "visual.positional_embedding") if name not in tensors]:
        raise CheckpointError(
            f"this state dict does not have the names of OpenAI's CLIP: it lacks {', '.join(missing)}"
        )
    width, channels, patch, _ = tensors["visual.conv1.weight"].shape
    side = round((len(tensors["visual.positional_embedding"]) - 1) ** 0.5)
    words, text_width = tensors["token_embedding.weight"].shape
    return {
        "projection_dim": tensors["visual.proj"].shape[1],
        "vision_config": {
            "hidden_size": width,
            "num_channels": channels,
            "patch_size": patch,
            "image_size": side * patch,
            "num_attention_heads": max(1, width // _HEAD_WIDTH),
            "hidden_act": activation,
            **_layers(tensors, "visual.transformer.resblocks."),
        },
        "text_config": {
            "hidden_size": text_width,
            "vocab_size": words,
            "max_position_embeddings": len(tensors["positional_embedding"]),
            "num_attention_heads": max(1, text_width // _HEAD_WIDTH),
            "hidden_act": activation,
            "eos_token_id": words - 1,  # the highest number ends a text, as its authors have it
            "bos_token_id": None,
            "pad_token_id": None,
            **_layers(tensors, "transformer.resblocks."),
        },
    }


def renamed(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Return the tensors in float32 under the names that `transformers` gives them."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        value = tensor.float()
        if name in _NOT_WEIGHTS or name.endswith(".attn_mask"):
            continue
        if name in {"visual.proj", "text_projection"}:
            found["visual_projection.weight" if name == "visual.proj" else "text_projection.weight"] = (
                value.T.contiguous()
            )
            continue
        new = next((new + name.removeprefix(old) for old, new in _NAMES.items() if name.startswith(old)), name)
        if match := _IN_PROJECTION.fullmatch(new):
            for part, third in zip("qkv", value.chunk(3), strict=True):
                found[f"{match[1]}.self_attn.{part}_proj.{match[2]}"] = third.contiguous()
            continue
        for old, replacement in _LAYER_NAMES.items():
            new = new.replace(old, replacement)
        found[new] = value
    return found


def convert(source: Path, folder: Path, tokenizer: Path | None = None, activation: Activation = "quick_gelu") -> str:
    """Write the folder; returns one line that says what it holds. Raises `CheckpointError`.

    tokenizer: CLIP's tokenizer.json, or a folder that holds it.
    """
    from transformers import CLIPConfig, CLIPModel  # noqa: PLC0415 - seconds

    tensors = read_state_dict(source)
    values = configuration_of(tensors, activation)
    model: Any = CLIPModel(CLIPConfig(**values))
    answer = model.load_state_dict(renamed(tensors), strict=False)
    wrong = [f"lacks {name}" for name in answer.missing_keys] + [f"has {name}" for name in answer.unexpected_keys]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(f"{source} is not a whole CLIP: it {', '.join(wrong[:5])}{more}")
    model.save_pretrained(folder)
    normalisation = {"image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(normalisation, indent=2) + "\n", encoding="utf-8")
    if tokenizer is not None:
        file = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
        if not file.is_file():
            raise CheckpointError(f"there is no tokenizer {file}: give the tokenizer.json of the CLIP's text tower")
        shutil.copyfile(file, folder / "tokenizer.json")
    vision = values["vision_config"]
    return (
        f"{folder}: ViT of {vision['num_hidden_layers']} layers, width {vision['hidden_size']}, patches of "
        f"{vision['patch_size']} px at {vision['image_size']} px; shared space of {values['projection_dim']}; "
        + ("with tokenizer" if tokenizer is not None else "without tokenizer: for images alone until it has one")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 1 after a message on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m patchclip_core.checkpoints.convert", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("source", type=Path, help="safetensors, or .pt/.pth of plain tensors")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--tokenizer", type=Path, help="CLIP's tokenizer.json, or a folder with it")
    parser.add_argument("--activation", choices=["quick_gelu", "gelu"], default="quick_gelu", help="open_clip: gelu")
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(convert(options.source, options.out, options.tokenizer, options.activation) + "\n")
    except PatchClipError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _layers(tensors: Tensors, prefix: str) -> dict[str, int]:
    numbers = {int(name.removeprefix(prefix).partition(".")[0]) for name in tensors if name.startswith(prefix)}
    widest = tensors.get(f"{prefix}0.mlp.c_fc.weight")
    if not numbers or widest is None:
        raise CheckpointError(
            f"this state dict does not have the names of OpenAI's CLIP: it lacks {prefix}0.mlp.c_fc.weight"
        )
    return {"num_hidden_layers": max(numbers) + 1, "intermediate_size": len(widest)}


if __name__ == "__main__":
    sys.exit(main())
