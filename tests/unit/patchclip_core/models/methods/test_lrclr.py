from __future__ import annotations

import math

import pytest
import torch

from patchclip_core.models.compact import CompactImageSettings, CompactTextSettings
from patchclip_core.models.losses import contrastive_loss
from patchclip_core.models.methods.lrclr import Lrclr, LrclrSettings, WordAttention, both, straight_through_gates
from patchclip_core.models.methods.lrclr_losses import lrclr_findings_loss, lrclr_report_loss, sparsity_prior
from patchclip_core.models.network import Texts
from patchclip_core.models.tokenizer import WordTokenizer
from patchclip_core.models.towers import Tokens
from patchclip_core.places.targets import Targets

SENTENCES = ("a bright square", "no bright square", "a dark square", "no dark square")
TOKENIZER = WordTokenizer(WordTokenizer.vocabulary_of(SENTENCES), 8)
SIDE = 8


def small(selected: int = 6) -> Lrclr:
    torch.manual_seed(3)
    settings = LrclrSettings(
        input_px=32,
        embedding=16,
        image_tower=CompactImageSettings(input_px=32, widths=(16,), strides=(4,), layers=1),
        text_tower=CompactTextSettings(vocabulary=len(TOKENIZER.vocabulary), tokens=8, width=16, layers=1),
        selected=selected,
        expected_share=0.1,
    )
    return Lrclr(settings)


def findings(network: Lrclr) -> Texts:
    return network.embed_findings(TOKENIZER(SENTENCES), (1, 1, 1, 1))


def with_squares(places: list[tuple[int, int] | None], grey: float) -> torch.Tensor:
    """Noise with an 8 x 8 px square, that is 2 x 2 patches, in each image that has a place (patch row, column)."""
    images = torch.randn(len(places), 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.3
    for image, place in zip(images, places, strict=True):
        if place is not None:
            row, column = place
            image[0, row * 4 : row * 4 + 8, column * 4 : column * 4 + 8] = grey
    return images


def planted(places: list[tuple[int, int] | None]) -> torch.Tensor:
    patches = torch.zeros(len(places), SIDE, SIDE)
    for image, place in zip(patches, places, strict=True):
        if place is not None:
            image[place[0] : place[0] + 2, place[1] : place[1] + 2] = 1.0
    return patches.flatten(1)


PLACES: list[tuple[int, int] | None] = [(0, 0), (3, 5), (6, 2), (1, 4), None, None, None, None]


def test_the_outputs_have_the_shapes_that_they_state() -> None:
    network = small()

    output = network(torch.randn(3, 1, 32, 32), findings(network))

    assert output.overall.shape == output.local.shape == output.image.shape == (3, 2)
    assert output.patches.shape == (3, 2, SIDE * SIDE)
    assert output.significance.shape == (3, SIDE * SIDE)
    assert all(torch.isfinite(part).all() for part in (output.image, output.patches, output.significance))


def test_exactly_the_most_significant_patches_are_selected() -> None:
    significance = torch.randn(4, 20, generator=torch.Generator().manual_seed(0))

    gates = straight_through_gates(significance, 5)

    assert torch.equal(gates.sum(dim=1), torch.full((4,), 5.0))
    for row in range(4):
        assert significance[row][gates[row] == 1].min() > significance[row][gates[row] == 0].max()


def test_with_fewer_patches_than_are_to_be_selected_all_are() -> None:
    assert torch.equal(straight_through_gates(torch.randn(2, 3), 10), torch.ones(2, 3))


def test_patches_that_are_left_out_have_a_gradient_too() -> None:
    significance = torch.linspace(-1.0, 1.0, 8)[None].requires_grad_()
    attention = WordAttention(4)
    patches = torch.nn.functional.normalize(torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(2)), dim=-1)
    words = patches[:, :1]  # like the first patch, which is left out

    maps = attention(words, patches, straight_through_gates(significance, 3))
    similarity = torch.einsum("bnlp,bpd,nld->", maps, patches, words)
    similarity.backward()  # type: ignore[no-untyped-call]

    assert significance.grad is not None
    assert maps[0, 0, 0, 0] == 0
    assert significance.grad[0, 0] > 0, "selecting the patch that the word describes raises the similarity"


def test_word_maps_lie_on_the_selected_patches_and_add_up_to_one() -> None:
    network = small(selected=6)
    regions = network.select(torch.randn(2, 1, 32, 32))

    maps = network.word_maps(regions, network.read(TOKENIZER(SENTENCES)))

    assert maps.shape == (2, 4, 3, SIDE * SIDE)
    assert torch.all((maps > 0).sum(dim=-1) <= 6)
    assert torch.allclose(maps.sum(dim=-1), torch.ones(2, 4, 3), atol=1e-5)


def test_padding_words_do_not_change_a_sentence() -> None:
    network = small().eval()
    regions = network.select(torch.randn(2, 1, 32, 32))
    tokens = TOKENIZER(["square"])
    padded = Tokens(
        torch.cat([tokens.ids, torch.full((1, 4), 5)], dim=1),
        torch.cat([tokens.mask, torch.zeros(1, 4, dtype=torch.bool)], dim=1),
    )

    alone, among = (network.local_similarity(regions, network.read(given)) for given in (tokens, padded))

    assert torch.allclose(alone, among, atol=1e-6)


