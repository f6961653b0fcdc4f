"""Encoders as `save_pretrained` writes them, tiny and random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers
import torch

WORDS = ["[PAD]", "[UNK]", "<start>", "no", "pleural", "effusion", "the", "heart", "is", "enlarged", "<end>"]
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def write_tokenizer(folder: Path) -> None:
    """A tokenizer.json that puts words between <start> and <end>, and pads to 77 as CLIP's does."""
    words = {word: index for index, word in enumerate(WORDS)}
    tokenizer: Any = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 2), ("<end>", 10)]
    )
    tokenizer.enable_padding(length=77)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_clip(folder: Path) -> Any:
    """A CLIP with its tokenizer and the mean and standard deviation of its input; returns transformers' model."""
    from transformers import CLIPConfig, CLIPModel

    text: dict[str, Any] = {
        "vocab_size": len(WORDS),
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
    }
    text |= {"num_attention_heads": 2, "max_position_embeddings": 12, "eos_token_id": 2, "bos_token_id": None}
    config: Any = CLIPConfig(text_config=text | {"pad_token_id": None}, vision_config=VISION, projection_dim=8)
    torch.manual_seed(3)
    model: Any = CLIPModel(config)
    model.eval()
    model.save_pretrained(folder)
    write_tokenizer(folder)
    values = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return model


def write_auto(folder: Path, model_type: str, **values: Any) -> Any:
    """Any other model of transformers; returns it."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(3)
    model: Any = AutoModel.from_config(AutoConfig.for_model(model_type, **values))  # type: ignore[no-untyped-call]
    model.eval().save_pretrained(folder)
    return model


def write_bert(folder: Path, **values: Any) -> Any:
    """A BERT with its tokenizer."""
    sizes = {name: value for name, value in VISION.items() if name not in {"image_size", "patch_size"}}
    model = write_auto(folder, "bert", vocab_size=len(WORDS), max_position_embeddings=20, **sizes, **values)
    write_tokenizer(folder)
    return model
