from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from patchclip_core.errors import CheckpointError
from patchclip_core.models.alignment import Alignment
from patchclip_core.models.encoders import (
    ImageTowerSettings,
    TextTowerSettings,
)
from patchclip_core.models.positions import interpolated, sine_cosine
from patchclip_core.models.towers import ImageSettings, ImageTower, TextSettings, TextTokens, TextTower, Tokens

VIT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
VIT |= {"intermediate_size": 32}
IMAGE_TOWERS: dict[str, dict[str, Any]] = {
    "compact": {"kind": "compact", "input_px": 32, "channels": 3, "widths": (8, 16), "strides": (4, 2)},
    "clip": {"kind": "clip", **VIT},
    "vit": {"kind": "auto", "config": {"model_type": "vit", **VIT}},
    "deit": {"kind": "auto", "config": {"model_type": "deit", **VIT}},
    "dinov2": {"kind": "auto", "config": {"model_type": "dinov2", **VIT, "mlp_ratio": 2}},
    "registers": {"kind": "auto", "config": {"model_type": "dinov2_with_registers", **VIT, "num_register_tokens": 3}},
    "dinov3": {"kind": "auto", "config": {"model_type": "dinov3_vit", **VIT, "num_register_tokens": 2}},
    "siglip": {"kind": "auto", "pooling": "mean", "config": {"model_type": "siglip_vision_model", **VIT}},
}
TEXT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 50,
    "intermediate_size": 32,
}
TEXT |= {"max_position_embeddings": 40}
TEXT_TOWERS: dict[str, dict[str, Any]] = {
    "compact": {"kind": "compact", "vocabulary": 50, "width": 16, "tokens": 40},
    "clip": {"kind": "clip", **TEXT, "eos_token_id": 49},
    "bert": {"kind": "auto", "config": {"model_type": "bert", **TEXT}},
    "bert-class": {"kind": "auto", "pooling": "class", "config": {"model_type": "bert", **TEXT}},
    "roberta": {"kind": "auto", "config": {"model_type": "roberta", **TEXT}},
    "distilbert": {"kind": "auto", "config": {"model_type": "distilbert", "dim": 16, "n_heads": 2, "vocab_size": 50}},
}


def image_tower(name: str, **config: Any) -> ImageTower:
    adapter: TypeAdapter[ImageSettings] = TypeAdapter(ImageTowerSettings)
    settings = dict(IMAGE_TOWERS[name])
    if "config" in settings:
        settings["config"] = settings["config"] | config
    else:
        settings |= config
    torch.manual_seed(0)
    return adapter.validate_python(settings).build().eval()


def text_tower(name: str) -> TextTower:
    adapter: TypeAdapter[TextSettings] = TypeAdapter(TextTowerSettings)
    torch.manual_seed(0)
    return adapter.validate_python(TEXT_TOWERS[name]).build().eval()


