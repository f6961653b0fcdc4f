"""Large contrastive batches on small machines: exact ones in chunks, and a bank of embeddings of earlier steps.

In chunks: a batch passes the towers piece by piece, only its embeddings are kept, and a piece's activations are made a
second time where its gradient is wanted (Gao et al., "Scaling deep contrastive learning batch size under memory limited
setup", 2021). Gradients are those of the whole batch, at the price of another forward pass. A bank (Wu et al., 2018;
here without a momentum encoder) costs next to nothing, but what it holds is some steps old and has no gradient: it is
for towers that move slowly, such as a frozen one behind a downscaler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from patchclip_core.models.losses import Bank
from patchclip_core.models.methods.method import Method
from patchclip_core.models.network import FindingsNetwork
from patchclip_core.models.towers import Features, Tokens
from patchclip_trainer.training.loop.gather import rows_of_all
from patchclip_trainer.training.loop.processes import ALONE, Processes
from patchclip_trainer.training.stage1.pairs import PairBatch, Pairs, Text

Encode = Callable[..., tuple[torch.Tensor, ...]]


def in_chunks(encode: Encode, inputs: Sequence[torch.Tensor], size: int | None) -> tuple[torch.Tensor, ...]:
    """Return encode(*inputs), with the activations of at most `size` rows in memory at a time; None: of all.

    encode: works on each row by itself (a batch norm does not: it sees the rows of a piece) and gives tensors with as
    many rows. What it draws by chance it draws again.
    """
    rows = len(inputs[0])
    if size is None or rows <= size or not torch.is_grad_enabled():
        return encode(*inputs)
    pieces = [
        checkpoint(encode, *(values[start : start + size] for values in inputs), use_reentrant=False)
        for start in range(0, rows, size)
    ]
    return tuple(torch.cat(parts) for parts in zip(*pieces, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class ReportLoss:
    """What is differentiated, its parts before weighting, and the global embeddings, (B, D) and (N, D) of length 1."""

    total: torch.Tensor
    parts: dict[str, torch.Tensor]
    images: torch.Tensor
    reports: torch.Tensor


def report_loss(
    method: Method[Any],
    network: FindingsNetwork,
    seen: torch.Tensor | Features,
    tokens: Tokens,
    positives: torch.Tensor,
    *,
    chunk: int | None = None,
    bank: Bank | None = None,
    processes: Processes = ALONE,
) -> ReportLoss:
    """Return the loss of B images against N texts; positives: (B, N) bool, which text holds for which image.

    seen: normalised images, or what the network's fixed trunk made of them. bank: only of a method that takes one.
    processes: each gives its own images and texts, positives and bank are of all, in the order of `rows_of_all`. The
    loss is then this process's share.
    """
    values, wrap = (seen.values, Features) if isinstance(seen, Features) else (seen, _as_it_is)
    of_images = in_chunks(lambda part: method.image_rows(network, wrap(part)), [values], chunk)
    of_reports = in_chunks(
        lambda ids, mask: method.report_rows(network, Tokens(ids, mask)), [tokens.ids, tokens.mask], chunk
    )
    images, reports = (tuple(rows_of_all(part, processes) for part in parts) for parts in (of_images, of_reports))
    found = method.report_loss(network, images, reports, positives, bank)
    shares = {name: part / processes.count for name, part in found.parts.items()}
    return ReportLoss(found.total / processes.count, shares, images[0], reports[0])


class MemoryBank:
    """Embeddings of the last `size` images and of as many texts, and of whose they are; they have no gradient."""

    def __init__(self, size: int, pairs: Pairs, drawn: Callable[[int, int], Text]) -> None:
        """drawn: (image index, epoch) -> the text that the image had in that epoch."""
        self._size, self._pairs, self._drawn = size, pairs, drawn
        self._images = self._reports = torch.empty(0, 0)
        self._image_of: list[int] = []
        self._report_of: list[tuple[int, int]] = []
        self._texts: list[Text] = []

    def compared_with(self, batch: PairBatch) -> Bank | None:
        """Return what a batch is compared with besides itself; None while the bank is empty."""
        if not self._image_of:
            return None
        device = self._images.device
        return Bank(
            self._images,
            self._reports,
            torch.from_numpy(~self._pairs.true_of(batch.indices, self._texts)).to(device),
            torch.from_numpy(~self._pairs.true_of(self._image_of, batch.texts).T).to(device),
        )

    def add(self, batch: PairBatch, epoch: int, images: torch.Tensor, reports: torch.Tensor) -> None:
        """Take in a batch's embeddings; the oldest leave."""
        self._images = _latest(self._images, images, self._size)
        self._reports = _latest(self._reports, reports, self._size)
        self._image_of = [*self._image_of, *map(int, batch.indices)][-self._size :]
        self._report_of = [*self._report_of, *((owner, epoch) for owner in batch.owners)][-self._size :]
        self._texts = [*self._texts, *batch.texts][-self._size :]

    def state(self) -> dict[str, Any]:
        """Return what a stopped run needs to go on with the same bank."""
        return {
            "images": self._images,
            "reports": self._reports,
            "image_of": self._image_of,
            "report_of": self._report_of,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with a bank that `state` returned."""
        self._images, self._reports = state["images"], state["reports"]
        self._image_of = list(state["image_of"])
        self._report_of = [(owner, epoch) for owner, epoch in state["report_of"]]
        self._texts = [self._drawn(owner, epoch) for owner, epoch in self._report_of]


def _latest(held: torch.Tensor, new: torch.Tensor, size: int) -> torch.Tensor:
    new = new.detach().float()
    return (torch.cat([held, new]) if len(held) else new)[-size:].clone()


def _as_it_is(values: torch.Tensor) -> torch.Tensor:
    return values
