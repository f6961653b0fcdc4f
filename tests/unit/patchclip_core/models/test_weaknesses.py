"""Weaknesses of the published formulation that no other test would notice; docs/model.md lists all with their tests.

Each test holds for the default mode and shows, where the published formulation can be built, that it fails there.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from patchclip_core.checkpoints.checkpoint import find, load, read_card
from patchclip_core.models.compact import CompactImageSettings, CompactTextSettings
from patchclip_core.models.heads import PatchHead
from patchclip_core.models.losses import summed_patch_loss
from patchclip_core.models.methods.patchclip import Mode, PatchClip, PatchClipSettings, SparseSettings
from patchclip_core.models.towers import Tokens
from patchclip_core.values.results import Radiograph


def network(mode: Mode = "default") -> PatchClip:
    """A network on 32 px: 8 x 8 patches."""
    torch.manual_seed(0)
    return PatchClip(
        PatchClipSettings(
            mode=mode,
            input_px=32,
            embedding=8,
            image_tower=CompactImageSettings(input_px=32, widths=(8, 12), strides=(2, 2), layers=1, attention_heads=2),
            text_tower=CompactTextSettings(vocabulary=20, width=8, layers=1, attention_heads=2),
            sparse=SparseSettings(layers=1, attention_heads=2, hidden=16, patches=3),
        )
    ).eval()


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def sentences() -> Tokens:
    """Three that say a finding is there, one that says it is not."""
    ids = torch.randint(1, 20, (4, 6), generator=torch.Generator().manual_seed(3))
    return Tokens(ids, torch.ones(4, 6, dtype=torch.bool))


@pytest.mark.parametrize(("gelu", "whole_range"), [(False, True), (True, False)], ids=["default", "paper"])
def test_a_patch_can_contradict_a_sentence_as_much_as_agree_with_it(gelu: bool, whole_range: bool) -> None:
    torch.manual_seed(0)
    head = PatchHead(16, 8, gelu=gelu)
    tokens = 10 * torch.randn(500, 16, generator=torch.Generator().manual_seed(1))  # beyond where a GELU is a line

    with torch.no_grad():
        embedded, opposite = head(tokens), head(-tokens)
        to_opposite = (embedded * opposite).sum(dim=-1)
        between = embedded @ embedded.T

    assert bool((to_opposite < -0.999).all()) == whole_range
    assert ((between < 0).float().mean().item() > 0.4) == whole_range  # a half by chance; behind a GELU hardly any


@pytest.mark.parametrize(("mode", "separated"), [("default", True), ("paper", False)])
def test_where_every_patch_leans_to_the_positive_sentence_a_bias_can_be_learned(mode: Mode, separated: bool) -> None:
    model = network(mode)
    with torch.no_grad():
        tokens = model.look(images(4)).patches
        patches = model.patch_head(tokens if mode == "paper" else model.image_tower.final_norm(tokens))
        towards = torch.nn.functional.normalize(patches.mean(dim=(0, 1)), dim=-1)
        texts = torch.stack([towards, -towards])[None]
        before = model.answer(images(4), (texts,)).patches
    targets = (before >= before.quantile(0.75)).float()  # the lesion's patches lean there most
    assert bool((before > 0).float().mean() > 0.8)
    biases = [bias for bias in (model.image_bias, model.patch_bias) if bias.requires_grad]
    for weight in model.parameters():
        weight.requires_grad_(any(weight is bias for bias in biases))
    optimizer = torch.optim.Adam([*biases, torch.zeros(1, requires_grad=True)], lr=0.1)

    for _ in range(400):
        loss = summed_patch_loss(model.answer(images(4), (texts,)).patches, targets, torch.ones_like(targets).bool())
        if loss.requires_grad:
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()

    with torch.no_grad():
        found = model.answer(images(4), (texts,)).patches > 0
    right = (found == targets.bool()).float().mean().item()
    assert (right > 0.9) == separated


def test_a_half_does_not_depend_on_how_long_the_embedded_sentences_are() -> None:
    model = network()
    with torch.no_grad():
        (texts,) = model.embed_findings(sentences(), [3, 1])
        before = model.answer(images(2), (texts,))
        model.text_projection.weight.mul_(7.0)
        (longer,) = model.embed_findings(sentences(), [3, 1])
        after = model.answer(images(2), (longer,))

    # Three sentences that disagree have a short mean; it must not lose against the one that stands alone.
    assert texts.norm(dim=-1) == pytest.approx(torch.ones(1, 2))
    assert torch.allclose(before.patches, after.patches, atol=1e-4)
    assert torch.allclose(before.image, after.image, atol=1e-4)


@pytest.mark.parametrize("mode", ["default", "paper"])
def test_an_image_alone_is_scored_by_what_it_shows(mode: Mode) -> None:
    model = network(mode)
    with torch.no_grad():
        (pair,) = model.embed_findings(sentences(), [3, 1])
        texts = (pair.flip(1),)  # the images are nearer to the negative sentence
        alone = [model.answer(image[None], texts).image.sigmoid().item() for image in 3 * images(3)]
        together = model.answer(3 * images(3), texts).image.sigmoid().flatten().tolist()

    # A softmax over the images of a batch is 1 for one image, and would average one half into each of these.
    assert alone == pytest.approx(together, abs=1e-4)
    assert len({round(probability, 4) for probability in alone}) == 3
    assert max(alone) < 0.5


def test_operating_points_are_the_card_s_whatever_images_are_analysed() -> None:
    model = load("untrained", device="cpu")
    expected = {finding.key: finding.threshold for finding in read_card(find("untrained")).findings}
    rng = np.random.default_rng(0)

    for level in (0.1, 0.5, 0.9):
        image = Radiograph(np.clip(rng.normal(level, 0.1, (200, 180)), 0, 1).astype(np.float32))
        (findings,) = model.analyze_batch([image])
        assert {item.key: item.threshold for item in findings} == expected
