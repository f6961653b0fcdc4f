"""Patch-CLIP (Bhat et al., Scientific Reports 16:14688, 2026): patches of a radiograph against sentences of a report.

For each finding there is a positive and a negative text. A two-way softmax over exp(scale) x cosine with the two is
the logistic function of exp(scale) x (cosine with positive - cosine with negative): a head gives one logit a finding.

Modes. `paper` is the published formulation where it is well defined; `default` changes what is not, or what is weak:

| matter | paper | default |
|---|---|---|
| patch tokens | skip the tower's final layer norm | pass it, as the class token does |
| patch projection | GELU before the length is set to 1 | none: cosines use their whole range |
| downscaler's last layer | ReLU | linear |
| logits | scale x cosine difference | plus a learned bias: most patches are negative |
| sparse head sees | labelled patches in training, p > 0.5 in use | the k most suspicious patches, always (see below) |
| image logit | the global head | the mean of the global and the pooled-patch head; perhaps plus `linear_reader`'s |
| patch logits | the patch projection's | likewise; perhaps the mean of those and `cell_head`'s |

What the published sparse head sees in training, and how many of it, gives the label away; k patches of the model's own
choice do not. The published image score averages image-to-text with a text-to-image softmax over the batch; over one
image that is always 1, and else an image's score depends on its neighbours: both modes use image-to-text alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from patchclip_core.errors import CheckpointError
from patchclip_core.models.cell_head import CellHead
from patchclip_core.models.clip import ClipImageSettings, ClipTextSettings
from patchclip_core.models.downscaler import DownscalerSettings
from patchclip_core.models.heads import PatchHead, PooledPatchHead, SparseHead
from patchclip_core.models.linear_reader import LinearReader, directions_of
from patchclip_core.models.losses import bounded_scale
from patchclip_core.models.network import Answer, FindingsNetwork, NetworkSettings, Texts, mean_of_readers, membership
from patchclip_core.models.towers import Features, TextTower, Tokens, TrunkTower

Mode = Literal["default", "paper"]

_INITIAL_SCALE = 2.6592600  # log(1 / 0.07), CLIP's
_PAPER_SELECTION = 0.5


class SparseSettings(BaseModel):
    """Size of the sparse head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: Annotated[int, Field(ge=1)] = 2
    attention_heads: Annotated[int, Field(ge=1)] = 4
    hidden: Annotated[int, Field(ge=1)] = 2048
    patches: Annotated[int, Field(ge=1)] = 16
    """The default mode's k."""


class _ModeFirst(BaseModel):
    """Cards begin with the mode: fields stand in the order of the base classes, the last one's first."""

    mode: Mode = "default"


class PatchClipSettings(NetworkSettings, _ModeFirst):
    """What a Patch-CLIP is built from."""

    sparse: SparseSettings | None = SparseSettings()
    """None: there is no such head."""
    linear_reader: bool = False
    """Whether a `LinearReader` speaks for the image as well; it needs a fixed trunk that sees images as they are."""

    cell_head: bool = False
    """Whether a `CellHead` speaks for the patches as well; it needs a trunk whose cells are the patches."""

    training_alone = ("sparse_head.",)

    @model_validator(mode="after")
    def _mode_and_downscaler_agree(self) -> Self:
        if self.downscaler is not None and self.downscaler != self.downscaler.with_last_relu(self.paper):
            raise ValueError("the downscaler's last_relu belongs to mode 'paper', and only to it")
        for name in ("linear_reader", "cell_head"):
            if self.paper and getattr(self, name):
                raise ValueError(f"mode 'paper' has no {name}")
        return self

    @property
    def paper(self) -> bool:
        """Whether the mode is the published formulation."""
        return self.mode == "paper"

    def in_use(self) -> Self:
        """Return what answers need: no sparse head."""
        return self.model_copy(update={"sparse": None})

    def build(self, text_tower: TextTower | None = None) -> PatchClip:
        """Build the network."""
        return PatchClip(self, text_tower)


def paper_settings() -> PatchClipSettings:
    """Return the published scale: ViT-L/14 behind a downscaler from 900 px."""
    return PatchClipSettings(
        mode="paper",
        input_px=900,
        embedding=768,
        image_tower=ClipImageSettings(),
        text_tower=ClipTextSettings(),
        downscaler=DownscalerSettings(last_relu=True),
    )


