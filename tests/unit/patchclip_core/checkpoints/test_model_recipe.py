from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.utils import logging

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.checkpoints.model_recipe import Encoders, ModelRecipe, read_encoders, read_recipe, recipes
from patchclip_core.errors import CheckpointError
from patchclip_core.models.card import FindingCard
from patchclip_core.models.clip import ClipImageSettings, ClipTextSettings
from patchclip_core.models.compact import CompactImageSettings
from patchclip_core.models.encoders import IMAGE_FAMILIES, TEXT_FAMILIES
from patchclip_core.models.methods import find_method
from patchclip_core.models.methods.patchclip import PatchClip, PatchClipSettings
from patchclip_core.models.towers import Wanted
from patchclip_core.values.results import Radiograph
from tests.support import tiny_encoders
from tests.support.checkpoints import write_network
from tests.support.docs import page, table
from tests.support.tiny_encoders import VISION

SENTENCES = ["no pleural effusion", "the heart is enlarged"]
TINY = {"widths": [8, 16], "strides": [4, 2], "layers": 1}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def started(folder: Path, **recipe: Any) -> Encoders:
    return read_encoders(ModelRecipe.model_validate({"input_px": 32} | recipe), folder / "checkpoint", SENTENCES)


def normalised(side: int, channels: int = 3) -> torch.Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(1))


def test_a_network_that_starts_from_a_clip_says_what_the_clip_says(tmp_path: Path) -> None:
    clip = tiny_encoders.write_clip(tmp_path / "clip")
    encoders = started(tmp_path, image=f"clip:{tmp_path / 'clip'}", text=f"clip:{tmp_path / 'clip'}")
    network = encoders.build().eval()
    tokens = encoders.tokenizer(SENTENCES)

    with torch.no_grad():
        answer = clip(pixel_values=normalised(32), input_ids=tokens.ids, attention_mask=tokens.mask.long())
        image, text = network.encode_image(normalised(32)), network.encode_text(tokens)

    assert tokens.ids.tolist() == [[2, 3, 4, 5, 10, 0], [2, 6, 7, 8, 9, 10]]
    torch.testing.assert_close(image, answer.image_embeds, rtol=0, atol=1e-6)
    torch.testing.assert_close(text, answer.text_embeds, rtol=0, atol=1e-6)
    assert network.logit_scale.item() == pytest.approx(clip.logit_scale.item())
    preprocess = encoders.preprocess(network)
    assert (preprocess.mean, preprocess.std) == ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    assert preprocess.grid == network.grid


def test_the_end_of_text_that_openai_s_configurations_get_wrong_is_set_right(tmp_path: Path) -> None:
    tiny_encoders.write_clip(tmp_path / "clip")

    text = started(tmp_path, text=f"clip:{tmp_path / 'clip'}").text_tower

    assert isinstance(text, ClipTextSettings)
    assert text.eos_token_id == len(tiny_encoders.WORDS) - 1


@pytest.mark.parametrize("side", [32, 48, 64])
def test_a_clip_starts_at_any_size(tmp_path: Path, side: int) -> None:
    clip = tiny_encoders.write_clip(tmp_path / "clip")
    network = started(tmp_path, image=f"clip:{tmp_path / 'clip'}", input_px=side).build().eval()

    with torch.no_grad():
        expected = clip.vision_model(normalised(side), interpolate_pos_encoding=True).pooler_output
        found = network.encode_image(normalised(side))

    assert network.grid.rows == side // 8
    torch.testing.assert_close(
        found, torch.nn.functional.normalize(clip.visual_projection(expected), dim=-1), rtol=0, atol=1e-5
    )


def test_behind_a_learned_downscaler_a_clip_starts_with_what_it_says_of_the_resized_image(tmp_path: Path) -> None:
    clip = tiny_encoders.write_clip(tmp_path / "clip")
    downscaler = {"kind": "learned", "factor": 3, "channels": 3}
    network = started(tmp_path, image=f"clip:{tmp_path / 'clip'}", input_px=96, downscaler=downscaler).build()
    resized = torch.nn.functional.interpolate(normalised(96), size=(32, 32), mode="bilinear", antialias=True)

    with torch.no_grad():
        expected = clip.vision_model(resized).pooler_output
        found = network.eval().encode_image(normalised(96))

    torch.testing.assert_close(
        found, torch.nn.functional.normalize(clip.visual_projection(expected), dim=-1), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    ("model_type", "values"),
    [
        ("vit", VISION),
        ("dinov2", VISION | {"mlp_ratio": 2}),
        ("dinov2_with_registers", VISION | {"num_register_tokens": 3, "mlp_ratio": 2}),
    ],
)
def test_a_network_starts_from_any_vision_transformer(tmp_path: Path, model_type: str, values: dict[str, Any]) -> None:
    model = tiny_encoders.write_auto(tmp_path / "encoder", model_type, **values)
    encoders = started(tmp_path, image=f"auto:{tmp_path / 'encoder'}", embedding=12)
    network = encoders.build().eval()

    with torch.no_grad():
        states = model(pixel_values=normalised(32)).last_hidden_state
        tokens = network.image_tower(normalised(32))

    torch.testing.assert_close(tokens.patches, states[:, -16:], rtol=0, atol=1e-6)
    torch.testing.assert_close(tokens.pooled, states[:, 0], rtol=0, atol=1e-6)
    assert network.visual_projection.weight.shape == (12, 16)
    assert network.visual_projection.weight.requires_grad


