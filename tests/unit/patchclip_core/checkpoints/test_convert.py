from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from patchclip_core.checkpoints.convert import main
from patchclip_core.checkpoints.model_recipe import Encoders, ModelRecipe, read_encoders
from patchclip_core.models.clip import MEAN as CLIP_MEAN
from patchclip_core.models.clip import STD as CLIP_STD
from tests.support import tiny_encoders

WIDTH, TEXT_WIDTH, SHARED, PATCH, SIDE, LAYERS, LENGTH = 128, 64, 24, 8, 4, 2, 12
WORDS = len(tiny_encoders.WORDS)


def openai_style_clip() -> dict[str, torch.Tensor]:
    """Random weights in OpenAI's naming: two attention heads for images, one for text."""
    draw = torch.Generator().manual_seed(5)

    def some(*shape: int, scale: float = 0.1) -> torch.Tensor:
        return torch.randn(*shape, generator=draw) * scale

    state = {
        "visual.class_embedding": some(WIDTH),
        "visual.positional_embedding": some(SIDE * SIDE + 1, WIDTH),
        "visual.conv1.weight": some(WIDTH, 3, PATCH, PATCH),
        "visual.proj": some(WIDTH, SHARED),
        "token_embedding.weight": some(WORDS, TEXT_WIDTH),
        "positional_embedding": some(LENGTH, TEXT_WIDTH),
        "text_projection": some(TEXT_WIDTH, SHARED),
        "logit_scale": torch.tensor(3.1),
    }
    norms = [("visual.ln_pre", WIDTH), ("visual.ln_post", WIDTH), ("ln_final", TEXT_WIDTH)]
    for prefix, width in [("visual.transformer", WIDTH), ("transformer", TEXT_WIDTH)]:
        for layer in range(LAYERS):
            block = f"{prefix}.resblocks.{layer}"
            norms += [(f"{block}.ln_1", width), (f"{block}.ln_2", width)]
            state[f"{block}.attn.in_proj_weight"] = some(3 * width, width)
            state[f"{block}.attn.in_proj_bias"] = some(3 * width)
            for name, rows, columns in [
                ("attn.out_proj", width, width),
                ("mlp.c_fc", 4 * width, width),
                ("mlp.c_proj", width, 4 * width),
            ]:
                state[f"{block}.{name}.weight"] = some(rows, columns)
                state[f"{block}.{name}.bias"] = some(rows)
    for name, width in norms:
        state[f"{name}.weight"] = 1 + some(width)
        state[f"{name}.bias"] = some(width)
    return state


