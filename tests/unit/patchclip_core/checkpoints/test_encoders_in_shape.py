"""Encoders by their shapes alone: no network is asked, sizes are the named encoder's, sentences have tokens."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from patchclip_core.checkpoints.model_recipe import ModelRecipe, read_encoders
from patchclip_core.errors import CheckpointError
from patchclip_core.models.clip import ClipImageSettings, ClipTextSettings

SENTENCES = ("there is a pneumothorax", "no pneumothorax")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refused)


def recipe(image: str, text: str, **changes: Any) -> ModelRecipe:
    return ModelRecipe(input_px=56, weights="random", image=image, text=text, **changes)


def test_a_named_clip_has_the_shape_of_its_name(tmp_path: Path) -> None:
    encoders = read_encoders(recipe("clip-vit-l-14", "clip-vit-l-14"), tmp_path, SENTENCES)

    assert encoders.image_tower == ClipImageSettings()
    assert encoders.text_tower == ClipTextSettings()
    assert encoders.embedding == 768


def test_a_shallow_clip_answers_and_tells_sentences_apart(tmp_path: Path) -> None:
    shallow = {"num_hidden_layers": 1}
    chosen = recipe("clip-vit-b-32", "clip-vit-b-32", image_options=shallow, text_options=shallow)
    encoders = read_encoders(chosen.model_copy(update={"input_px": 64}), tmp_path, SENTENCES)
    network = encoders.build().eval()
    with torch.no_grad():
        texts = network.encode_text(encoders.tokenizer([*SENTENCES, "a word of no sentence"]))
        images = network.encode_image(torch.randn(2, 3, 64, 64))

    assert texts.shape == (3, 512)
    assert float((texts[0] @ texts[1]).detach()) < 0.999
    assert images.shape == (2, 512)


def test_the_end_of_a_sentence_is_where_clip_reads_it(tmp_path: Path) -> None:
    tokens = read_encoders(recipe("compact", "clip-vit-l-14"), tmp_path, SENTENCES).tokenizer(SENTENCES)

    assert tokens.ids[1, int(tokens.mask[1].sum()) - 1] == ClipTextSettings().eos_token_id
    assert int(tokens.ids.max()) < ClipTextSettings().vocab_size


@pytest.mark.parametrize(("image", "width"), [("rad-dino", 768), ("dinov2-small", 384)])
def test_encoders_of_transformers_have_their_width(image: str, width: int, tmp_path: Path) -> None:
    encoders = read_encoders(recipe(image, "minilm"), tmp_path, SENTENCES)

    assert encoders.image_tower.model_dump()["config"]["hidden_size"] == width
    assert encoders.text_tower.model_dump()["config"]["vocab_size"] == 30522


def test_an_encoder_of_another_name_says_which_shapes_are_known(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the shape of 'someone/else' is not known .*dinov2-base"):
        read_encoders(recipe("auto:someone/else", "compact"), tmp_path, SENTENCES)


def test_weights_are_wanted_unless_a_recipe_says_otherwise() -> None:
    assert ModelRecipe(input_px=64).weights == "pretrained"
