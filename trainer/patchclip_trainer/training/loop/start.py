"""The network that a run starts with: built from a model recipe, or taken from a checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from patchclip_core.checkpoints.checkpoint import CARD_FILE, find, read_card, verify_weights
from patchclip_core.checkpoints.loading import (
    TOKENIZER_FILE,
    VOCABULARY_FILE,
    fill_weights,
    read_settings,
    read_tokenizer,
)
from patchclip_core.checkpoints.recipe import read_encoders, read_recipe
from patchclip_core.models.card import WEIGHTS_FILE
from patchclip_core.models.downscaler import DownscalerSettings
from patchclip_core.models.methods.lrclr import Lrclr, LrclrSettings
from patchclip_core.models.methods.patchclip import PatchClip, PatchClipSettings
from patchclip_core.models.towers import Tokenizer
from patchclip_core.places.preprocess import PreprocessSettings
from patchclip_core.values.definitions import FindingDefinition
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.recipe import Objective, RunRecipe

_ARCHITECTURES = {"patchclip": "patchclip", "paper": "patchclip", "lrclr": "lrclr"}
TEXT_SIDE = ("text_tower.", "text_projection.", "word_projection.")
"""How the names of a network's weights begin that only sentences pass through."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A network before its first step, with the settings that go into its checkpoint's card."""

    network: PatchClip | Lrclr
    tokenizer: Tokenizer
    tokenizer_folder: Path
    preprocess: PreprocessSettings
    architecture: str


def build(recipe: RunRecipe, objective: Objective, folder: Path, sentences: Sequence[str]) -> Start:
    """Build the recipe's network, the same for the same seed; its tokenizer is written into `folder`.

    sentences: what a new compact text tower takes its words from. Raises `RecipeError` or `CheckpointError`.
    """
    torch.manual_seed(recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    if recipe.start is not None:
        return _from_checkpoint(recipe, objective, folder)
    return _from_model(recipe, objective, folder, sentences)


def sentences_of(definitions: Iterable[FindingDefinition]) -> tuple[str, ...]:
    """Return the sentences that ask for findings."""
    return tuple(sentence for finding in definitions for sentence in (*finding.positive, *finding.negative))


def _from_model(recipe: RunRecipe, objective: Objective, folder: Path, sentences: Sequence[str]) -> Start:
    model = read_recipe(str(recipe.model))
    paper = objective == "paper"
    downscaler = model.downscaler
    if isinstance(downscaler, DownscalerSettings):
        downscaler = downscaler.model_copy(update={"last_relu": paper})
    model = model.model_copy(update={"mode": "paper" if paper else "default", "downscaler": downscaler})
    encoders = read_encoders(model, folder, sentences)
    network = encoders.lrclr() if objective == "lrclr" else encoders.patch_clip()
    return Start(network, encoders.tokenizer, folder, encoders.preprocess(network), _ARCHITECTURES[objective])


def _from_checkpoint(recipe: RunRecipe, objective: Objective, folder: Path) -> Start:
    source = find(str(recipe.start))
    card = read_card(source)
    verify_weights(source, card)
    wanted = _ARCHITECTURES[objective]
    if card.architecture != wanted:
        raise RecipeError(f"{source / CARD_FILE}: the objective {objective} needs '{wanted}', this is another")
    network: PatchClip | Lrclr
    if wanted == "lrclr":
        network = Lrclr(read_settings(card, LrclrSettings))
    else:
        mode = "paper" if objective == "paper" else "default"
        settings = read_settings(card, PatchClipSettings)
        if settings.mode != mode:
            raise RecipeError(
                f"{source} was built for mode '{settings.mode}', the objective {objective} needs '{mode}': "
                "start from another checkpoint, or build a network by `model`"
            )
        network = PatchClip(settings)
    fill_weights(network, source / WEIGHTS_FILE)
    network.round_packed()
    for name in (VOCABULARY_FILE, TOKENIZER_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    return Start(network, read_tokenizer(folder, network.settings.text_tower), folder, card.preprocess, wanted)
