"""Sentences that were embedded once are used only where they are the checkpoint's own, and change no answer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from patchclip_core.checkpoints.checkpoint import digest_of, find, load, read_card, write_card
from patchclip_core.checkpoints.texts import TEXTS_FILE, read_texts, write_texts
from patchclip_core.errors import CheckpointError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.compact import VOCABULARY_FILE
from tests.support.checkpoints import write_checkpoint


def texts_of(folder: Path) -> tuple[torch.Tensor, ...]:
    analyzer = load(folder, "cpu")
    assert isinstance(analyzer, NetworkAnalyzer)
    return analyzer.texts


def equal(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("method", ["patchclip", "lrclr"])
def test_what_was_kept_is_what_the_text_tower_says_to_the_last_bit(tmp_path: Path, method: str) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", method)
    without = texts_of(folder)

    write_texts(folder)

    kept = read_texts(folder, read_card(folder))
    assert kept is not None
    assert equal(kept, without)
    assert equal(texts_of(folder), without)


def test_what_was_kept_is_used_without_the_text_tower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", "patchclip")
    write_texts(folder)
    asked: list[object] = []
    monkeypatch.setattr("patchclip_core.models.stored.StoredTextTower.read", lambda _, tokens: asked.append(tokens))

    load(folder, "cpu")

    assert not asked


@pytest.mark.parametrize("changed", ["sentences", "order", "reported", "weights"])
def test_what_was_kept_of_something_else_is_made_again(tmp_path: Path, changed: str) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", "patchclip")
    write_texts(folder)
    card = read_card(folder)
    first, *others = card.findings
    if changed == "sentences":
        findings = (first.model_copy(update={"positive": ("something else",)}), *others)
    elif changed == "order":
        findings = (*others, first)
    elif changed == "reported":
        findings = (first.model_copy(update={"reported": False, "not_evaluated": "not told"}), *others)
    else:
        findings = card.findings
        weights = folder / "weights.safetensors"
        save_file({name: weight * 1.5 for name, weight in load_file(weights).items()}, weights)
    digest = digest_of([folder / name for name in card.weights_files])
    card = card.model_copy(update={"findings": findings, "weights_digest": digest})
    write_card(folder, card)

    assert read_texts(folder, card) is None
    with_file = texts_of(folder)
    (folder / TEXTS_FILE).unlink()
    assert equal(with_file, texts_of(folder))


@pytest.mark.parametrize("damage", ["cut", "numbers", "no tensors", "nothing said"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", "patchclip")
    write_texts(folder)
    path = folder / TEXTS_FILE
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-8])
    elif damage == "numbers":
        path.write_bytes(content[:-4] + b"\x00\x00\x80\x3f")
    elif damage == "no tensors":
        path.write_bytes(b"no tensors")
    else:
        save_file(load_file(path), path)

    with pytest.raises(CheckpointError, match=rf"{TEXTS_FILE} is damaged .* copy the checkpoint again, or delete"):
        load(folder, "cpu")


def test_sentences_asked_later_still_reach_the_text_tower(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", "patchclip")
    before = load(folder, "cpu")
    write_texts(folder)
    after = load(folder, "cpu")
    assert isinstance(before, NetworkAnalyzer)
    assert isinstance(after, NetworkAnalyzer)

    assert equal(before.unabridged().texts, after.unabridged().texts)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")])
def test_a_tokenizer_that_goes_bad_later_is_named_when_a_sentence_is_asked(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", "patchclip")
    write_texts(folder)
    analyzer = load(folder, "cpu")
    assert isinstance(analyzer, NetworkAnalyzer)
    damage(folder / VOCABULARY_FILE)

    with pytest.raises(CheckpointError, match=rf"{VOCABULARY_FILE} cannot be read .* copy the checkpoint again"):
        analyzer.unabridged()


def test_the_shipped_model_brings_what_its_text_tower_says(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(find("demo"), folder)
    kept = read_texts(folder, read_card(folder))
    (folder / TEXTS_FILE).unlink()

    assert kept is not None, "write_texts was not run on the shipped model"
    for one, other in zip(kept, texts_of(folder), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)  # other processors add up in another order


def test_the_shipped_model_is_loaded_without_what_it_needs_for_other_sentences_alone() -> None:
    script = (
        "import sys; from patchclip_core.checkpoints.checkpoint import load; load('demo', 'cpu'); "
        "unwanted = {'transformers', 'tokenizers', 'torch._dynamo', 'sympy', 'torch.distributed.tensor'}; "
        "print(*sorted(unwanted & sys.modules.keys()))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)

    assert done.stdout.split() == []
