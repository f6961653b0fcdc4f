"""A head over the trunk's cells answers beside the patch head, and learns with it."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from patchclip_core.errors import CheckpointError
from patchclip_core.models.cell_head import CellHead
from patchclip_core.models.compact import CompactImageSettings, CompactTextSettings
from patchclip_core.models.efficientnet import EfficientNetImageSettings
from patchclip_core.models.linear_reader import directions_of
from patchclip_core.models.losses import LossWeights
from patchclip_core.models.methods import find_method
from patchclip_core.models.methods.patchclip import PatchClip, PatchClipSettings
from patchclip_core.places.targets import Targets

TRUNK = EfficientNetImageSettings(input_px=64, stride=16, width=16, attention_heads=2, hidden=16)
COMPACT = CompactImageSettings(input_px=64, widths=(8, 16), strides=(4, 2), layers=1)
TEXT = CompactTextSettings(vocabulary=20, width=16, layers=1)
PARTS = {"input_px": 64, "embedding": 16, "text_tower": TEXT, "sparse": None}
FINDINGS = 3


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def texts() -> torch.Tensor:
    return torch.nn.functional.normalize(drawn(FINDINGS, 2, 16, seed=4), dim=-1)


def network(**tower: int) -> PatchClip:
    torch.manual_seed(0)
    settings = {**PARTS, "image_tower": TRUNK.model_copy(update=tower), "cell_head": True}
    return PatchClip(PatchClipSettings.model_validate(settings)).eval()


def targets(images: int, known: bool) -> Targets:
    patches = torch.zeros(images, FINDINGS, 16)
    patches[:, :, 3] = 1
    everywhere = torch.full(patches.shape, known)
    seen = torch.ones(images, FINDINGS)
    return Targets(seen, seen > 0, patches, everywhere, torch.ones_like(patches), torch.zeros_like(everywhere))


def test_each_cell_is_seen_for_itself() -> None:
    head, directions = CellHead(channels=6, embedding=8).eval(), drawn(FINDINGS, 8)
    cells = drawn(2, 20, 6, seed=1)
    changed = cells.clone()
    changed[1, 13] += drawn(6, seed=3)

    before, after = head(cells, directions), head(changed, directions)

    assert before.shape == (2, FINDINGS, 20)
    differs = (before - after).abs().amax(dim=1) > 0  # (B, P)
    assert differs.nonzero().tolist() == [[1, 13]]


@pytest.mark.parametrize("trained_stages", [0, 2, 5])
@pytest.mark.parametrize("readers", [1, 2])
def test_patches_have_the_mean_of_both_heads_and_the_image_is_as_it_was(readers: int, trained_stages: int) -> None:
    model = network(readers=readers, trained_stages=trained_stages)
    images, head = drawn(2, 1, 64, 64, seed=5), model.cell_head
    assert head is not None
    assert model.trunk is not None

    with torch.inference_mode():
        features = model.trunk.features(images)
        both, from_features = model.answer(images, (texts(),)), model.answer(features, (texts(),))
        cells = head(model.look(features).cells, directions_of(texts()))
        model.cell_head = None
        alone = model.answer(images, (texts(),))

    torch.testing.assert_close(both.patches, (alone.patches + cells) / 2)
    torch.testing.assert_close(both.image, alone.image)
    torch.testing.assert_close(from_features.patches, both.patches)


@pytest.mark.parametrize("readers", [1, 2])
@pytest.mark.parametrize("known", [True, False])
def test_it_learns_what_is_known_of_patches_once_an_image(readers: int, known: bool) -> None:
    model, method = network(readers=readers), find_method("patchclip")
    images, weights = drawn(2, 1, 64, 64, seed=5), LossWeights(overall=0, pooled=0)
    assert model.cell_head is not None

    loss = method.findings_loss(model, images, (texts(),), targets(2, known), weights)
    loss.total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    learned = [float(weight.grad.abs().sum()) for weight in model.cell_head.parameters() if weight.grad is not None]
    assert (sum(learned) > 0) is known
    torch.testing.assert_close(loss.total, loss.parts["patches"] + loss.parts["cells"])
    assert {name for name in model.new_parameters() if name.startswith("cell_head.")}


def test_a_network_without_it_has_no_such_part_of_a_loss() -> None:
    torch.manual_seed(0)
    plain = PatchClip(PatchClipSettings.model_validate({**PARTS, "image_tower": TRUNK}))

    loss = find_method("patchclip").findings_loss(
        plain, drawn(2, 1, 64, 64), (texts(),), targets(2, True), LossWeights()
    )

    assert "cells" not in loss.parts


def test_what_it_learns_reaches_the_stages_that_learn() -> None:
    model = network(trained_stages=2)
    last = dict(model.named_parameters())["image_tower.model.stages.6.0.project.convolution.weight"]

    cells = model(drawn(2, 1, 64, 64, seed=5), texts()).cells
    cells.sum().backward()

    assert last.grad is not None


def test_images_that_are_looked_at_in_pieces_have_all_their_cells() -> None:
    model = network(readers=2)
    images = drawn(3, 1, 64, 64, seed=5)

    whole = model.look(images)
    model.looks_at = 2
    pieces = model.look(images)

    assert whole.cells is not None
    assert pieces.cells is not None
    torch.testing.assert_close(pieces.cells, whole.cells)


def test_it_needs_a_trunk_and_is_not_in_the_published_mode() -> None:
    with pytest.raises(CheckpointError, match="cell_head: there are no features of a fixed trunk"):
        PatchClip(PatchClipSettings.model_validate({**PARTS, "image_tower": COMPACT, "cell_head": True}))
    with pytest.raises(ValidationError, match="mode 'paper' has no cell_head"):
        PatchClipSettings.model_validate({**PARTS, "image_tower": TRUNK, "mode": "paper", "cell_head": True})
