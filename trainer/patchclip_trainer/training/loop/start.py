"""The network that a run starts with: built from a model recipe, or taken from a checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
import yaml

from patchclip_core.checkpoints.checkpoint import CARD_FILE, find, read_card, read_settings, verify_weights
from patchclip_core.checkpoints.loading import fill_weights, read_tokenizer
from patchclip_core.checkpoints.model_recipe import read_encoders, read_recipe
from patchclip_core.models.card import WEIGHTS_FILE
from patchclip_core.models.methods import METHODS, find_method
from patchclip_core.models.network import FindingsNetwork
from patchclip_core.models.towers import Tokenizer
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.values.definitions import FindingDefinition
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.run_recipe import Objective, RunRecipe


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A network before its first step, with the settings that go into its checkpoint's card."""

    network: FindingsNetwork
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


Recipe = TypeVar("Recipe", bound=RunRecipe)


def without_weights(recipe: Recipe, folder: Path) -> Recipe:
    """Return a recipe whose encoders are built in their shapes alone, where they would be downloaded; see `weights`.

    folder: takes the network's changed recipe.
    """
    if recipe.model is None:
        return recipe
    content = read_recipe(recipe.model).model_dump(mode="json", exclude_unset=True) | {"weights": "random"}
    path = folder / "in-shape.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return recipe.model_copy(update={"model": str(path)})


def sentences_of(definitions: Iterable[FindingDefinition]) -> tuple[str, ...]:
    """Return the sentences that ask for findings."""
    return tuple(sentence for finding in definitions for sentence in (*finding.positive, *finding.negative))


def _from_model(recipe: RunRecipe, objective: Objective, folder: Path, sentences: Sequence[str]) -> Start:
    encoders = read_encoders(read_recipe(str(recipe.model)), folder, sentences)
    network = encoders.build(find_method(objective))
    preprocess = encoders.preprocess(network)
    return Start(network, encoders.tokenizer, folder, preprocess, METHODS[objective].architecture)


def _from_checkpoint(recipe: RunRecipe, objective: Objective, folder: Path) -> Start:
    source = find(str(recipe.start))
    card = read_card(source)
    verify_weights(source, card)
    method, architecture = find_method(objective), METHODS[objective].architecture
    if card.architecture != architecture:
        raise RecipeError(f"{source / CARD_FILE}: the objective {objective} needs '{architecture}', this is another")
    settings = read_settings(card, method.settings)
    if objection := method.objection(settings):
        raise RecipeError(
            f"{source} does not suit the objective {objective}: {objection}; start from another checkpoint, or build a "
            "network by `model`"
        )
    network = settings.build()
    fill_weights(network, source / WEIGHTS_FILE)
    network.round_packed()
    text = settings.text_tower
    tokenizer = read_tokenizer(source, text)
    shutil.copyfile(source / text.tokenizer_file, folder / text.tokenizer_file)
    return Start(network, tokenizer, folder, card.preprocess, architecture)
