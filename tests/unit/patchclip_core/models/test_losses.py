from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchclip_core.models.losses import (
    Bank,
    LossWeights,
    bag_loss,
    balanced_patch_loss,
    masked_cross_entropy,
    report_contrastive_loss,
    summed_patch_loss,
)
from patchclip_core.models.methods.patchclip import Mode, PatchClipOutput
from patchclip_core.models.methods.patchclip_losses import patch_clip_loss
from patchclip_core.places.targets import Targets

IMAGES, FINDINGS, PATCHES = 3, 2, 5

LossFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def cross_entropy(logit: float, target: float) -> float:
    """Two-way cross-entropy, written out."""
    present = 1 / (1 + math.exp(-logit))
    return -target * math.log(present) - (1 - target) * math.log(1 - present)


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(IMAGES, FINDINGS, PATCHES, generator=generator) * 3
    targets = torch.rand(IMAGES, FINDINGS, PATCHES, generator=generator).round(decimals=1)
    known = torch.rand(IMAGES, FINDINGS, PATCHES, generator=generator) > 0.3
    return logits, targets, known


def random_output(seed: int) -> PatchClipOutput:
    generator = torch.Generator().manual_seed(seed)
    overall, pooled, sparse = (torch.randn(IMAGES, FINDINGS, generator=generator, requires_grad=True) for _ in range(3))
    patches, cells = (torch.randn(IMAGES, FINDINGS, PATCHES, generator=generator, requires_grad=True) for _ in range(2))
    return PatchClipOutput(overall, pooled, patches, sparse, cells, (overall + pooled) / 2)


def random_targets(seed: int) -> Targets:
    """All is known of the image; of most patches, or else the pair may be a bag of four patches."""
    _, patches, patches_known = random_case(seed)
    image = (torch.rand(IMAGES, FINDINGS, generator=torch.Generator().manual_seed(seed)) > 0.5).float()
    bags = torch.zeros_like(patches_known)
    image[2, 1], patches_known[2, 1], bags[2, 1, :4] = 1, False, True
    known, alike = torch.ones(IMAGES, FINDINGS, dtype=torch.bool), torch.ones_like(patches)
    return Targets(image, known, patches, patches_known, alike, bags)


@given(st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_summed_patch_loss_is_what_nested_loops_give(seed: int) -> None:
    logits, targets, known = random_case(seed)
    expected = 0.0
    for image in range(IMAGES):
        for finding in range(FINDINGS):
            for patch in range(PATCHES):
                if known[image, finding, patch]:
                    place = (image, finding, patch)
                    expected += cross_entropy(float(logits[place]), float(targets[place]))

    assert float(summed_patch_loss(logits, targets, known)) == pytest.approx(expected / IMAGES, rel=1e-4)


@given(st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_balanced_patch_loss_is_what_nested_loops_give(seed: int) -> None:
    logits, targets, known = random_case(seed)
    of_findings = []
    for finding in range(FINDINGS):
        sums = {1: 0.0, 0: 0.0}
        weights = {1: 0.0, 0: 0.0}
        for image in range(IMAGES):
            for patch in range(PATCHES):
                if known[image, finding, patch]:
                    logit, target = float(logits[image, finding, patch]), float(targets[image, finding, patch])
                    for side, weight in ((1, target), (0, 1 - target)):
                        sums[side] += weight * cross_entropy(logit, side)
                        weights[side] += weight
        sides = [sums[side] / weights[side] for side in (0, 1) if weights[side] > 0]
        if sides:
            of_findings.append(sum(sides) / len(sides))

    assert float(balanced_patch_loss(logits, targets, known)) == pytest.approx(
        sum(of_findings) / len(of_findings), rel=1e-4
    )


def test_the_masked_cross_entropy_is_the_mean_over_what_is_known() -> None:
    logits, targets = torch.tensor([[2.0, -1.0, 5.0]]), torch.tensor([[1.0, 1.0, 0.0]])

    loss = masked_cross_entropy(logits, targets, torch.tensor([[True, True, False]]))

    assert float(loss) == pytest.approx((cross_entropy(2, 1) + cross_entropy(-1, 1)) / 2)


def test_balanced_negatives_weigh_as_much_as_positives_however_many_there_are() -> None:
    logits = torch.zeros(1, 1, 100)
    few, many = torch.zeros(1, 1, 100), torch.zeros(1, 1, 100)
    few[..., 0], many[..., :60] = 1, 1
    known = torch.ones(1, 1, 100, dtype=torch.bool)
    wrong_on_positives = logits - 4

    for targets in (few, many):
        assert float(balanced_patch_loss(wrong_on_positives, targets, known)) == pytest.approx(
            (cross_entropy(-4, 1) + cross_entropy(-4, 0)) / 2
        )


def test_what_counts_more_than_other_patches_does_so_within_its_side_alone() -> None:
    logits, known = torch.tensor([[[2.0, -1.0, 0.5, 0.0]]]), torch.ones(1, 1, 4, dtype=torch.bool)
    targets, weights = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]]), torch.tensor([[[1.6, 0.4, 1.0, 1.0]]])

    loss = balanced_patch_loss(logits, targets, known, weights=weights)

    positive = (1.6 * cross_entropy(2, 1) + 0.4 * cross_entropy(-1, 1)) / 2
    assert float(loss) == pytest.approx((positive + (cross_entropy(0.5, 0) + cross_entropy(0, 0)) / 2) / 2)