def images(side: int) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", IMAGE_TOWERS)
@pytest.mark.parametrize("side", [32, 48, 64, 72])
def test_every_image_tower_accepts_every_size(name: str, side: int) -> None:
    tower = image_tower(name)

    with torch.no_grad():
        tokens = tower(images(side))

    grid = tower.align(Alignment.of_input(side)).grid
    assert (grid.rows, grid.pitch_px, grid.centre_px) == (side // 8, 8, 4)
    assert tokens.pooled.shape == (2, tower.width) == (2, 16)
    assert tokens.patches.shape == (2, grid.rows * grid.columns, 16)
    assert tokens.positions.shape == tokens.patches.shape[1:]
    assert torch.isfinite(tokens.patches).all()


@pytest.mark.parametrize("name", IMAGE_TOWERS)
def test_patches_are_named_row_by_row(name: str) -> None:
    tower = image_tower(name)
    plain = images(32)
    changed = plain.clone()
    changed[:, :, 8:16, 24:32] += 3.0  # row 1, column 3 of 4 x 4

    with torch.no_grad():
        difference = (tower(changed).patches - tower(plain).patches).norm(dim=-1)

    assert difference.argmax(dim=-1).tolist() == [7, 7]


# dinov3 has rotary positions; registers smooths its positions as it resizes them.
@pytest.mark.parametrize("name", ["clip", "vit", "deit", "dinov2", "siglip"])
def test_at_another_size_a_tower_is_one_built_there_with_the_positions_resized(name: str) -> None:
    small, large = image_tower(name), image_tower(name, image_size=48)
    state = small.state_dict()
    (table,) = [key for key in state if "position_embedding" in key]
    flat = state[table].squeeze(0)
    special = len(flat) - 16
    state[table] = torch.cat([flat[:special], interpolated(flat[special:], 6, 6)]).reshape(
        large.state_dict()[table].shape
    )
    large.load_state_dict(state)

    with torch.no_grad():
        torch.testing.assert_close(small(images(48)).patches, large(images(48)).patches, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(small(images(48)).positions, large(images(48)).positions, rtol=0, atol=1e-6)


def test_the_compact_tower_at_another_size_is_one_built_there_with_the_positions_resized() -> None:
    small, large = image_tower("compact"), image_tower("compact", input_px=48)
    state = small.state_dict()
    state["positions"] = interpolated(state["positions"], 6, 6)
    large.load_state_dict(state)

    with torch.no_grad():
        torch.testing.assert_close(small(images(48)).patches, large(images(48)).patches, rtol=0, atol=0)


def test_at_its_own_size_a_clip_tower_is_transformers_own() -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    tower = image_tower("clip")
    reference: torch.nn.Module = CLIPVisionModel(CLIPVisionConfig(**VIT, hidden_act="quick_gelu"))
    reference.eval()
    core = getattr(reference, "vision_model", reference)
    core.load_state_dict({key.removeprefix("model."): value for key, value in tower.state_dict().items()})

    with torch.no_grad():
        tokens, expected = tower(images(32)), reference(pixel_values=images(32))

    torch.testing.assert_close(tokens.pooled, expected.pooler_output, rtol=0, atol=0)
    torch.testing.assert_close(tokens.patches, expected.last_hidden_state[:, 1:], rtol=0, atol=0)


def test_positions_of_the_own_grid_are_left_as_they_are() -> None:
    positions = torch.randn(25, 7)

    assert interpolated(positions, 5, 5) is positions


def test_interpolated_positions_keep_their_places() -> None:
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    positions = torch.stack([rows.flatten(), columns.flatten()], dim=1)  # each patch says where it is

    finer = interpolated(positions, 16, 16).reshape(16, 16, 2)

    expected = (torch.arange(16) + 0.5) / 2 - 0.5
    inside = slice(4, 12)  # away from the border, this bicubic interpolation is within a 20th of a patch on a ramp
    torch.testing.assert_close(finer[inside, 3, 0], expected[inside], rtol=0, atol=0.05)
    torch.testing.assert_close(finer[5, inside, 1], expected[inside], rtol=0, atol=0.05)


@pytest.mark.parametrize("width", [3, 16, 18])
def test_fixed_positions_tell_every_patch_apart(width: int) -> None:
    positions = sine_cosine(6, 5, width)

    assert positions.shape == (30, width)
    if width >= 16:
        distance = torch.cdist(positions, positions) + torch.eye(30)
        assert distance.min() > 0.1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "no-such-model"}, "cannot build the model type 'no-such-model'"),
        ({}, "cannot build the model type 'None'"),
        ({"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8], "depths": [1]}, "has no patch_size"),
    ],
)
def test_what_cannot_be_an_image_tower_says_so(config: dict[str, Any], message: str) -> None:
    adapter: TypeAdapter[ImageSettings] = TypeAdapter(ImageTowerSettings)

    with pytest.raises(CheckpointError, match=message):
        adapter.validate_python({"kind": "auto", "config": config}).build()


def test_a_tower_that_hides_patches_is_refused() -> None:
    adapter: TypeAdapter[ImageSettings] = TypeAdapter(ImageTowerSettings)
    config = {"model_type": "vit_mae", **VIT, "decoder_hidden_size": 8, "decoder_num_attention_heads": 2}
    tower = adapter.validate_python({"kind": "auto", "config": config}).build()

    with pytest.raises(CheckpointError, match="one token a patch"):
        tower(images(32))


