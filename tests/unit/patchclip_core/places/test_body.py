from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from patchclip_core.places.body import LONG_SIDE, body_mask
from patchclip_core.places.contours import outlines
from patchclip_core.places.regions import find_regions, region_mask
from patchclip_core.values.results import Finding, FindingState, FloatArray, Geometry, PatchGrid


def chest(rows: int = 512, columns: int = 512, air: float = 0.02) -> FloatArray:
    """A trunk between air at both sides, with two lungs as dark as the air inside it, and noise over all."""
    y, x = np.mgrid[0:rows, 0:columns] / np.array([rows, columns]).reshape(2, 1, 1)
    trunk = (np.abs(x - 0.5) < 0.38) & (y > 0.1)
    lungs = (np.hypot((np.abs(x - 0.5) - 0.18) / 0.11, (y - 0.5) / 0.28) < 1) & trunk
    drawn = np.where(trunk, 0.7, air)
    drawn[lungs] = air
    return np.clip(drawn + np.random.default_rng(0).normal(0, 0.01, drawn.shape), 0, 1).astype(np.float32)


def share(mask: np.ndarray, rows: slice, columns: slice, of: int = 512) -> float:
    scale = mask.shape[0] / of
    chosen = mask[round(rows.start * scale) : round(rows.stop * scale), :]
    return float(chosen[:, round(columns.start * scale) : round(columns.stop * scale)].mean())


def test_lungs_are_of_the_body_and_the_air_around_it_is_not() -> None:
    body = body_mask(chest())

    assert body.shape == (LONG_SIDE, LONG_SIDE)
    assert share(body, slice(70, 512), slice(80, 430)) == 1.0
    assert share(body, slice(0, 512), slice(0, 40)) == 0.0
    assert share(body, slice(0, 512), slice(472, 512)) == 0.0
    assert share(body, slice(0, 30), slice(0, 512)) == 0.0


@pytest.mark.parametrize("degrees", [8, -20, 45])
def test_what_is_left_around_a_turned_film_is_not_of_the_body(degrees: int) -> None:
    film = Image.fromarray((np.full((400, 400), 0.6) * 255).astype(np.uint8))
    turned = np.asarray(film.rotate(degrees, expand=True), dtype=np.float32) / np.float32(255)

    body = body_mask(turned)

    shown = np.asarray(Image.fromarray((turned > 0.3).astype(np.uint8) * 255).resize(body.shape[::-1])) > 127
    assert not (body & ~ndimage.binary_dilation(shown, iterations=4)).any()
    assert body[ndimage.binary_erosion(shown, iterations=2)].all()


@pytest.mark.parametrize("grey", [0.0, 0.1, 1.0])
def test_even_borders_of_any_grey_are_not_of_the_body(grey: float) -> None:
    bordered = np.full((512, 512), grey, dtype=np.float32)
    bordered[60:470, 90:440] = chest()[60:470, 90:440] + 0.05

    body = body_mask(bordered)

    assert share(body, slice(0, 52), slice(0, 512)) == 0.0
    assert share(body, slice(0, 512), slice(450, 512)) == 0.0
    assert share(body, slice(100, 460), slice(120, 400)) == 1.0


def test_a_lung_that_touches_the_edge_of_a_narrow_film_stays_in_the_body() -> None:
    film = chest()[:, 90:430]  # through the outer part of both lungs
    film[250:262, :4] = 0.02

    assert body_mask(film)[30:, :].mean() > 0.95


@pytest.mark.parametrize("pixels", [np.zeros((300, 200)), np.ones((1, 1)), np.full((64, 900), 0.4), np.eye(70)])
def test_an_image_in_which_no_body_is_told_is_one_as_a_whole(pixels: np.ndarray) -> None:
    body = body_mask(pixels.astype(np.float32))

    assert body.all()
    assert max(body.shape) == min(LONG_SIDE, max(pixels.shape))


@pytest.mark.parametrize(("rows", "columns"), [(1024, 1024), (900, 1300), (1300, 700), (64, 80)])
def test_no_region_and_no_contour_leaves_the_body(rows: int, columns: int) -> None:
    scale = 448 / max(rows, columns)
    padding = (448 - columns * scale) / 2, (448 - rows * scale) / 2
    form = Geometry(rows, columns, 448, 448, scale, scale, *padding, PatchGrid(14, 14, 32.0, 16.0))
    body = body_mask(chest(rows, columns))
    patch_map = np.random.default_rng(1).uniform(0, 1, (14, 14)).astype(np.float32)
    patch_map[:, :2], patch_map[3:9, 4:10] = 0.9, 0.95

    regions = find_regions(patch_map, form, body=body)
    finding = Finding("opacity", FindingState.PRESENT, 0.9, 0.5, patch_map=patch_map, regions=regions)
    mask = region_mask(finding, form, body=body)

    allowed = np.asarray(Image.fromarray(body.astype(np.uint8) * 255).resize((columns, rows), Image.Resampling.NEAREST))
    near = ndimage.binary_dilation(allowed > 0, iterations=1 + max(rows, columns) // LONG_SIDE)
    assert mask.any()
    assert not (mask & ~near).any()
    assert outlines(mask)
    whole = region_mask(
        Finding("opacity", FindingState.PRESENT, 0.9, 0.5, None, find_regions(patch_map, form)), form, (rows, columns)
    )
    assert (whole & ~near).any()  # without a body they do
    for region in regions:
        assert mask[int(region.y) : int(region.y + region.h) + 1, int(region.x) : int(region.x + region.w) + 1].any()


def test_a_region_in_the_air_alone_is_none() -> None:
    form = Geometry(512, 512, 448, 448, 0.875, 0.875, 0, 0, PatchGrid(14, 14, 32.0, 16.0))
    patch_map = np.zeros((14, 14), dtype=np.float32)
    patch_map[5:9, 0] = 0.9

    assert len(find_regions(patch_map, form)) == 1
    assert find_regions(patch_map, form, body=body_mask(chest())) == ()
