from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from patchclip_core.models.clip import ClipImageSettings, ClipTextSettings
from patchclip_core.models.compact import CompactImageSettings, CompactTextSettings
from patchclip_core.models.downscaler import DownscalerSettings
from patchclip_core.models.losses import LossWeights
from patchclip_core.models.methods.patchclip import Mode, PatchClip, PatchClipSettings, SparseSettings, paper_settings
from patchclip_core.models.methods.patchclip_losses import patch_clip_loss
from patchclip_core.models.towers import Tokens
from patchclip_core.places.targets import Targets

FINDINGS, PATCHES = 3, 16


def tiny(mode: Mode = "default", **changes: Any) -> PatchClip:
    """A network on 64 px: 4 x 4 patches behind a downscaler that halves."""
    values: dict[str, Any] = {
        "mode": mode,
        "input_px": 64,
        "embedding": 8,
        "image_tower": CompactImageSettings(input_px=32, widths=(8, 12), strides=(4, 2), layers=1, attention_heads=2),
        "text_tower": CompactTextSettings(vocabulary=20, width=8, layers=1, attention_heads=2),
        "downscaler": DownscalerSettings(channels=(1, 1), kernel=4, stride=2, padding=1, last_relu=mode == "paper"),
        "sparse": SparseSettings(layers=1, attention_heads=2, hidden=16, patches=3),
    }
    torch.manual_seed(0)
    return PatchClip(PatchClipSettings(**(values | changes)))


def tiny_clip(mode: Mode = "paper") -> PatchClip:
    """The published structure at the smallest size: CLIP's towers behind the paper's downscaler, 68 -> 33 -> 16 px."""
    size: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    return PatchClip(
        PatchClipSettings(
            mode=mode,
            input_px=68,
            embedding=8,
            image_tower=ClipImageSettings(image_size=16, patch_size=4, **size),
            text_tower=ClipTextSettings(vocab_size=30, max_position_embeddings=12, eos_token_id=29, **size),
            downscaler=DownscalerSettings(channels=(3, 6, 3), last_relu=mode == "paper"),
            sparse=SparseSettings(layers=1, attention_heads=4, hidden=32, patches=3),
        )
    )


def images(count: int = 2, channels: int = 1, side: int = 64) -> torch.Tensor:
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(1))


def texts(findings: int = FINDINGS, width: int = 8) -> torch.Tensor:
    drawn = torch.randn(findings, 2, width, generator=torch.Generator().manual_seed(2))
    return torch.nn.functional.normalize(drawn, dim=-1)


def patch_tokens(network: PatchClip, pictures: torch.Tensor) -> torch.Tensor:
    """What the tower says of the patches, before any head: (B, P, W)."""
    assert network.downscaler is not None
    patches: torch.Tensor = network.image_tower(network.downscaler(pictures)).patches
    return patches


def test_the_published_scale_is_expressible() -> None:
    with torch.device("meta"):
        network = PatchClip(paper_settings())

    grid = network.grid
    assert (grid.rows, grid.columns, grid.pitch_px) == (16, 16, 56.0)
    # Downscaled pixel i looks at source pixels around index 4i + 3, so at the continuous coordinate 4i + 3.5.
    # Patch 0 is made of downscaled pixels 0 to 13, whose middle is 6.5: 4 * 6.5 + 3.5.
    assert grid.centre_px == 29.5
    assert tuple(network.patch_head.projection.weight.shape) == (768, 1024)
    assert "patch_head.projection.bias" not in network.state_dict()
    assert tuple(network.pooled_head.weights.shape) == (256,)
    assert sum(weight.numel() for weight in network.image_tower.parameters()) == 303_179_776  # ViT-L/14's


@pytest.mark.parametrize("mode", ["default", "paper"])
def test_clip_towers_give_logits_for_every_image_finding_and_patch(mode: Mode) -> None:
    network = tiny_clip(mode).eval()
    tokens = Tokens(torch.tensor([[1, 2, 29], [3, 29, 29]]), torch.tensor([[True, True, True], [True, True, False]]))

    with torch.no_grad():
        text = network.encode_text(tokens)
        output = network(images(2, 3, 68), text[None])

    assert tuple(text.shape) == (2, 8)
    assert tuple(output.patches.shape) == (2, 1, PATCHES)
    assert all(
        tuple(logits.shape) == (2, 1) and bool(logits.isfinite().all())
        for logits in (output.overall, output.pooled, output.sparse, output.image)
    )


def test_padding_tokens_do_not_change_a_sentence() -> None:
    for network in (tiny().eval(), tiny_clip().eval()):
        short = Tokens(torch.tensor([[5, 6, 19]]), torch.ones(1, 3, dtype=torch.bool))
        padded = Tokens(torch.tensor([[5, 6, 19, 0, 0]]), torch.tensor([[True, True, True, False, False]]))
        if network.settings.text_tower.kind == "clip":
            short.ids[0, 2] = padded.ids[0, 2] = 29

        assert torch.allclose(network.encode_text(short), network.encode_text(padded), atol=1e-5)