def test_the_product_of_two_probabilities_is_exact_and_stays_finite() -> None:
    one, other = torch.tensor([-2.0, 0.0, 3.0]), torch.tensor([1.0, 0.0, 2.5])

    assert torch.allclose(both(one, other).sigmoid(), one.sigmoid() * other.sigmoid(), atol=1e-6)
    assert torch.isfinite(both(torch.tensor([-200.0, 200.0]), torch.tensor([200.0, 200.0]))).all()


def test_contrast_with_one_positive_each_is_info_nce() -> None:
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(4))
    own = torch.arange(5)
    cross_entropy = torch.nn.functional.cross_entropy

    expected = (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2

    assert contrastive_loss(logits).item() == pytest.approx(expected.item(), abs=1e-6)


def test_two_positives_do_not_push_each_other_away() -> None:
    positives = torch.tensor([[True, True, False], [False, False, True]])
    good = torch.tensor([[20.0, 20.0, -20.0], [-20.0, -20.0, 20.0]])

    assert contrastive_loss(good, positives).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("rows", "columns", "positive"), [(1, 1, True), (3, 2, False)])
def test_contrast_without_negatives_or_without_positives_is_zero_with_a_gradient_of_zero(
    rows: int, columns: int, positive: bool
) -> None:
    logits = torch.randn(rows, columns).requires_grad_()

    loss = contrastive_loss(logits, torch.full((rows, columns), positive))
    loss.backward()  # type: ignore[no-untyped-call]

    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_the_prior_is_zero_at_the_expected_share_and_grows_to_both_sides() -> None:
    def prior(share: float) -> float:
        return sparsity_prior(torch.full((2, 10), math.log(share / (1 - share))), 0.1).item()

    assert prior(0.1) == pytest.approx(0.0, abs=1e-6)
    assert prior(0.5) > prior(0.2) > prior(0.1)
    assert prior(0.01) > prior(0.1)


def test_significance_starts_near_the_expected_share() -> None:
    output = small().select(torch.randn(4, 1, 32, 32))

    assert output.significance.sigmoid().mean().item() == pytest.approx(0.1, abs=0.06)


def test_it_learns_a_planted_square_from_marked_findings_and_selects_it() -> None:
    network = small()
    images = with_squares(PLACES, grey=3.0)
    known = torch.tensor([[True, False]] * len(PLACES))
    targets = Targets(
        image=torch.tensor([[float(place is not None), 0.0] for place in PLACES]),
        image_known=known,
        patches=planted(PLACES)[:, None].expand(-1, 2, -1),
        patches_known=known[:, :, None].expand(-1, -1, SIDE * SIDE),
        weights=torch.ones(len(PLACES), 2, SIDE * SIDE),
        bags=torch.zeros(len(PLACES), 2, SIDE * SIDE, dtype=torch.bool),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)

    losses = []
    for _ in range(45):
        output = network(images, findings(network))
        loss = lrclr_findings_loss(output, targets, network.settings.expected_share).total
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())

    with torch.no_grad():
        regions = network.select(images)
        output = network(images, findings(network))
    shown = [index for index, place in enumerate(PLACES) if place is not None]
    squares = planted(PLACES)[shown]
    assert losses[-1] < losses[0] / 4
    assert (regions.gates[shown] * squares).sum() / squares.sum() > 0.9, "the selected patches cover the squares"
    assert torch.equal(output.image[:, 0] > 0, targets.image[:, 0] > 0)
    highest = output.patches[shown, 0].argmax(dim=-1)
    assert torch.all(squares.gather(1, highest[:, None]) == 1), "the map is highest in the square"


def test_it_learns_from_reports_alone_to_look_at_what_they_speak_of() -> None:
    network = small()
    bright, dark = with_squares(PLACES[:4], grey=3.0), with_squares([(4, 1), (2, 2), (5, 5), (0, 6)], grey=-3.0)
    images = torch.cat([bright, dark])
    tokens = TOKENIZER([SENTENCES[0]] * 4 + [SENTENCES[2]] * 4)
    same = torch.arange(8)[:, None] // 4 == torch.arange(8)[None] // 4  # one text says what four images show
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)

    losses = []
    for _ in range(55):
        loss = lrclr_report_loss(network, network.select(images), network.read(tokens), same).total
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0] / 4
    with torch.no_grad():
        regions, sentences = network.select(images), network.read(TOKENIZER([SENTENCES[0], SENTENCES[2]]))
        similarity = network.local_similarity(regions, sentences)
    assert torch.equal(similarity.argmax(dim=1), torch.arange(8) // 4)


def test_stage_2_trains_selection_interaction_and_projections_over_frozen_towers() -> None:
    network = small()

    network.freeze_for_stage_2()

    trained = {name.split(".")[0] for name, weight in network.named_parameters() if weight.requires_grad}
    new = {name.split(".")[0] for name in network.new_parameters()}
    assert new == {
        "patch_projection",
        "word_projection",
        "selector",
        "attention",
        "local_scale",
        "image_bias",
        "patch_bias",
    }
    assert trained == new | {"visual_projection", "logit_scale"}


def test_both_scales_are_at_most_a_hundred() -> None:
    network, outputs = small().eval(), []
    for scale in (math.log(100), 9.0):
        with torch.no_grad():
            network.logit_scale.fill_(scale)
            network.local_scale.fill_(scale)
            outputs.append(network(with_squares([(1, 1), None], 1.0), findings(network)))

    assert torch.allclose(outputs[0].overall, outputs[1].overall, rtol=1e-5)
    assert torch.allclose(outputs[0].local, outputs[1].local, rtol=1e-5)
