from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.inference.scales import TileSettings, cut, finer, merge
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.places.preprocess import letterbox
from patchclip_core.places.regions import find_regions
from patchclip_core.values.results import FloatArray, Geometry, PatchGrid, Radiograph

GRID = PatchGrid(rows=14, columns=14, pitch_px=16.0, centre_px=8.0)
SETTINGS = PreprocessSettings(input_px=224, grid=GRID)


def bright_map(radiograph: Radiograph, geometry: Geometry) -> FloatArray:
    """Logits (1, rows, columns): 4 at patches whose centre is bright, -4 elsewhere."""
    values = np.full((geometry.grid.rows, geometry.grid.columns), -4.0, np.float32)
    for row, column in np.ndindex(values.shape):
        x, y = geometry.patch_centre(row, column)
        if 0 <= x < radiograph.columns and 0 <= y < radiograph.rows and radiograph.pixels[int(y), int(x)] > 0.5:
            values[row, column] = 4.0
    return values[None]


def seen(radiograph: Radiograph) -> tuple[Geometry, FloatArray]:
    geometry = letterbox(radiograph.rows, radiograph.columns, radiograph.pixel_aspect_ratio, SETTINGS)
    return geometry, bright_map(radiograph, geometry)


@given(
    rows=st.integers(1, 60),
    columns=st.integers(1, 60),
    tiles=st.integers(2, 5),
    overlap=st.floats(0, 0.8),
)
def test_tiles_cover_every_pixel_and_hold_what_lies_there(rows: int, columns: int, tiles: int, overlap: float) -> None:
    pixels = np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns)
    covered = np.zeros((rows, columns), bool)

    for tile in cut(Radiograph(pixels, 1.25), TileSettings(tiles=tiles, overlap=overlap)):
        part = np.s_[tile.y : tile.y + tile.radiograph.rows, tile.x : tile.x + tile.radiograph.columns]
        assert np.array_equal(tile.radiograph.pixels, pixels[part])
        assert tile.radiograph.pixel_aspect_ratio == 1.25
        covered[part] = True

    assert covered.all()


def test_a_finer_grid_divides_the_cells_where_they_are() -> None:
    geometry = letterbox(300, 200, 1.0, SETTINGS)

    fine = finer(geometry, 2)

    coarse_box, first, last = geometry.patch_box(3, 5), fine.patch_box(6, 10), fine.patch_box(7, 11)
    assert (first.x, first.y) == pytest.approx((coarse_box.x, coarse_box.y))
    assert (last.x + last.w, last.y + last.h) == pytest.approx(
        (coarse_box.x + coarse_box.w, coarse_box.y + coarse_box.h)
    )


@pytest.mark.parametrize("shape", [(1000, 1000), (1200, 700), (600, 1400)])
def test_maps_that_agree_stay_as_they_are_without_seams(shape: tuple[int, int]) -> None:
    radiograph = Radiograph(np.zeros(shape, np.float32))
    settings = TileSettings(tiles=3)
    geometry, whole = seen(radiograph)
    tiles = [(tile, *seen(tile.radiograph)) for tile in cut(radiograph, settings)]

    merged, fine = merge(whole, geometry, tiles, settings)

    assert merged.shape == (1, fine.grid.rows, fine.grid.columns) == (1, 42, 42)
    assert np.allclose(merged, -4.0)


def test_a_small_square_between_the_whole_maps_centres_is_found_in_its_place_by_tiles() -> None:
    pixels = np.zeros((1120, 800), np.float32)
    x, y, side = 402, 330, 72  # less than the 80 px pitch of the whole map
    pixels[y : y + side, x : x + side] = 1.0
    radiograph, settings = Radiograph(pixels), TileSettings(tiles=4, overlap=0.25)
    geometry, whole = seen(radiograph)
    tiles = [(tile, *seen(tile.radiograph)) for tile in cut(radiograph, settings)]

    merged, fine = merge(whole, geometry, tiles, settings)

    (region,) = find_regions(1 / (1 + np.exp(-merged[0])), fine)
    fine_px = fine.patch_box(0, 0).w
    assert fine_px == pytest.approx(20)
    assert (region.x, region.y) == pytest.approx((x, y), abs=2 * fine_px)
    assert (region.x + region.w, region.y + region.h) == pytest.approx((x + side, y + side), abs=2 * fine_px)


def test_an_analyzer_that_looks_closer_has_finer_maps_and_the_same_probabilities() -> None:
    model = load("untrained", device="cpu")
    assert isinstance(model, NetworkAnalyzer)
    radiograph = Radiograph(np.random.default_rng(1).random((300, 260)).astype(np.float32))

    (plain,), (closer,) = (which.analyze_batch([radiograph]) for which in (model, model.looking_closer()))

    assert closer.geometry.grid.rows == 2 * plain.geometry.grid.rows
    for one, other in zip(plain, closer, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
        assert other.patch_map is not None
        assert other.patch_map.shape == (28, 28)
        assert np.all((other.patch_map >= 0) & (other.patch_map <= 1))