def test_a_patch_answers_to_what_lies_in_its_place() -> None:
    network = tiny().eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "out_proj" in name:
                weight.zero_()  # attention off: what a patch says comes from its own place
    grid = network.grid
    for row, column in [(0, 0), (1, 3), (3, 2)]:
        changed = images(1)
        x, y = (int(grid.centre_px + index * grid.pitch_px) for index in (column, row))
        changed[..., y - 2 : y + 3, x - 2 : x + 3] += 3.0

        with torch.no_grad():
            before, after = (network.look(image).patches for image in (images(1), changed))

        assert int((after - before).norm(dim=-1).argmax()) == row * grid.columns + column


def test_cosines_are_between_vectors_of_length_one() -> None:
    network = tiny().eval()
    ids = torch.randint(1, 20, (5, 7), generator=torch.Generator().manual_seed(0))
    tokens = Tokens(ids, torch.ones(5, 7, dtype=torch.bool))

    with torch.no_grad():
        patches = network.patch_head(network.look(images()).patches)

        assert network.encode_text(tokens).norm(dim=-1) == pytest.approx(torch.ones(5))
        assert network.encode_image(images()).norm(dim=-1) == pytest.approx(torch.ones(2))
        assert patches.norm(dim=-1) == pytest.approx(torch.ones(2, PATCHES))


@pytest.mark.parametrize("mode", ["default", "paper"])
def test_an_image_and_a_finding_do_not_depend_on_their_neighbours(mode: Mode) -> None:
    network = tiny(mode).eval()

    with torch.no_grad():
        together = network(images(3), texts())
        alone = network(images(3)[1:2], texts()[2:3])

    for all_logits, own in (
        (together.image, alone.image),
        (together.overall, alone.overall),
        (together.pooled, alone.pooled),
        (together.patches, alone.patches),
        (together.sparse, alone.sparse),
    ):
        assert torch.allclose(all_logits[1:2, 2:3], own, atol=1e-4)


def test_the_two_texts_exchanged_negate_the_logits() -> None:
    network = tiny().eval()

    with torch.no_grad():
        there = network(images(), texts())
        back = network(images(), texts().flip(1))

    assert torch.allclose(there.image, -back.image, atol=1e-4)
    assert torch.allclose(there.patches, -back.patches, atol=1e-4)


def test_labels_do_not_reach_the_default_sparse_head() -> None:
    network = tiny().train()
    network.downscaler = None  # batch norm's running means would differ between the two passes
    network.settings = network.settings.model_copy(update={"downscaler": None})
    labelled = torch.rand(2, FINDINGS, PATCHES, generator=torch.Generator().manual_seed(3)) > 0.5

    without = network(images(side=32), texts())
    with_labels = network(images(side=32), texts(), labelled)

    assert torch.equal(without.sparse, with_labels.sparse)


def test_the_papers_sparse_head_reads_labels_in_training_and_its_own_answer_in_use() -> None:
    network = tiny("paper")
    labelled = torch.zeros(2, FINDINGS, PATCHES, dtype=torch.bool)
    labelled[:, :, 5] = True

    network.train()
    trained = [network(images(), texts(), mask).sparse for mask in (labelled, ~labelled)]
    network.eval()
    used = [network(images(), texts(), mask).sparse for mask in (labelled, ~labelled)]

    assert not torch.allclose(*trained)
    assert torch.equal(*used)


def test_the_papers_sparse_head_answers_without_any_suspicious_patch() -> None:
    network = tiny("paper").train()

    output = network(images(), texts(), torch.zeros(2, FINDINGS, PATCHES, dtype=torch.bool))

    assert bool(output.sparse.isfinite().all())


@pytest.mark.parametrize(("mode", "passes"), [("default", True), ("paper", False)])
def test_only_the_default_sends_patches_through_the_final_norm(mode: Mode, passes: bool) -> None:
    network = tiny(mode).eval()
    norm = network.image_tower.final_norm
    with torch.no_grad():
        for weight in norm.parameters():
            weight.fill_(0.5)
            weight.requires_grad_(False)
        next(norm.parameters()).zero_()  # the norm now gives the same for all tokens

        spread = network(images(), texts()).patches.std(dim=-1)

    assert bool((spread < 1e-5).all()) == passes


