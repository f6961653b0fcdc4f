"""LRCLR (Rizvi et al., "Local Contrastive Learning for Medical Image Recognition", arXiv 2303.14153).

The publication's idea, on an image and a text tower: layers that select significant regions of the image, and layers
for the interaction of these with the words of the report. Of both only the idea is published; this is our design:

- *Selection*: each patch gets a significance, the probability that it shows something a report would speak of. The k
  most significant patches are selected. The choice is hard; its gradient is that of the significance
  (straight-through), so that patches left out can come in. A sparsity prior (see `lrclr_losses`) holds the mean
  significance small.
- *Interaction*: every word is a query over the selected patches. Queries and keys start as the embeddings themselves,
  that is, as plain similarity, which is hard to beat. What a word attends to is its map: word -> region.
- *Comparison*: globally the image with the sentence; locally each word with the region that it attends to, averaged
  over the sentence's words.

A finding's patch probability is the patch's significance times the probability that the patch is like the finding's
positive rather than its negative sentences; all patches count here, selected or not, so that a map has no holes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from patchclip_core.models.losses import bounded_scale
from patchclip_core.models.network import (
    Answer,
    FindingsNetwork,
    NetworkSettings,
    Texts,
    WordReading,
    mean_of_readers,
    membership,
)
from patchclip_core.models.towers import Features, ImageTokens, TextTower, Tokens

_INITIAL_SCALE = math.log(1 / 0.07)  # CLIP's
_NOTHING = 1e-6


class LrclrSettings(NetworkSettings):
    """What an LRCLR is built from."""

    selected: Annotated[int, Field(ge=1)] = 32
    """Patches that words can attend to."""
    expected_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the patches that the prior expects to be significant; significance starts there."""

    def build(self, text_tower: TextTower | None = None) -> Lrclr:
        """Build the network."""
        return Lrclr(self, text_tower)


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """What was selected in B images of P patches, D the shared space.

    overall: (B, D), the image, length 1. patches: (B, P, D), length 1. significance: (B, P) logits.
    gates: (B, P), 1 for a selected patch, 0 else; their gradient is that of the significance's probability.
    """

    overall: torch.Tensor
    patches: torch.Tensor
    significance: torch.Tensor
    gates: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Sentences:
    """N sentences of L words. overall: (N, D), length 1. words: (N, L, D), length 1. mask: (N, L) bool."""

    overall: torch.Tensor
    words: torch.Tensor
    mask: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LrclrOutput:
    """Logits of B images, F findings, P patches; positive means present.

    overall, local: (B, F). patches: (B, F, P), significance included. significance: (B, P). image: (B, F), the mean of
    the two, what the image probability is made from.
    """

    overall: torch.Tensor
    local: torch.Tensor
    patches: torch.Tensor
    significance: torch.Tensor
    image: torch.Tensor


