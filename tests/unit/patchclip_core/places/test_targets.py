from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.places.preprocess import letterbox
from patchclip_core.places.regions import find_regions
from patchclip_core.places.targets import FindingLabel, Targets, box_coverage, inside_image, make_targets
from patchclip_core.values.results import Box, PatchGrid

SETTINGS = PreprocessSettings(input_px=448, grid=PatchGrid(14, 14, 32.0, 16.0))
SQUARE = letterbox(896, 896, 1.0, SETTINGS)  # a patch is 64 source pixels


def test_a_box_covers_patches_by_area() -> None:
    coverage = box_coverage([Box(32, 0, 64, 16)], SQUARE)

    assert coverage[0, :3] == pytest.approx([0.125, 0.125, 0.0])
    assert coverage.sum() == pytest.approx(0.25)


def test_a_box_listed_twice_counts_once() -> None:
    box = Box(100, 150, 333, 70)

    assert np.array_equal(box_coverage([box, box], SQUARE), box_coverage([box], SQUARE))


def test_overlapping_boxes_cover_their_union() -> None:
    coverage = box_coverage([Box(0, 0, 40, 64), Box(24, 0, 40, 64)], SQUARE)

    assert coverage[0, 0] == pytest.approx(1.0)


def test_the_top_left_patch_can_be_labelled() -> None:
    coverage = box_coverage([Box(0, 0, 64, 64)], SQUARE)

    assert coverage[0, 0] == 1.0
    assert coverage.sum() == 1.0


def test_a_box_beyond_the_image_is_clipped_and_padding_stays_empty() -> None:
    geometry = letterbox(800, 400, 1.0, SETTINGS)

    coverage = box_coverage([Box(-500, -500, 2000, 2000)], geometry)

    inside = inside_image(geometry)
    assert not coverage[:, :3].any()
    assert coverage[inside] == pytest.approx(1.0)


def test_coverage_agrees_with_counting_pixels() -> None:
    rng = np.random.default_rng(3)
    boxes = [Box(*map(float, rng.integers(0, 700, 2)), *map(float, rng.integers(1, 300, 2))) for _ in range(6)]
    mask = np.zeros((896, 896))
    for box in boxes:
        mask[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)] = 1

    counted = mask.reshape(14, 64, 14, 64).mean(axis=(1, 3))

    assert box_coverage(boxes, SQUARE) == pytest.approx(counted, abs=1e-6)


@given(
    st.integers(100, 3000),
    st.integers(100, 3000),
    st.floats(0.5, 2.0),
    st.tuples(*[st.floats(0.0, 1.0)] * 4),
)
@settings(max_examples=100, deadline=None)
def test_a_box_comes_back_from_its_patches_within_one_patch(
    rows: int, columns: int, aspect: float, place: tuple[float, float, float, float]
) -> None:
    geometry = letterbox(rows, columns, aspect, SETTINGS)
    patch = geometry.patch_box(0, 0)
    left, right = sorted((place[0] * columns, place[1] * columns))
    top, bottom = sorted((place[2] * rows, place[3] * rows))
    box = Box(left, top, max(right - left, 2 * patch.w), max(bottom - top, 2 * patch.h)).clipped(columns, rows)
    coverage = box_coverage([box], geometry)

    regions = find_regions(coverage, geometry, threshold=0.5)

    if box.w < 2 * patch.w or box.h < 2 * patch.h:
        return  # cut by the image's border to less than what two patches show
    (region,) = regions
    assert region.x == pytest.approx(box.x, abs=patch.w)
    assert region.y == pytest.approx(box.y, abs=patch.h)
    assert region.x + region.w == pytest.approx(box.x + box.w, abs=patch.w)
    assert region.y + region.h == pytest.approx(box.y + box.h, abs=patch.h)


