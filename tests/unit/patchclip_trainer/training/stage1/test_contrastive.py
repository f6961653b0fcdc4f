"""Chunks give the gradients of the whole batch with a part of its activations; a bank keeps none itself."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from patchclip_core.models.compact import CompactImageSettings, CompactTextSettings
from patchclip_core.models.methods import find_method
from patchclip_core.models.methods.lrclr import Lrclr, LrclrSettings
from patchclip_core.models.methods.patchclip import PatchClip, PatchClipSettings, SparseSettings
from patchclip_core.models.towers import Tokens
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.training.stage1.contrastive import MemoryBank, in_chunks, report_loss
from patchclip_trainer.training.stage1.pairs import Folds, Pairs, Text, collect_pairs
from tests.support.reported import write_reported

IMAGES = CompactImageSettings(input_px=32, widths=(16,), strides=(4,), layers=1, attention_heads=2)
TEXTS = CompactTextSettings(vocabulary=50, tokens=12, width=16, layers=1, attention_heads=2)


def patch_clip() -> PatchClip:
    sparse = SparseSettings(layers=1, attention_heads=2, hidden=16, patches=4)
    return PatchClip(PatchClipSettings(input_px=32, embedding=8, image_tower=IMAGES, text_tower=TEXTS, sparse=sparse))


def lrclr() -> Lrclr:
    return Lrclr(LrclrSettings(input_px=32, embedding=8, image_tower=IMAGES, text_tower=TEXTS, selected=8))


def batch_of(images: int, texts: int) -> tuple[torch.Tensor, Tokens, torch.Tensor]:
    chance = torch.Generator().manual_seed(3)
    ids = torch.randint(1, 50, (texts, 6), generator=chance)
    positives = torch.rand(images, texts, generator=chance) < 0.2
    positives[torch.arange(images), torch.arange(images) % texts] = True
    return (
        torch.randn(images, 1, 32, 32, generator=chance),
        Tokens(ids, torch.ones_like(ids, dtype=torch.bool)),
        positives,
    )


def gradients(network: PatchClip | Lrclr, chunk: int | None) -> tuple[float, dict[str, torch.Tensor]]:
    network.zero_grad(set_to_none=True)
    images, tokens, positives = batch_of(11, 9)
    method = find_method("lrclr" if isinstance(network, Lrclr) else "patchclip")
    loss = report_loss(method, network, images.double(), tokens, positives, chunk=chunk).total
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    found = {name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None}
    return loss.item(), found


@pytest.mark.parametrize("make", [patch_clip, lrclr])
@pytest.mark.parametrize("chunk", [1, 4, 10])
def test_chunks_give_the_gradients_of_the_whole_batch(make: Callable[[], PatchClip | Lrclr], chunk: int) -> None:
    torch.manual_seed(0)
    network = make().double().train()

    whole, expected = gradients(network, None)
    loss, found = gradients(network, chunk)

    assert loss == pytest.approx(whole, abs=1e-6)
    assert set(found) == set(expected)
    assert len(found) > 20
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-7), name


def test_a_dropped_unit_is_dropped_the_second_time_too() -> None:
    weights = torch.ones(6, requires_grad=True)

    def encode(part: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (torch.nn.functional.dropout(part * weights, 0.5),)

    torch.manual_seed(5)
    (made,) = in_chunks(encode, [torch.ones(8, 6)], 2)
    made.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    assert weights.grad is not None
    assert torch.equal(weights.grad, made.detach().sum(dim=0))


class Watched(torch.autograd.Function):
    """Squares, keeps a tensor for its gradient, and notes how many of those are alive each time that it runs."""

    kept: ClassVar[list[weakref.ref[torch.Tensor]]] = []
    alive: ClassVar[list[int]] = []

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, given: torch.Tensor) -> torch.Tensor:
        kept = given.clone()
        ctx.save_for_backward(kept)
        Watched.kept.append(weakref.ref(kept))
        Watched.alive.append(sum(one() is not None for one in Watched.kept))
        return kept**2

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> torch.Tensor:
        kept: torch.Tensor = ctx.saved_tensors[0]
        return 2 * kept * outer[0]


def test_the_activations_of_one_chunk_at_a_time_are_in_memory() -> None:
    weights, given = torch.ones(64, requires_grad=True), torch.randn(32, 64)

    def encode(part: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (Watched.apply(part * weights).sum(dim=1),)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    (values,) = in_chunks(encode, [given], 4)
    values.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    assert weights.grad is not None
    assert torch.allclose(weights.grad, (2 * given**2).sum(dim=0), rtol=1e-5)
    assert len(Watched.alive) == 16  # eight chunks, and once more
    assert max(Watched.alive) <= 2  # one that is made while the one before it is let go


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    return collect_pairs(write_reported(tmp_path / "prepared"), "reports", Folds(held_out=0), load_label_domains())


def test_a_bank_keeps_the_latest_and_is_restored_from_its_state(pairs: Pairs) -> None:
    def drawn(index: int, epoch: int) -> Text:
        return pairs.drawn(index, 1, (0, epoch))

    bank, again = MemoryBank(10, pairs, drawn), MemoryBank(10, pairs, drawn)
    batches = [pairs.batch(part, [drawn(int(index), 0) for index in part]) for part in np.array_split(pairs.train, 4)]
    assert bank.compared_with(batches[0]) is None
    embeddings = [torch.randn(len(batch.indices), 3, requires_grad=True) for batch in batches]
    texts = [torch.randn(len(batch.texts), 3) for batch in batches]

    for batch, images, reports in zip(batches[:3], embeddings, texts, strict=False):
        bank.add(batch, 0, images, reports)
    again.restore(bank.state())

    for one in (bank, again):
        found = one.compared_with(batches[3])
        assert found is not None
        assert torch.equal(found.images, torch.cat(embeddings[:3])[-10:])
        assert not found.images.requires_grad
        assert found.report_negatives.shape == (len(batches[3].indices), len(found.reports))
        # Every third image has the same kind of report: of 'no effusion' and the like many hold.
        assert 0 < int(found.report_negatives.sum()) < found.report_negatives.numel()
        assert 0 < int(found.image_negatives.sum()) < found.image_negatives.numel()


def test_a_bank_changes_the_loss_and_lets_gradients_reach_the_batch_alone(pairs: Pairs) -> None:
    torch.manual_seed(0)
    network, bank = patch_clip(), MemoryBank(64, pairs, lambda index, epoch: pairs.drawn(index, 1, (0, epoch)))
    batch = pairs.batch(pairs.train[:8], [pairs.drawn(int(index), 1, (0, 0)) for index in pairs.train[:8]])
    images, tokens, _ = batch_of(8, len(batch.texts))
    positives = torch.from_numpy(batch.positives)
    first = report_loss(find_method("patchclip"), network, images, tokens, positives)
    bank.add(batch, 0, first.images, first.reports)

    second = report_loss(find_method("patchclip"), network, images, tokens, positives, bank=bank.compared_with(batch))
    second.total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    assert second.total.item() > first.total.item()
    assert network.visual_projection.weight.grad is not None