@pytest.mark.parametrize("loss", [balanced_patch_loss, summed_patch_loss, masked_cross_entropy])
def test_nothing_known_is_a_loss_of_zero_with_a_gradient_of_zero(loss: LossFunction) -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)

    value = loss(logits, torch.zeros(2, 3, 4), torch.zeros(2, 3, 4, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(value, logits)

    assert value.item() == 0.0
    assert not gradient.any()


def test_what_is_unknown_has_no_influence() -> None:
    output, targets = random_output(1), random_targets(1)
    targets.image_known[0, 1] = False

    torch.autograd.backward(patch_clip_loss(output, targets).total)

    for logits in (output.overall, output.pooled, output.sparse):
        assert logits is not None
        assert logits.grad is not None
        assert logits.grad[0, 1] == 0.0
    assert output.patches.grad is not None
    assert not output.patches.grad[~targets.patches_known].any()
    assert output.patches.grad[targets.patches_known].all()


def test_the_loss_is_never_below_zero_whatever_the_logits() -> None:
    targets = random_targets(2)
    for size in (-1e4, 1e4):
        image, patches = torch.full((IMAGES, FINDINGS), size), torch.full((IMAGES, FINDINGS, PATCHES), size)
        output = PatchClipOutput(image, image, patches, image, patches, image)
        assert patch_clip_loss(output, targets, "default").total.item() >= 0.0
        assert patch_clip_loss(output, targets, "paper").total.item() >= 0.0


def test_the_total_is_the_weighted_sum_of_its_parts() -> None:
    output, targets = random_output(3), random_targets(3)

    paper = patch_clip_loss(output, targets, "paper")
    other = patch_clip_loss(output, targets, weights=LossWeights(0.1, 0.2, 0.3, 0.4, 0.5))

    assert torch.allclose(paper.total, paper.overall + paper.pooled + paper.patches + paper.cells + 0.5 * paper.sparse)
    of_patches = other.patches + other.cells
    without_bags = 0.1 * other.overall + 0.2 * other.pooled + 0.3 * of_patches + 0.4 * other.sparse
    assert other.bags.item() > 0
    assert torch.allclose(other.total, without_bags + 0.5 * other.bags)
    assert not torch.allclose(paper.patches, other.patches)


def test_a_bag_is_the_cross_entropy_of_the_mean_of_its_highest_logits() -> None:
    logits = torch.tensor([[[1.0, 9.0, -2.0, 3.0, 0.5], [0.0, 0.0, 0.0, 0.0, 0.0]]], requires_grad=True)
    bags = torch.tensor([[[True, False, True, True, True], [False] * 5]])

    loss = bag_loss(logits, bags, highest=2)
    (gradient,) = torch.autograd.grad(loss, logits)

    assert loss.item() == pytest.approx(cross_entropy((3.0 + 1.0) / 2, 1))
    assert gradient.ne(0).tolist() == [[[True, False, False, True, False], [False] * 5]]
    assert float(gradient.max()) <= 0, "the highest patches are raised, none is lowered"


def test_all_of_a_bag_counts_where_it_has_fewer_patches_than_asked_for() -> None:
    logits = torch.tensor([[[1.0, 2.0, -6.0]]], requires_grad=True)
    bags = torch.tensor([[[True, False, True]]])

    for highest in (3, 100):
        loss = bag_loss(logits, bags, highest)
        (gradient,) = torch.autograd.grad(loss, logits)

        assert loss.item() == pytest.approx(cross_entropy((1.0 - 6.0) / 2, 1))
        assert gradient.ne(0).tolist() == [[[True, False, True]]]


def test_no_bag_at_all_is_a_loss_of_zero_with_a_gradient_of_zero() -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)

    loss = bag_loss(logits, torch.zeros(2, 3, 4, dtype=torch.bool), highest=2)
    (gradient,) = torch.autograd.grad(loss, logits)

    assert loss.item() == 0.0
    assert not gradient.any()


def test_bags_without_a_weight_change_nothing() -> None:
    targets = random_targets(4)
    unbagged = replace(targets, bags=torch.zeros_like(targets.bags))

    def total_and_gradient(of: Targets, weights: LossWeights) -> tuple[float, torch.Tensor]:
        output = random_output(4)
        total = patch_clip_loss(output, of, weights=weights).total
        return total.item(), torch.autograd.grad(total, output.patches)[0]

    (with_bags, gradient), (without, expected) = (total_and_gradient(of, LossWeights()) for of in (targets, unbagged))
    weighted, _ = total_and_gradient(targets, LossWeights(bags=0.3))

    assert with_bags == without
    assert torch.equal(gradient, expected)
    assert weighted > with_bags


def test_the_contrastive_loss_is_small_for_pairs_and_large_for_shuffled_ones() -> None:
    images = torch.nn.functional.normalize(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    scale = torch.tensor(20.0)

    own = report_contrastive_loss(images, images, scale)
    shuffled = report_contrastive_loss(images, images.roll(1, 0), scale)

    assert float(own) < 0.05
    assert float(shuffled) > 5


def unit_rows(count: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_the_contrastive_loss_of_pairs_is_a_cross_entropy_both_ways() -> None:
    images, reports, scale = unit_rows(6, 0), unit_rows(6, 1), torch.tensor(10.0)
    logits, own = scale * images @ reports.T, torch.arange(6)

    loss = report_contrastive_loss(images, reports, scale)

    entropy = torch.nn.functional.cross_entropy
    assert torch.allclose(loss, (entropy(logits, own) + entropy(logits.T, own)) / 2)


def test_a_report_that_holds_for_a_second_image_is_no_negative_of_it() -> None:
    images, reports, scale = unit_rows(4, 0), unit_rows(3, 1), torch.tensor(10.0)
    positives = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)
    images = images.clone()
    images[1] = reports[0]  # as near as can be: as a negative it would cost much

    shared = report_contrastive_loss(images, reports, scale, positives)
    apart = report_contrastive_loss(
        images, reports, scale, positives & torch.tensor([True, False, True, True])[:, None]
    )

    assert float(shared) < float(apart) - 0.5


def test_a_bank_adds_negatives_and_leaves_out_what_holds() -> None:
    images, reports, scale = unit_rows(4, 0).requires_grad_(), unit_rows(4, 1), torch.tensor(10.0)
    old_images, old_reports = unit_rows(5, 2), unit_rows(6, 3)
    report_negatives, image_negatives = torch.ones(4, 6, dtype=torch.bool), torch.ones(4, 5, dtype=torch.bool)
    report_negatives[0, 2] = image_negatives[1, 3] = False

    loss = report_contrastive_loss(
        images, reports, scale, bank=Bank(old_images, old_reports, report_negatives, image_negatives)
    )

    def one_way(queries: torch.Tensor, keys: torch.Tensor, old: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        terms = []
        for row in range(4):
            candidates = torch.cat([scale * keys @ queries[row], (scale * old @ queries[row])[negatives[row]]])
            terms.append(torch.logsumexp(candidates, 0) - scale * keys[row] @ queries[row])
        return torch.stack(terms).mean()

    expected = one_way(images, reports, old_reports, report_negatives) + one_way(
        reports, images, old_images, image_negatives
    )
    assert torch.allclose(loss, expected / 2, atol=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert images.grad is not None
    assert bool(images.grad.isfinite().all())


def test_a_paper_sized_batch_takes_milliseconds() -> None:
    logits, targets = torch.randn(64, 14, 256), torch.rand(64, 14, 256)
    known = torch.ones(64, 14, 256, dtype=torch.bool)
    durations_s = []

    for _ in range(5):
        started = time.perf_counter()
        balanced_patch_loss(logits, targets, known)
        durations_s.append(time.perf_counter() - started)

    assert min(durations_s) < 0.5  # nested loops over these 229,376 patches take tens of seconds


def test_weights_of_one_change_nothing() -> None:
    logits, targets, known = random_case(5)
    alike = torch.ones_like(targets)

    for loss in (balanced_patch_loss, summed_patch_loss):
        torch.testing.assert_close(loss(logits, targets, known, weights=alike), loss(logits, targets, known))


def test_among_negatives_each_image_counts_by_its_weight() -> None:
    logits = torch.tensor([[[3.0, 3.0]], [[-1.0, -1.0]]])
    targets, known = torch.zeros(2, 1, 2), torch.ones(2, 1, 2, dtype=torch.bool)
    of_light, of_heavy = cross_entropy(3, 0), cross_entropy(-1, 0)

    loss = balanced_patch_loss(logits, targets, known, weights=torch.tensor([[[0.1]], [[1.0]]]).expand_as(logits))

    counts_as = (0.01 + 1) / 1.1
    assert float(loss) == pytest.approx(counts_as * (0.1 * of_light + of_heavy) / 1.1, rel=1e-5)


@pytest.mark.parametrize("loss", [balanced_patch_loss, summed_patch_loss])
def test_what_counts_little_counts_little_also_alone_in_a_batch(loss: Callable[..., torch.Tensor]) -> None:
    logits, targets = torch.full((2, 1, 3), 2.0), torch.zeros(2, 1, 3)
    known = torch.ones(2, 1, 3, dtype=torch.bool)

    light, whole = loss(logits, targets, known, weights=torch.full_like(logits, 0.1)), loss(logits, targets, known)

    assert float(light) == pytest.approx(0.1 * float(whole), rel=1e-5)


def test_a_loss_of_what_is_unknown_beyond_a_box_moves_no_patch_there() -> None:
    logits = torch.zeros(1, 1, 4, requires_grad=True)
    known = torch.tensor([[[True, True, False, False]]])

    torch.autograd.backward(balanced_patch_loss(logits, torch.tensor([[[1.0, 0.5, 0.0, 0.0]]]), known))

    assert logits.grad is not None
    assert logits.grad[0, 0].ne(0).tolist() == [True, True, False, False]


def test_the_published_sparse_head_is_never_asked_for_opposites_of_one_empty_selection() -> None:
    """An image that shows a finding at an unknown place has no labelled patch, as one without the finding has none."""
    output, targets = random_output(0), random_targets(0)
    somewhere = replace(targets, image=torch.ones_like(targets.image), patches=torch.zeros_like(targets.patches))
    absent = replace(somewhere, image=torch.zeros_like(targets.image))
    marked = replace(somewhere, patches=torch.ones_like(targets.patches), patches_known=torch.ones_like(targets.bags))

    by_mode = {
        mode: [patch_clip_loss(output, each, mode).sparse for each in (somewhere, absent, marked)] for mode in MODES
    }

    assert by_mode["paper"][0] == 0.0
    assert min(by_mode["paper"][1:] + by_mode["default"]) > 0.0
    assert torch.equal(by_mode["paper"][2], by_mode["default"][2])


MODES: tuple[Mode, ...] = ("paper", "default")