def test_what_is_known_follows_the_label() -> None:
    geometry = letterbox(800, 400, 1.0, SETTINGS)
    boxes = (Box(10, 10, 200, 200),)
    labels = [
        [FindingLabel(True, boxes), FindingLabel(True), FindingLabel(False), FindingLabel(None)],
    ]

    targets = make_targets(labels, [geometry])

    inside = torch.from_numpy(inside_image(geometry).ravel())
    assert targets.image.tolist() == [[1.0, 1.0, 0.0, 0.0]]
    assert targets.image_known.tolist() == [[True, True, True, False]]
    assert torch.equal(targets.patches_known[0, 0], inside)
    assert not targets.patches_known[0, 1].any(), "a positive image without boxes is not a sheet of negatives"
    assert torch.equal(targets.patches_known[0, 2], inside)
    assert not targets.patches_known[0, 3].any()
    assert torch.equal(targets.bags[0, 1], inside)
    assert not targets.bags[0, [0, 2, 3]].any()
    assert targets.patches[0, 0].max() == 1.0
    assert not targets.patches[0, 1:].any()


def test_where_some_lesions_alone_are_marked_what_no_box_touches_is_unknown() -> None:
    boxes = (Box(32, 0, 64, 64),)  # half of the first patch, half of the second

    labels = [FindingLabel(True, boxes, rest=0), FindingLabel(True, boxes)]
    rest_unknown, rest_known = make_targets([labels], [SQUARE]).patches_known[0]

    assert rest_unknown.nonzero().flatten().tolist() == [0, 1]
    assert rest_known.all()


def test_a_marked_box_outside_of_the_image_s_part_of_the_grid_makes_nothing_known_there() -> None:
    geometry = letterbox(800, 400, 1.0, SETTINGS)

    targets = make_targets([[FindingLabel(True, (Box(-50, 0, 200, 200),), rest=0)]], [geometry])

    inside = torch.from_numpy(inside_image(geometry).ravel())
    known = targets.patches_known[0, 0]
    assert known.any()
    assert not known[~inside].any()
    assert torch.equal(known, (targets.patches[0, 0] > 0) & inside)


def test_an_image_s_weight_is_kept_when_batches_are_joined() -> None:
    one = make_targets([[FindingLabel(False, weight=0.25)]], [SQUARE])

    joined = Targets.joined([one, make_targets([[FindingLabel(False)]], [SQUARE])])

    assert joined.weights.shape == (2, 1, 196)
    assert joined.weights.amin(dim=2).tolist() == joined.weights.amax(dim=2).tolist() == [[0.25], [1.0]]


def test_what_surrounds_marked_boxes_counts_by_its_weight_and_boxes_whole() -> None:
    label = FindingLabel(True, (Box(0, 0, 64, 96),), rest=0.3, weight=0.5)

    targets = make_targets([[label]], [SQUARE])

    weights = targets.weights[0, 0].reshape(14, 14)
    assert targets.patches_known.all()
    assert weights[:2, 0].tolist() == [0.5, 0.5]
    assert weights[2:].unique().tolist() == pytest.approx([0.15])  # type: ignore[no-untyped-call]  # torch's


def test_the_middle_of_a_box_counts_more_than_its_rim_and_the_box_as_much_as_before() -> None:
    boxes = (Box(0, 0, 320, 320),)  # five patches across and down

    targets = make_targets([[FindingLabel(True, boxes, rest=0.3, rim=0.25), FindingLabel(True, boxes)]], [SQUARE])

    weights, plain = targets.weights[0].reshape(2, 14, 14)
    across = weights[2, :5] / weights[2, 2]
    assert across.tolist() == pytest.approx([0.55 / 1.75, 1.15 / 1.75, 1.0, 1.15 / 1.75, 0.55 / 1.75])
    assert weights[0, :5].unique().tolist() == pytest.approx([float(weights[0, 0])]), "down counts as across does"
    assert float(weights[:5, :5].sum()) == pytest.approx(float(plain[:5, :5].sum()))
    assert weights[5:].unique().tolist() == pytest.approx([0.3]), "the rest stays as it was"


