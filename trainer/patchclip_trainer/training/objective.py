"""The network that a run starts with, and what its objective asks of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from patchclip_core.checkpoint import CARD_FILE, WEIGHTS_FILE, find, read_card, verify_weights
from patchclip_core.loading import TOKENIZER_FILE, VOCABULARY_FILE, fill_weights, read_settings, read_tokenizer
from patchclip_core.losses import patch_clip_loss
from patchclip_core.lrclr_losses import lrclr_findings_loss
from patchclip_core.models.downscaler import DownscalerSettings
from patchclip_core.models.lrclr import Lrclr, LrclrSettings
from patchclip_core.models.network import FindingsNetwork, Texts
from patchclip_core.models.patchclip import PatchClip, PatchClipSettings
from patchclip_core.models.towers import Tokenizer, Tokens
from patchclip_core.preprocess import PreprocessSettings
from patchclip_core.prompts import FindingDefinition
from patchclip_core.recipe import read_encoders, read_recipe
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.training.recipe import Objective, TrainingRecipe
from patchclip_trainer.training.samples import Batch

_ARCHITECTURES = {"patchclip": "patchclip", "paper": "patchclip", "lrclr": "lrclr"}
_TEXT_SIDE = ("text_tower.", "text_projection.", "word_projection.")


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A network before its first step, with the settings that go into its checkpoint's card."""

    network: PatchClip | Lrclr
    tokenizer: Tokenizer
    tokenizer_folder: Path
    preprocess: PreprocessSettings
    architecture: str


def build(recipe: TrainingRecipe, folder: Path, definitions: Sequence[FindingDefinition]) -> Start:
    """Build the recipe's network, the same for the same seed; its tokenizer is written into `folder`.

    Raises `RecipeError` or `CheckpointError`.
    """
    torch.manual_seed(recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    start = _from_checkpoint(recipe, folder) if recipe.start is not None else _from_model(recipe, folder, definitions)
    if recipe.train == "heads":
        start.network.freeze_for_stage_2()
    elif recipe.train == "image":
        for name, weight in start.network.named_parameters():
            if name.startswith(_TEXT_SIDE):
                weight.requires_grad_(False)
    return start


class FindingsObjective:
    """Embeds the findings, once where the text side is frozen, and computes the loss of a batch."""

    def __init__(
        self, objective: Objective, findings: Sequence[FindingDefinition], tokenizer: Tokenizer, device: torch.device
    ) -> None:
        groups = [group for finding in findings for group in (finding.positive, finding.negative)]
        tokens = tokenizer([sentence for group in groups for sentence in group])
        self._objective = objective
        self._tokens = Tokens(tokens.ids.to(device), tokens.mask.to(device))
        self._counts = [len(group) for group in groups]
        self._frozen: Texts | None = None

    def embed(self, network: FindingsNetwork) -> Texts:
        """Embed the findings' sentences with a network's text side as it is now."""
        if self._frozen is not None:
            return self._frozen
        texts = network.embed_findings(self._tokens, self._counts)
        if not any(weight.requires_grad for name, weight in network.named_parameters() if name.startswith(_TEXT_SIDE)):
            self._frozen = tuple(part.detach() for part in texts)
        return texts

    def loss(self, network: PatchClip | Lrclr, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss, which is differentiated, and its parts before weighting."""
        texts = self.embed(network)
        if isinstance(network, Lrclr):
            found = lrclr_findings_loss(network(batch.images, texts), batch.targets, network.settings.expected_share)
            return found.total, {
                "overall": found.overall,
                "local": found.local,
                "patches": found.patches,
                "sparsity": found.sparsity,
            }
        paper = self._objective == "paper"
        labelled = (batch.targets.patches >= 0.5) & batch.targets.patches_known if paper else None
        output = network(batch.images, texts[0], labelled)
        loss = patch_clip_loss(output, batch.targets, "paper" if paper else "default")
        return loss.total, {
            "overall": loss.overall,
            "pooled": loss.pooled,
            "patches": loss.patches,
            "sparse": loss.sparse,
        }


def _from_model(recipe: TrainingRecipe, folder: Path, definitions: Sequence[FindingDefinition]) -> Start:
    model = read_recipe(str(recipe.model))
    paper = recipe.objective == "paper"
    downscaler = model.downscaler
    if isinstance(downscaler, DownscalerSettings):
        downscaler = downscaler.model_copy(update={"last_relu": paper})
    model = model.model_copy(update={"mode": "paper" if paper else "default", "downscaler": downscaler})
    sentences = [sentence for finding in definitions for sentence in (*finding.positive, *finding.negative)]
    encoders = read_encoders(model, folder, sentences)
    network = encoders.lrclr() if recipe.objective == "lrclr" else encoders.patch_clip()
    return Start(network, encoders.tokenizer, folder, encoders.preprocess(network), _ARCHITECTURES[recipe.objective])


def _from_checkpoint(recipe: TrainingRecipe, folder: Path) -> Start:
    source = find(str(recipe.start))
    card = read_card(source)
    verify_weights(source, card)
    wanted = _ARCHITECTURES[recipe.objective]
    if card.architecture != wanted:
        raise RecipeError(f"{source / CARD_FILE}: the objective {recipe.objective} needs '{wanted}', this is another")
    network: PatchClip | Lrclr
    if wanted == "lrclr":
        network = Lrclr(read_settings(card, LrclrSettings))
    else:
        mode = "paper" if recipe.objective == "paper" else "default"
        settings = read_settings(card, PatchClipSettings)
        if settings.mode != mode:
            raise RecipeError(
                f"{source} was built for mode '{settings.mode}', the objective {recipe.objective} needs '{mode}': "
                "start from another checkpoint, or build a network by `model`"
            )
        network = PatchClip(settings)
    fill_weights(network, source / WEIGHTS_FILE)
    for name in (VOCABULARY_FILE, TOKENIZER_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    return Start(network, read_tokenizer(folder, network.settings.text_tower), folder, card.preprocess, wanted)