class RegionSelector(nn.Module):
    """Significance of each patch, seen by itself (the tower has put the others into it): (B, P, W) -> logits (B, P)."""

    def __init__(self, width: int, expected_share: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, width // 2)
        self.score = nn.Linear(width // 2, 1)
        nn.init.constant_(self.score.bias, math.log(expected_share / (1 - expected_share)))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Score the patches."""
        scores: torch.Tensor = self.score(functional.gelu(self.hidden(self.norm(patches)))).squeeze(-1)
        return scores


class WordAttention(nn.Module):
    """Words ask selected patches, with one attention head: a word has one map. It starts as plain similarity."""

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.query = nn.Linear(embedding, embedding, bias=False)
        self.key = nn.Linear(embedding, embedding, bias=False)
        for layer in (self.query, self.key):
            nn.init.eye_(layer.weight)
        self.sharpness = nn.Parameter(torch.tensor(_INITIAL_SCALE))

    def forward(self, words: torch.Tensor, patches: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
        """Return attention (B, N, L, P), 0 where a gate is 0, adding up to 1 over the patches.

        words: (N, L, D). patches: (B, P, D). gates: (B, P), at least one of each row is 1.
        """
        queries, keys = (
            functional.normalize(layer(given), dim=-1) for layer, given in ((self.query, words), (self.key, patches))
        )
        scores = self.sharpness.exp() * torch.einsum("nld,bpd->bnlp", queries, keys)
        closed = gates[:, None, None, :] < 0.5
        highest = scores.masked_fill(closed, -torch.inf).amax(dim=-1, keepdim=True)
        # Gates multiply instead of masking, so that a closed one, too, has a gradient. A patch that is left out may
        # score higher than all that are in: held at e, or a hopeless selection would have a gradient without bound.
        heights = (scores - highest.detach()).clamp(max=1.0).exp() * gates[:, None, None, :]
        return heights / heights.sum(dim=-1, keepdim=True)


class Lrclr(FindingsNetwork):
    """Selected regions against words, and images against sentences."""

    settings: LrclrSettings
    text_side = (*FindingsNetwork.text_side, "word_projection.")

    def __init__(self, settings: LrclrSettings, text_tower: TextTower | None = None) -> None:
        super().__init__(settings, text_tower)
        width = self.image_tower.width
        self.visual_projection = nn.Linear(width, settings.embedding, bias=False)
        self.text_projection = nn.Linear(self.text_tower.width, settings.embedding, bias=False)
        self.patch_projection = nn.Linear(width, settings.embedding, bias=False)
        self.word_projection = nn.Linear(self.text_tower.width, settings.embedding, bias=False)
        self.selector = RegionSelector(width, settings.expected_share)
        self.attention = WordAttention(settings.embedding)
        self.logit_scale = nn.Parameter(torch.tensor(_INITIAL_SCALE))
        self.local_scale = nn.Parameter(torch.tensor(_INITIAL_SCALE))
        self.image_bias = nn.Parameter(torch.zeros(()))
        self.patch_bias = nn.Parameter(torch.zeros(()))

    def resize(self, input_px: int) -> None:
        """Take images of another size; the same share of the patches is selected."""
        before = self.grid
        super().resize(input_px)
        share = self.grid.rows * self.grid.columns / (before.rows * before.columns)
        selected = max(1, round(self.settings.selected * share))
        self.settings = self.settings.model_copy(update={"selected": selected})

    def select(self, images: torch.Tensor | Features) -> Regions:
        """Encode images (B, channels, input_px, input_px), or their features, and select their significant patches."""
        tokens: ImageTokens = self.look(images)
        patches = self.image_tower.final_norm(tokens.patches)
        significance = self.selector(patches)
        return Regions(
            overall=functional.normalize(self.visual_projection(tokens.pooled), dim=-1),
            patches=functional.normalize(self.patch_projection(patches), dim=-1),
            significance=significance,
            gates=straight_through_gates(significance, self.settings.selected),
        )

    def read(self, tokens: Tokens) -> Sentences:
        """Encode sentences and their words."""
        text = self.text_tower(tokens)
        return Sentences(
            overall=functional.normalize(self.text_projection(text.pooled), dim=-1),
            words=functional.normalize(self.word_projection(text.words), dim=-1),
            mask=tokens.mask,
        )

    def word_maps(self, regions: Regions, sentences: Sentences) -> torch.Tensor:
        """Return (B, N, L, P): where each word looks; 0 at patches that are not selected, adding up to 1."""
        attention: torch.Tensor = self.attention(sentences.words, regions.patches, regions.gates)
        return attention

    def local_similarity(self, regions: Regions, sentences: Sentences) -> torch.Tensor:
        """Return (B, N) cosines of words with the regions that they attend to, averaged over each sentence."""
        maps = self.word_maps(regions, sentences)  # (B, N, L, P)
        attended = functional.normalize(torch.einsum("bnlp,bpd->bnld", maps, regions.patches), dim=-1)
        cosines = torch.einsum("bnld,nld->bnl", attended, sentences.words)
        weights = sentences.mask.to(cosines.dtype)
        averaged: torch.Tensor = (cosines * weights).sum(dim=-1) / weights.sum(dim=-1).clamp(min=1)
        return averaged

    def encode_image(self, images: torch.Tensor | Features) -> torch.Tensor:
        """Return global image embeddings (B, D) of length 1."""
        return self.select(images).overall

    def encode_text(self, tokens: Tokens) -> torch.Tensor:
        """Return sentence embeddings (N, D) of length 1."""
        return self.read(tokens).overall

    def read_words(self, images: torch.Tensor, tokens: Tokens) -> WordReading:
        """Return each word's map, and its cosine with the region that it attends to."""
        sentences, regions = self.read(tokens), self.select(images)
        maps = self.word_maps(regions, sentences)
        attended = functional.normalize(maps @ regions.patches[:, None], dim=-1)  # (B, N, L, D)
        return WordReading(maps, (attended * sentences.words).sum(dim=-1))

    def embed_findings(self, tokens: Tokens, counts: Sequence[int]) -> Texts:
        """Return: findings' sentence embeddings (F, 2, D), words (S, L, D), mask (S, L), who belongs where (2F, S)."""
        sentences = self.read(tokens)
        groups = membership(counts, tokens.ids.device)
        pairs = functional.normalize(groups @ sentences.overall, dim=-1).reshape(len(counts) // 2, 2, -1)
        return pairs, sentences.words, sentences.mask, groups

    def forward(self, images: torch.Tensor | Features, texts: Texts) -> LrclrOutput:
        """Compare images (B, channels, input_px, input_px), or their features, with embedded findings."""
        pairs, words, mask, groups = texts
        regions = self.select(images)
        direction = pairs[:, 0] - pairs[:, 1]  # (F, D)
        scale = bounded_scale(self.logit_scale)
        overall = scale * regions.overall @ direction.T + self.image_bias  # (B, F)
        similarity = self.local_similarity(regions, Sentences(pairs, words, mask))  # (B, S)
        of_sides = (similarity @ groups.T.to(similarity.dtype)).reshape(similarity.shape[0], -1, 2)  # (B, F, 2)
        local = bounded_scale(self.local_scale) * (of_sides[..., 0] - of_sides[..., 1]) + self.image_bias
        alike = scale * torch.einsum("bpd,fd->bfp", regions.patches, direction) + self.patch_bias
        patches = both(alike, regions.significance[:, None])
        return LrclrOutput(overall, local, patches, regions.significance, (overall + local) / 2)

    def answer(self, images: torch.Tensor | Features, texts: Texts) -> Answer:
        """Compare; nothing here could be left out."""
        output: LrclrOutput = self(images, texts)
        return mean_of_readers(Answer(output.image, output.patches), self.readers)


def straight_through_gates(significance: torch.Tensor, selected: int) -> torch.Tensor:
    """Return (B, P): 1 for the patches with the highest logits, 0 for the others, with the probabilities' gradient."""
    top = significance.topk(min(selected, significance.shape[-1]), dim=-1).indices
    hard = torch.zeros_like(significance).scatter(-1, top, 1.0)
    soft = significance.sigmoid()
    return hard + (soft - soft.detach())


def both(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the logit of the product of two probabilities given by their logits, without leaving the logarithm."""
    log_product = functional.logsigmoid(one.float()) + functional.logsigmoid(other.float())
    log_product = log_product.clamp(max=-_NOTHING)
    return log_product - torch.log(-torch.expm1(log_product))