def norm(state: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def blocks(state: dict[str, torch.Tensor], prefix: str, x: torch.Tensor, *, causal: bool) -> torch.Tensor:
    """The residual attention blocks as their paper has them; x: (B, L, W)."""
    width = x.shape[-1]
    for layer in range(LAYERS):
        block = f"{prefix}.resblocks.{layer}"
        inner = norm(state, f"{block}.ln_1", x)
        projected = inner @ state[f"{block}.attn.in_proj_weight"].T + state[f"{block}.attn.in_proj_bias"]
        query, key, value = (
            part.reshape(*part.shape[:2], width // 64, 64).transpose(1, 2) for part in projected.chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-1, -2) / 64**0.5
        if causal:
            scores = scores + torch.full(scores.shape[-2:], float("-inf")).triu(1)
        attended = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        x = x + attended @ state[f"{block}.attn.out_proj.weight"].T + state[f"{block}.attn.out_proj.bias"]
        inner = norm(state, f"{block}.ln_2", x)
        hidden = inner @ state[f"{block}.mlp.c_fc.weight"].T + state[f"{block}.mlp.c_fc.bias"]
        hidden = hidden * torch.sigmoid(1.702 * hidden)
        x = x + hidden @ state[f"{block}.mlp.c_proj.weight"].T + state[f"{block}.mlp.c_proj.bias"]
    return x


def embedded_image(state: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    patches = functional.conv2d(images, state["visual.conv1.weight"], stride=PATCH).flatten(2).transpose(1, 2)
    start = state["visual.class_embedding"].expand(len(images), 1, -1)
    x = torch.cat([start, patches], dim=1) + state["visual.positional_embedding"]
    x = blocks(state, "visual.transformer", norm(state, "visual.ln_pre", x), causal=False)
    return functional.normalize(norm(state, "visual.ln_post", x[:, 0]) @ state["visual.proj"], dim=-1)


def embedded_text(state: dict[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
    x = state["token_embedding.weight"][ids] + state["positional_embedding"][: ids.shape[1]]
    x = norm(state, "ln_final", blocks(state, "transformer", x, causal=True))
    ends = x[torch.arange(len(ids)), ids.argmax(dim=-1)]
    return functional.normalize(ends @ state["text_projection"], dim=-1)


def started(folder: Path, checkpoint: Path) -> Encoders:
    recipe = ModelRecipe(input_px=SIDE * PATCH, image=f"clip:{folder}", text=f"clip:{folder}")
    return read_encoders(recipe, checkpoint, [])


@pytest.mark.parametrize("file", ["clip.safetensors", "clip.pt", "wrapped.pth", "half.pt"])
def test_a_converted_clip_says_what_the_original_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    state = openai_style_clip()
    if file == "half.pt":  # as OpenAI saves them, with what its buffers hold
        state = {name: value.half() for name, value in state.items()}
        torch.save(state | {"input_resolution": torch.tensor(32), "vocab_size": torch.tensor(WORDS)}, tmp_path / file)
        state = {name: value.float() for name, value in state.items()}
    elif file == "clip.pt":
        torch.save(state, tmp_path / file)
    elif file == "wrapped.pth":
        torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / file)
    else:
        save_file(state, tmp_path / file)
    tiny_encoders.write_tokenizer(tmp_path / "words")

    status = main([str(tmp_path / file), "--out", str(tmp_path / "out"), "--tokenizer", str(tmp_path / "words")])

    assert status == 0
    assert "ViT of 2 layers, width 128, patches of 8 px at 32 px; shared space of 24" in capsys.readouterr().out
    encoders = started(tmp_path / "out", tmp_path / "checkpoint")
    network = encoders.build().eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(6))
    tokens = encoders.tokenizer(["no pleural effusion", "the heart is enlarged"])
    with torch.no_grad():
        torch.testing.assert_close(network.encode_image(images), embedded_image(state, images), rtol=0, atol=1e-5)
        torch.testing.assert_close(network.encode_text(tokens), embedded_text(state, tokens.ids), rtol=0, atol=1e-5)
    assert network.logit_scale.item() == pytest.approx(state["logit_scale"].item())
    preprocess = encoders.preprocess(network)
    assert (preprocess.mean, preprocess.std) == (CLIP_MEAN, CLIP_STD)


def refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any) -> str:
    torch.save(content, tmp_path / "clip.pt")
    status = main([str(tmp_path / "clip.pt"), "--out", str(tmp_path / "out")])
    assert status == 1
    assert not (tmp_path / "out").exists()
    return capsys.readouterr().err


class Exploding:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pickled_code_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(tmp_path, capsys, openai_style_clip() | {"logit_scale": Exploding(tmp_path / "ran")})

    assert "never run: save the model's state_dict() as safetensors" in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_torch_script_archive_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    traced: Any = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))  # type: ignore[no-untyped-call]
    torch.jit.save(traced, str(tmp_path / "clip.pt"))

    assert main([str(tmp_path / "clip.pt"), "--out", str(tmp_path / "out")]) == 1
    assert "TorchScript, which are code" in capsys.readouterr().err


def test_a_resnet_clip_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = openai_style_clip() | {"visual.layer1.0.conv1.weight": torch.zeros(1)}

    assert "has no patch tokens" in refusal(tmp_path, capsys, state)


def test_what_is_no_clip_says_what_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "lacks visual.conv1.weight, visual.proj" in refusal(tmp_path, capsys, {"weight": torch.zeros(2)})


def test_a_clip_with_a_layer_missing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = openai_style_clip()
    del state["visual.transformer.resblocks.1.ln_2.bias"]

    assert "lacks vision_model.encoder.layers.1.layer_norm2.bias" in refusal(tmp_path, capsys, state)


def test_what_is_not_a_state_dict_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not a state dict" in refusal(tmp_path, capsys, [1, 2, 3])


def test_a_source_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere.pt"), "--out", str(tmp_path / "out")]) == 1
    assert "nowhere.pt cannot be read: No such file" in capsys.readouterr().err