@dataclass(frozen=True, slots=True, eq=False)
class PatchClipOutput:
    """Logits of B images, F findings, P patches; positive means present.

    overall, pooled, sparse: (B, F). patches, cells: (B, F, P), by the patch head and by the cell head. image: (B, F),
    what the image probability is made from. sparse, cells: None of a network without that head.
    """

    overall: torch.Tensor
    pooled: torch.Tensor
    patches: torch.Tensor
    sparse: torch.Tensor | None
    cells: torch.Tensor | None
    image: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """What costs next to nothing once the tower has run. overall, pooled: (B, F). patch_logits: (B, F, P).

    placed: (B, P, W), the patches with their position embeddings. cells: (B, F, P), see `PatchClipOutput`.
    """

    overall: torch.Tensor
    pooled: torch.Tensor
    patch_logits: torch.Tensor
    placed: torch.Tensor
    cells: torch.Tensor | None


class PatchClip(FindingsNetwork):
    """Image and text towers, and the heads that compare them."""

    settings: PatchClipSettings

    def __init__(self, settings: PatchClipSettings, text_tower: TextTower | None = None) -> None:
        super().__init__(settings, text_tower)
        paper = settings.paper
        width, sparse = self.image_tower.width, settings.sparse
        self.visual_projection = nn.Linear(width, settings.embedding, bias=False)
        self.text_projection = nn.Linear(self.text_tower.width, settings.embedding, bias=False)
        self.patch_head = PatchHead(width, settings.embedding, gelu=paper)
        self.pooled_head = PooledPatchHead(self.grid.rows * self.grid.columns)
        self.sparse_head = SparseHead(width, sparse.attention_heads, sparse.hidden, sparse.layers) if sparse else None
        self.linear_reader, self.cell_head = None, None
        if settings.linear_reader:
            self.linear_reader = LinearReader(self._trunk_of("linear_reader").channels, settings.embedding)
        if settings.cell_head:
            self.cell_head = CellHead(self._trunk_of("cell_head").cell_channels, settings.embedding)
        self.logit_scale = nn.Parameter(torch.tensor(_INITIAL_SCALE))
        # The paper has no bias; a parameter that stays 0 keeps one set of weights for both modes.
        self.image_bias = nn.Parameter(torch.zeros(()), requires_grad=not paper)
        self.patch_bias = nn.Parameter(torch.zeros(()), requires_grad=not paper)

    def _trunk_of(self, asking: str) -> TrunkTower:
        """Return the tower, which begins with a fixed trunk. Raises `CheckpointError`."""
        if self.trunk is None:
            raise CheckpointError(
                f"{asking}: there are no features of a fixed trunk to read; leave it out, or take an image encoder "
                "with such a trunk and no downscaler"
            )
        return self.trunk

    def resize(self, input_px: int) -> None:
        """Take images of another size; the pooled-patch head weighs the same places."""
        super().resize(input_px)
        self.pooled_head.resize(self.grid.rows, self.grid.columns)

    def encode_text(self, tokens: Tokens) -> torch.Tensor:
        """Return sentence embeddings (N, D) of length 1."""
        return nn.functional.normalize(self.text_projection(self.text_tower(tokens).pooled), dim=-1)

    def encode_image(self, images: torch.Tensor | Features) -> torch.Tensor:
        """Return global image embeddings (B, D) of length 1, as stage 1 compares them with reports."""
        embeddings = self._overall(self.look(images).pooled)
        of_readers = embeddings.reshape(self.readers, -1, embeddings.shape[-1])  # (N, B, D)
        return nn.functional.normalize(of_readers.mean(dim=0), dim=-1)

    def forward(
        self, images: torch.Tensor | Features, texts: torch.Tensor, labelled: torch.Tensor | None = None
    ) -> PatchClipOutput:
        """Compare images with findings; B images, F findings, P patches, W the tower's width, D the shared space.

        images: (B, channels, input_px, input_px), or their features. texts: (F, 2, D), positive and negative, each of
        length 1.
        labelled: (B, F, P) bool, the patches that carry a label; only mode `paper` looks at it, and only in training.
        Where the tower has N readers, the output is of N * B images: all as the first reads them, and so on; but the
        cells' are of B.
        """
        read, sparse = self._read(images, texts), None
        if self.sparse_head is not None:
            scale, direction = bounded_scale(self.logit_scale), directions_of(texts)
            suspicious = self._suspicious(self.sparse_head, read, labelled)  # (B, F, W)
            sparse = scale * torch.einsum("bfd,fd->bf", self.patch_head(suspicious), direction) + self.image_bias
        return PatchClipOutput(read.overall, read.pooled, read.patch_logits, sparse, read.cells, self._image(read))

    def embed_findings(self, tokens: Tokens, counts: Sequence[int]) -> Texts:
        """Return the mean embeddings of each finding's positive and negative sentences, (F, 2, D) of length 1."""
        means = membership(counts, tokens.ids.device) @ self.encode_text(tokens)
        return (nn.functional.normalize(means, dim=-1).reshape(len(counts) // 2, 2, -1),)

    def answer(self, images: torch.Tensor | Features, texts: Texts) -> Answer:
        """Compare, without the sparse head: it runs once a finding, and neither image score nor maps need it.

        A linear reader's logit is added to the image's; a patch has the mean of the patch head's and the cell head's.
        """
        seen = self._seen(images)
        read = self._read(seen, texts[0])
        answer = mean_of_readers(Answer(self._image(read), read.patch_logits), self.readers)
        image, patches = answer.image, answer.patches
        if self.linear_reader is not None:
            assert isinstance(seen, Features)
            image = image + self.linear_reader(seen, directions_of(texts[0]))
        if read.cells is not None:
            patches = (patches + read.cells) / 2
        return Answer(image, patches)

    def _seen(self, images: torch.Tensor | Features) -> torch.Tensor | Features:
        """Return the features of images where two look at them, so that the fixed trunk runs once."""
        if isinstance(images, Features) or self.linear_reader is None:
            return images
        assert self.trunk is not None
        return self.trunk.features(images)

    def _read(self, images: torch.Tensor | Features, texts: torch.Tensor) -> _Reading:
        tokens = self.look(images)
        patches = tokens.patches if self.settings.paper else self.image_tower.final_norm(tokens.patches)
        direction, cells = directions_of(texts), None
        scale = bounded_scale(self.logit_scale)
        if self.cell_head is not None:
            assert tokens.cells is not None
            cells = self.cell_head(tokens.cells, direction)
        return _Reading(
            overall=scale * self._overall(tokens.pooled) @ direction.T + self.image_bias,
            pooled=scale * self.patch_head(self.pooled_head(patches)) @ direction.T + self.image_bias,
            patch_logits=scale * torch.einsum("bpd,fd->bfp", self.patch_head(patches), direction) + self.patch_bias,
            placed=patches + tokens.positions,
            cells=cells,
        )

    def _image(self, read: _Reading) -> torch.Tensor:
        return read.overall if self.settings.paper else (read.overall + read.pooled) / 2

    def _overall(self, pooled: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.visual_projection(pooled), dim=-1)

    def _suspicious(self, head: SparseHead, read: _Reading, labelled: torch.Tensor | None) -> torch.Tensor:
        """Run the sparse head once for each image and finding; returns (B, F, W)."""
        patches, patch_logits = read.placed, read.patch_logits
        images, findings, count = patch_logits.shape
        selected: torch.Tensor | None = None
        if self.settings.paper:
            selected = patch_logits > _logit(_PAPER_SELECTION)
            if self.training and labelled is not None:
                selected = labelled.repeat(self.readers, 1, 1)
            chosen = patches[:, None].expand(-1, findings, -1, -1)  # (B, F, P, W)
        else:
            assert self.settings.sparse is not None
            top = patch_logits.topk(min(self.settings.sparse.patches, count), dim=-1).indices  # (B, F, K)
            index = top.flatten(1).unsqueeze(-1).expand(-1, -1, patches.shape[-1])  # (B, F * K, W)
            chosen = patches.gather(1, index).reshape(images, findings, top.shape[-1], -1)  # (B, F, K, W)
        states: torch.Tensor = head(  # (B * F, W)
            chosen.flatten(0, 1), None if selected is None else selected.flatten(0, 1)
        )
        return states.reshape(images, findings, -1)


def _logit(probability: float) -> float:
    return float(torch.logit(torch.tensor(probability)))