def test_every_head_learns_and_is_in_the_new_parameters() -> None:
    network = tiny().train()
    network.freeze_for_stage_2()
    targets = Targets(
        torch.tensor([[1.0, 0, 1], [0, 1, 0]]), torch.ones(2, FINDINGS, dtype=torch.bool),
        torch.rand(2, FINDINGS, PATCHES), torch.ones(2, FINDINGS, PATCHES, dtype=torch.bool),
        torch.ones(2, FINDINGS, PATCHES), torch.zeros(2, FINDINGS, PATCHES, dtype=torch.bool),
    )  # fmt: skip

    torch.autograd.backward(patch_clip_loss(network(images(), texts()), targets).total)

    trained = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
    # The key's bias of an attention moves all logits alike: its gradient is 0 but for rounding, so no name is left out.
    trainable = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert trainable == trained
    new = set(network.new_parameters())
    assert {"downscaler", "patch_head", "pooled_head", "sparse_head", "image_bias", "patch_bias"} == {
        name.split(".")[0] for name in new
    }
    assert trainable - new == {"visual_projection.weight", "logit_scale"}


@pytest.mark.parametrize("mode", ["default", "paper"])
def test_without_a_sparse_head_everything_else_is_as_with_one(mode: Mode) -> None:
    """A network that has none learns as one in which that head's loss weighs nothing, and answers the same."""
    whole, without = tiny(mode), tiny(mode, sparse=None)
    shared = {name: weight for name, weight in whole.state_dict().items() if not name.startswith("sparse_head.")}
    without.load_state_dict(shared)
    targets = Targets(
        torch.tensor([[1.0, 0, 1], [0, 1, 0]]), torch.ones(2, FINDINGS, dtype=torch.bool),
        torch.rand(2, FINDINGS, PATCHES), torch.ones(2, FINDINGS, PATCHES, dtype=torch.bool),
        torch.ones(2, FINDINGS, PATCHES), torch.zeros(2, FINDINGS, PATCHES, dtype=torch.bool),
    )  # fmt: skip
    outputs = [network.eval()(images(), texts()) for network in (whole, without)]
    losses = [patch_clip_loss(output, targets, mode, LossWeights(sparse=0.0)) for output in outputs]
    for loss in losses:
        torch.autograd.backward(loss.total)

    assert (outputs[0].sparse is None, outputs[1].sparse is None) == (False, True)
    assert torch.equal(losses[0].total, losses[1].total)
    for name, weight in without.named_parameters():
        beside = whole.get_parameter(name)
        assert (weight.grad is None) == (beside.grad is None), name
        if weight.grad is not None and beside.grad is not None:
            assert torch.equal(weight.grad, beside.grad), name
    answers = [network.answer(images(), (texts(),)) for network in (whole, without)]
    assert torch.equal(answers[0].image, answers[1].image)
    assert torch.equal(answers[0].patches, answers[1].patches)


def test_the_towers_stay_as_they_are_in_stage_2() -> None:
    network = tiny()

    network.freeze_for_stage_2()

    frozen = {name.split(".")[0] for name, weight in network.named_parameters() if not weight.requires_grad}
    assert frozen == {"image_tower", "text_tower", "text_projection"}


def test_a_few_steps_put_the_finding_where_it_is() -> None:
    network = tiny(downscaler=None, input_px=32).train()
    generator = torch.Generator().manual_seed(5)
    pictures = torch.randn(16, 1, 32, 32, generator=generator) * 0.2
    places = torch.randint(0, PATCHES, (16,), generator=generator)
    maps = torch.zeros(16, 1, PATCHES)
    for index, place in enumerate(places.tolist()):
        row, column = divmod(place, 4)
        pictures[index, 0, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] += 2.0
        maps[index, 0, place] = 1.0
    known, patches_known = torch.ones(16, 1, dtype=torch.bool), torch.ones(16, 1, PATCHES, dtype=torch.bool)
    targets = Targets(
        torch.ones(16, 1), known, maps, patches_known, torch.ones_like(maps), torch.zeros_like(patches_known)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)

    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(patch_clip_loss(network(pictures, texts(1)), targets).total)
        optimizer.step()

    pointed = network.eval()(pictures, texts(1)).patches[:, 0].argmax(dim=-1)
    assert (pointed == places).float().mean().item() >= 0.9


@pytest.mark.parametrize(
    "changes",
    [
        {"downscaler": DownscalerSettings(channels=(1, 1), last_relu=True)},
        {"embedding": 1},
        {"heads": 3},
        {"image_tower": {"kind": "resnet"}},
    ],
)
def test_settings_that_make_no_network_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        tiny(**changes)


@pytest.mark.parametrize("mode", ["default", "paper"])
def test_the_scale_of_all_heads_is_at_most_a_hundred(mode: Mode) -> None:
    """As CLIP's, in stage 2 as in stage 1: beyond that, neither logits nor probabilities change."""
    network = tiny(mode).eval()
    outputs = []
    for scale in (math.log(100), 9.0):
        with torch.no_grad():
            network.logit_scale.fill_(scale)
            outputs.append(network(images(), texts()))

    for name in ("overall", "pooled", "patches", "sparse"):
        bounded, beyond = (getattr(output, name) for output in outputs)
        assert float(beyond.abs().max()) <= 200.01
        assert torch.allclose(bounded, beyond, rtol=1e-5)