def test_a_tower_without_class_token_asks_for_the_mean() -> None:
    adapter: TypeAdapter[ImageSettings] = TypeAdapter(ImageTowerSettings)
    tower = adapter.validate_python(IMAGE_TOWERS["siglip"] | {"pooling": "class"}).build()

    with pytest.raises(CheckpointError, match="set pooling to 'mean'"):
        tower(images(32))


def test_code_that_comes_with_weights_is_never_run() -> None:
    adapter: TypeAdapter[ImageSettings] = TypeAdapter(ImageTowerSettings)
    config = {"model_type": "evil", "auto_map": {"AutoModel": "modeling_evil.Evil"}}

    with pytest.raises(CheckpointError, match="never run"):
        adapter.validate_python({"kind": "auto", "config": config}).build()


@pytest.mark.parametrize("name", TEXT_TOWERS)
def test_a_sentence_does_not_depend_on_the_padding_beside_it(name: str) -> None:
    tower = text_tower(name)
    words = [5, 6, 7, 49]
    alone = Tokens(torch.tensor([words]), torch.ones(1, 4, dtype=torch.bool))
    padded = Tokens(
        torch.tensor([[*words, 0, 0, 0], [5, 8, 9, 10, 11, 12, 49]]),
        torch.tensor([[True] * 4 + [False] * 3, [True] * 7]),
    )

    with torch.no_grad():
        one, both = tower.read(alone), tower.read(padded)

    torch.testing.assert_close(one.pooled[0], both.pooled[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.words[0], both.words[0, :4], rtol=1e-4, atol=1e-5)
    assert one.pooled.shape == (1, tower.width) == (1, 16)


def test_pooling_is_the_mean_of_the_words_or_the_first() -> None:
    tokens = Tokens(torch.tensor([[5, 6, 7, 0]]), torch.tensor([[True, True, True, False]]))

    with torch.no_grad():
        mean, first = text_tower("bert").read(tokens), text_tower("bert-class").read(tokens)

    torch.testing.assert_close(mean.pooled, mean.words[:, :3].mean(dim=1))
    torch.testing.assert_close(first.pooled, first.words[:, 0])


def test_an_encoder_decoder_is_no_text_tower() -> None:
    adapter: TypeAdapter[TextSettings] = TypeAdapter(TextTowerSettings)
    config = {"model_type": "t5", "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 9}

    with pytest.raises(CheckpointError, match="an encoder such as BERT is needed"):
        adapter.validate_python({"kind": "auto", "config": config}).build()


class _Counting(TextTower):
    """A tower that counts how often it is asked."""

    width = 4

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.dropout = torch.nn.Embedding(5, 4), torch.nn.Dropout(0.5)
        self.asked = 0

    def read(self, tokens: Tokens) -> TextTokens:
        self.asked += 1
        words = self.dropout(self.embedding(tokens.ids))
        return TextTokens(words.mean(dim=1), words)


def _sentences() -> Tokens:
    ids = torch.tensor([[1, 2], [3, 4]])
    return Tokens(ids, torch.ones_like(ids, dtype=torch.bool))


def test_a_frozen_text_tower_is_asked_once_for_the_same_sentences_and_without_dropout() -> None:
    tower, tokens = _Counting().requires_grad_(False).train(), _sentences()

    first, second = tower(tokens), tower(tokens)

    assert tower.asked == 1
    assert tower.training
    assert second is first
    torch.testing.assert_close(first.pooled, tower.embedding(tokens.ids).mean(dim=1))


def test_other_sentences_and_other_weights_are_asked_anew() -> None:
    tower, tokens = _Counting().requires_grad_(False), _sentences()

    tower(tokens)
    tower(_sentences())
    with torch.no_grad():
        tower.embedding.weight += 1
    tower(_sentences())

    assert tower.asked == 3


def test_a_text_tower_in_training_is_asked_each_time() -> None:
    tower, tokens = _Counting(), _sentences()

    tower(tokens)
    tower(tokens)

    assert tower.asked == 2