BOXES = st.builds(Box, *(st.floats(0, 890),) * 2, *(st.floats(1, 900),) * 2)


@given(st.lists(BOXES, min_size=1, max_size=3), st.floats(0.01, 1))
def test_whatever_the_boxes_what_they_cover_counts_together_as_it_did(boxes: list[Box], rim: float) -> None:
    label = FindingLabel(True, tuple(boxes), rim=rim)

    targets = make_targets([[label, FindingLabel(True, tuple(boxes))]], [SQUARE])

    (covered, _), (weights, plain) = targets.patches[0], targets.weights[0]
    assert float((weights * covered).sum()) == pytest.approx(float((plain * covered).sum()), rel=1e-4)
    assert torch.equal(weights > 0, plain > 0)


PAPER = PreprocessSettings(input_px=900, grid=PatchGrid(16, 16, 56.0, 29.5))


@settings(max_examples=150, deadline=None)
@given(
    side=st.sampled_from([1.0, 6.0, 25.0, 38.0, 45.0, 60.0]),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    shape=st.sampled_from([(900, 900), (900, 620), (500, 900), (2000, 1700)]),
)
def test_a_box_smaller_than_a_patch_makes_the_patch_positive_that_it_covers_most(
    side: float, x: float, y: float, shape: tuple[int, int]
) -> None:
    """Also at the image's borders, where a patch may have its centre in the padding."""
    rows, columns = shape
    geometry = letterbox(rows, columns, 1.0, PAPER)
    box = Box(x * (columns - side), y * (rows - side), side, side)

    targets = make_targets([[FindingLabel(True, (box,), rest=0.0)]], [geometry], whole=True)

    positive = targets.patches[0, 0].numpy().reshape(16, 16) == 1.0
    inside, covered = inside_image(geometry), box_coverage([box], geometry)
    assert positive[inside].any()
    assert bool(targets.patches_known[0, 0].numpy().reshape(16, 16)[positive & inside].all())
    best = np.where(inside, covered, 0.0)
    if 0 < best.max() < 0.5:
        assert (positive & inside).sum() == 1
        assert best[positive & inside] == pytest.approx(best.max())


@pytest.mark.parametrize("side", [25.0, 38.0, 45.0])
def test_at_the_paper_s_size_small_boxes_leave_no_sheet_of_negatives(side: float) -> None:
    geometry = letterbox(900, 900, 1.0, PAPER)
    places = np.linspace(0, 900 - side, 37)
    labels = [[FindingLabel(True, (Box(float(x), float(y), side, side),))] for x in places for y in places[::6]]

    targets = make_targets(labels, [geometry] * len(labels), whole=True)

    assert bool((targets.patches == 1.0).any(dim=-1).all())
    assert set(targets.patches.flatten().tolist()) == {0.0, 1.0}


def test_a_large_box_has_the_patches_that_it_covers_by_half_and_no_others() -> None:
    box = Box(40, 100, 333, 170)

    soft = make_targets([[FindingLabel(True, (box,))]], [SQUARE])
    hard = make_targets([[FindingLabel(True, (box,))]], [SQUARE], whole=True)

    assert torch.equal(hard.patches, (soft.patches >= 0.5).float())
    assert torch.equal(hard.patches_known, soft.patches_known)


def test_a_box_outside_of_the_image_makes_no_patch_positive() -> None:
    targets = make_targets([[FindingLabel(True, (Box(2000, 2000, 10, 10),))]], [SQUARE], whole=True)

    assert not bool(targets.patches.any())


def test_of_two_boxes_the_small_one_is_positive_too() -> None:
    large, small = Box(64, 64, 200, 200), Box(700, 700, 10, 10)

    targets = make_targets([[FindingLabel(True, (large, small))]], [SQUARE], whole=True)

    assert targets.patches[0, 0].reshape(14, 14)[11, 11] == 1.0