def test_the_projections_of_encoders_that_had_none_are_new(tmp_path: Path) -> None:
    tiny_encoders.write_clip(tmp_path / "clip")
    tiny_encoders.write_auto(tmp_path / "vit", "vit", **VISION)
    tiny_encoders.write_bert(tmp_path / "bert")

    with_clip = started(tmp_path, image=f"clip:{tmp_path / 'clip'}", text=f"clip:{tmp_path / 'clip'}").build()
    without = started(tmp_path, image=f"auto:{tmp_path / 'vit'}", text=f"auto:{tmp_path / 'bert'}").build()

    projections = {"visual_projection.weight", "text_projection.weight"}
    assert projections.isdisjoint(with_clip.new_parameters())
    assert projections <= set(without.new_parameters())


def test_a_vision_tower_without_class_token_speaks_by_the_mean_of_its_patches(tmp_path: Path) -> None:
    tiny_encoders.write_auto(tmp_path / "encoder", "siglip_vision_model", **VISION)
    network = started(tmp_path, image=f"auto:{tmp_path / 'encoder'}").build().eval()

    tokens = network.image_tower(normalised(32))

    torch.testing.assert_close(tokens.pooled, tokens.patches.mean(dim=1))


@pytest.mark.parametrize("pooling", ["mean", "class"])
def test_a_network_starts_from_any_text_encoder(tmp_path: Path, pooling: str) -> None:
    model = tiny_encoders.write_bert(tmp_path / "bert")
    encoders = started(tmp_path, text=f"auto:{tmp_path / 'bert'}", text_options={"pooling": pooling})
    network, tokens = encoders.build().eval(), encoders.tokenizer(SENTENCES[:1])

    with torch.no_grad():
        states = model(input_ids=tokens.ids, attention_mask=tokens.mask.long()).last_hidden_state
        found = network.text_tower(tokens).pooled

    expected = states.mean(dim=1) if pooling == "mean" else states[:, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_an_encoder_whose_model_type_has_code_of_its_own_is_read_as_what_it_is(tmp_path: Path) -> None:
    tiny_encoders.write_bert(tmp_path / "bert")
    path = tmp_path / "bert" / "config.json"
    changed = {"model_type": "cxr-bert", "auto_map": {"AutoModel": "modeling_cxrbert.CXRBertModel"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    encoders = started(tmp_path, text=f"auto:{tmp_path / 'bert'}")

    assert encoders.text_tower.model_dump()["config"]["model_type"] == "bert"


def test_what_a_recipe_built_is_built_again_from_its_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_encoders.write_auto(tmp_path / "encoder", "dinov2", **VISION)
    tiny_encoders.write_bert(tmp_path / "bert")
    network = started(
        tmp_path, image=f"auto:{tmp_path / 'encoder'}", text=f"auto:{tmp_path / 'bert'}", input_px=48
    ).build()
    card = network.settings.model_dump_json()
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()

    def refused(*args: object, **options: object) -> None:
        raise AssertionError("a checkpoint must not need the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    again = PatchClip(PatchClipSettings.model_validate_json(card))
    again.load_state_dict(network.state_dict())

    assert str(tmp_path) not in card
    with torch.no_grad():
        torch.testing.assert_close(
            again.eval().encode_image(normalised(48)), network.eval().encode_image(normalised(48)), rtol=0, atol=0
        )


@pytest.mark.parametrize("encoders", ["clip", "auto"])
def test_a_checkpoint_of_borrowed_encoders_is_loaded_and_analyses(tmp_path: Path, encoders: str) -> None:
    tiny_encoders.write_clip(tmp_path / "clip")
    tiny_encoders.write_auto(tmp_path / "vit", "dinov2_with_registers", **VISION)
    tiny_encoders.write_bert(tmp_path / "bert")
    image, text = ("clip:clip", "clip:clip") if encoders == "clip" else ("auto:vit", "auto:bert")
    begun = started(
        tmp_path,
        image=image.replace(":", f":{tmp_path}/"),
        text=text.replace(":", f":{tmp_path}/"),
        input_px=96,
        downscaler={"kind": "learned", "factor": 2, "channels": 3},
    )
    folder, network = tmp_path / "checkpoint", begun.build()
    write_network(
        folder,
        network,
        tokenizer_file="tokenizer.json",
        findings=[FindingCard(key="effusion", positive=("pleural effusion",), negative=("no pleural effusion",))],
        preprocess=begun.preprocess(network),
    )
    shutil.rmtree(tmp_path / "clip")
    shutil.rmtree(tmp_path / "vit")
    shutil.rmtree(tmp_path / "bert")

    (findings,) = load(folder, "cpu").analyze_batch(
        [Radiograph(np.linspace(0, 1, 6000, dtype=np.float32).reshape(100, 60))]
    )

    patch_map = findings["effusion"].patch_map
    assert patch_map is not None
    assert patch_map.shape == (6, 6)
    assert patch_map.std() > 0


def test_lrclr_starts_from_the_same_encoders(tmp_path: Path) -> None:
    clip = tiny_encoders.write_clip(tmp_path / "clip")
    encoders = started(tmp_path, image=f"clip:{tmp_path / 'clip'}", text=f"clip:{tmp_path / 'clip'}")
    network = encoders.build(find_method("lrclr"))

    torch.testing.assert_close(network.visual_projection.weight, clip.visual_projection.weight)
    torch.testing.assert_close(network.text_projection.weight, clip.text_projection.weight)


def test_a_compact_network_needs_no_source(tmp_path: Path) -> None:
    encoders = started(tmp_path, input_px=64, image_options=TINY, downscaler={"kind": "learned", "factor": 2})
    network = encoders.build()

    assert isinstance(encoders.image_tower, CompactImageSettings)
    assert encoders.image_tower.input_px == 32
    assert (network.grid.rows, network.grid.pitch_px) == (4, 16)
    assert (tmp_path / "checkpoint" / "vocabulary.json").is_file()
    assert encoders.tokenizer(["no pleural effusion"]).ids.shape == (1, 3)


def test_weights_that_do_not_fill_the_encoder_are_refused(tmp_path: Path) -> None:
    tiny_encoders.write_auto(tmp_path / "encoder", "vit", **VISION)
    path = tmp_path / "encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 3}))

    with pytest.raises(CheckpointError, match=r"do not fill a ViTModel: .*and 11 more missing or misfit"):
        started(tmp_path, image=f"auto:{tmp_path / 'encoder'}")


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    tiny_encoders.write_auto(tmp_path / "encoder", "vit", **VISION)
    (tmp_path / "encoder" / "model.safetensors").unlink()
    torch.save({"weights": Exploding(tmp_path / "ran")}, tmp_path / "encoder" / "pytorch_model.bin")

    with pytest.raises(CheckpointError, match=r"hold pickled code, which is never run|cannot be read"):
        started(tmp_path, image=f"auto:{tmp_path / 'encoder'}")

    assert not (tmp_path / "ran").exists()


class Exploding:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(("field", "known"), [("image", "rad-dino"), ("text", "bio-clinical-bert")])
def test_an_unknown_encoder_is_answered_with_the_known_ones(tmp_path: Path, field: str, known: str) -> None:
    with pytest.raises(CheckpointError, match=f"no encoder 'resnet': give one of compact, .*clip-vit-b-16, .*{known}"):
        started(tmp_path, **{field: "resnet"})


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the encoder '.*nowhere' cannot be read"):
        started(tmp_path, image=f"clip:{tmp_path / 'nowhere'}")


def test_a_bert_with_a_vocabulary_alone_gets_its_tokenizer(tmp_path: Path) -> None:
    tiny_encoders.write_bert(tmp_path / "bert")
    (tmp_path / "bert" / "tokenizer.json").unlink()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "pleural", "eff", "##usion"]
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(words) + "\n")
    foreign = {"tokenizer_class": "CXRBertTokenizer", "auto_map": {"AutoTokenizer": ["evil.CXRBertTokenizer", None]}}
    (tmp_path / "bert" / "tokenizer_config.json").write_text(json.dumps(foreign))

    tokens = started(tmp_path, text=f"auto:{tmp_path / 'bert'}").tokenizer(["No pleural effusion"])

    assert tokens.ids.tolist() == [[2, 5, 6, 7, 8, 3]]
    assert (tmp_path / "checkpoint" / "tokenizer.json").is_file()


def test_an_encoder_without_tokenizer_says_what_to_put_there(tmp_path: Path) -> None:
    tiny_encoders.write_bert(tmp_path / "bert")
    (tmp_path / "bert" / "tokenizer.json").unlink()

    with pytest.raises(CheckpointError, match=r"no tokenizer: put the encoder's tokenizer\.json"):
        started(tmp_path, text=f"auto:{tmp_path / 'bert'}")


def test_a_downscaler_of_other_channels_than_the_tower_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="takes 1 channels"):
        started(tmp_path, input_px=64, downscaler={"kind": "learned", "channels": 3})


@pytest.mark.parametrize("name", recipes())
def test_every_shipped_recipe_is_read(name: str) -> None:
    recipe = read_recipe(name)

    assert recipe.tower_px >= 224


def test_the_document_names_every_recipe_and_every_encoder() -> None:
    text = (Path(__file__).parents[4] / "docs" / "encoders.md").read_text(encoding="utf-8")

    missing = [
        name for name in {*recipes(), *IMAGE_FAMILIES.names(), *TEXT_FAMILIES.names()} if f"`{name}`" not in text
    ]

    assert missing == []


def test_the_document_says_of_each_recipe_what_it_sees() -> None:
    rows = table(page("docs/encoders.md"), "recipe")

    for name, sees, *_ in rows:
        recipe = read_recipe(name.strip("`"))
        assert [int(px) for px in re.findall(r"\d+", sees)] == sorted(
            {recipe.input_px, recipe.tower_px}, reverse=True
        ), name
    assert sorted(name.strip("`") for name, *_ in rows) == sorted(recipes())


@pytest.mark.parametrize("name", ["compact-224", "compact-448"])
def test_the_document_says_how_large_a_recipe_from_random_weights_is(tmp_path: Path, name: str) -> None:
    (row,) = [cells for cells in table(page("docs/encoders.md"), "recipe") if cells[0] == f"`{name}`"]
    network = read_encoders(read_recipe(name), tmp_path / "checkpoint", SENTENCES).build()

    assert row[2] == f"{network.grid.rows} x {network.grid.columns}"
    assert row[3] == f"{sum(weight.numel() for weight in network.parameters()) / 1e6:.1f} M"


def test_the_document_s_example_builds_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[4] / "docs" / "encoders.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    exec(code, names)

    assert names["preprocess"].grid == names["network"].grid
    assert (tmp_path / "out" / "checkpoint" / "vocabulary.json").is_file()


def test_there_is_a_recipe_for_the_paper() -> None:
    recipe = read_recipe("paper")

    assert (recipe.mode, recipe.input_px, recipe.tower_px) == ("paper", 900, 224)


@pytest.mark.parametrize("name", ["compact-224", "compact-448"])
def test_compact_recipes_have_a_grid_of_14_patches(tmp_path: Path, name: str) -> None:
    grid = read_encoders(read_recipe(name), tmp_path, SENTENCES).build().grid

    assert (grid.rows, grid.columns) == (14, 14)


def test_a_recipe_with_wrong_keys_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("input_px: 224\nimages: compact\ndownscaler: {kind: lanczos}\n")

    with pytest.raises(CheckpointError, match=r"(?s)downscaler: kind is one of.*images: "):
        read_recipe(tmp_path / "mine.yaml")


def test_a_recipe_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(CheckpointError, match=r"no recipe 'huge'.*compact-224"):
        read_recipe("huge")


def test_weights_of_a_folder_are_read_without_a_bar_and_bars_stay_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny_encoders.write_clip(tmp_path / "clip")
    capfd.readouterr()

    ClipImageSettings.from_recipe(Wanted(str(tmp_path / "clip"), {}, 32))

    assert "Loading weights" not in capfd.readouterr().err
    assert logging.is_progress_bar_enabled()


@pytest.mark.parametrize(("objective", "mode", "head"), [("patchclip", "default", False), ("paper", "paper", True)])
@pytest.mark.parametrize("recipe", ["", "sparse: null"])
def test_a_sparse_head_belongs_to_the_published_formulation(
    recipe: str, objective: str, mode: str, head: bool, tmp_path: Path
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(
        f"input_px: 32\nimage_options: {{widths: [8], strides: [4], layers: 1}}\n{recipe}", encoding="utf-8"
    )

    network = read_encoders(read_recipe(path), tmp_path / "out", ["one"]).build(find_method(objective))

    assert isinstance(network, PatchClip)
    assert network.settings.mode == mode
    assert (network.sparse_head is not None) == head
    assert not find_method(objective).objection(network.settings.in_use())
