"""Lesions drawn onto a healthy radiograph, each as it takes away or adds attenuation.

Every function takes a scene and chance, and returns what it drew: the image with it, what changed at all (no pixel
outside of `box` does), and words. Grey values are on a scale on which tissue is bright. `settings` has the numbers:
sizes are shares of the lung or of the image, so that one description serves every input size. docs/simulation.md has a
picture of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchclip_core.values.results import Box, FloatArray
from patchclip_trainer.simulation.anatomy import Lung, enlarged, shrunk
from patchclip_trainer.simulation.settings import SETTINGS

_AROUND = SETTINGS.surround


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A radiograph with its lungs, and its coarse grey values: what a few centimetres around a pixel look like.

    pixels, coarse: (side, side) float32 in [0, 1].
    """

    pixels: FloatArray
    lungs: tuple[Lung, Lung]
    coarse: FloatArray

    @property
    def side(self) -> int:
        """Height and width of the image, in pixels."""
        return len(self.pixels)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A drawn lesion. pixels: the whole image. boxes: in its pixels, around all that changed."""

    pixels: FloatArray
    boxes: tuple[Box, ...]
    sentence: str


def scene_of(pixels: FloatArray, lungs: tuple[Lung, Lung]) -> Scene:
    """Return what lesions are drawn into."""
    side, small_px = pixels.shape[0], SETTINGS.outline.small_px
    coarse = ndimage.gaussian_filter(shrunk(pixels, small_px), small_px * _AROUND.coarse_blur_of_side)
    return Scene(pixels, lungs, enlarged(coarse, side))


def effusion(scene: Scene, chance: np.random.Generator) -> Drawn | None:
    """Fluid that gravity holds at the base: level at its middle, drawn up along the wall, hiding the diaphragm."""
    lung = scene.lungs[int(chance.integers(2))]
    by = SETTINGS.effusion
    share = by.height_of_lung.draw(chance)
    patch = _patch_of(scene, lung, by.margin_of_side)
    rows, columns = patch.places
    tissue = _tissue_below(scene, lung, by.grey_quantile)
    outward = _outward(lung, columns)
    bottom = lung.box.y + lung.box.h
    rise = by.level + by.inner_rise * (1 - outward) ** by.inner_steepness
    rise = rise + by.outer_rise * outward ** by.outer_steepness.draw(chance)
    surface = bottom - lung.box.h * share * rise
    fade = lung.box.h * by.fade_of_lung.draw(chance)
    thick = _smooth((rows - surface) / fade + 0.5) ** by.fade_exponent
    edge = _smooth(lung.depth_px[patch.cut] / (by.edge_of_side * scene.side) + by.edge_reach)
    thick *= edge * by.density.draw(chance)
    fine = ndimage.gaussian_filter(patch.pixels, by.fine_blur_of_side * scene.side)
    # Ribs stay faintly visible through fluid: attenuations add up.
    wanted = tissue + by.bones * (fine - patch.coarse)
    changed = patch.pixels + thick * (np.maximum(wanted - fine, 0) - by.grain_lost * (patch.pixels - fine))
    larger = "moderate" if share < by.large_from_of_lung else "large"
    size = "small" if share < by.moderate_from_of_lung else larger
    return _drawn(scene, patch, changed, f"There is a {size} {lung.side} pleural effusion.")


def opacity(scene: Scene, chance: np.random.Generator) -> Drawn | None:
    """A patchy consolidation: clouds of uneven density within the lung, vessels and ribs visible through it."""
    lung = scene.lungs[int(chance.integers(2))]
    by = SETTINGS.opacity
    place = _point_in(lung, chance, by.depth_of_side * scene.side)
    if place is None:
        return None
    x, y = place
    wide = lung.box.w * by.half_width_of_lung.draw(chance)
    high = lung.box.h * by.half_height_of_lung.draw(chance)
    patch = _patch_around(scene, x, y, by.reach * wide, by.reach * high)
    rows, columns = patch.places
    clouds = np.zeros(patch.pixels.shape, dtype=np.float32)
    for _ in range(int(chance.integers(*by.clouds))):
        off_x, off_y = chance.normal(0, by.cloud_deviation, 2)
        small = by.cloud_size.draw(chance)
        across, down = (columns - x) / wide - off_x, (rows - y) / high - off_y
        clouds += by.cloud_weight.draw(chance) * np.exp(-(across**2 + down**2) / (2 * small**2))
    clouds /= clouds.max()
    uneven = 1 + by.coarse_grain * _noise(patch.pixels.shape, by.coarse_grain_of_side * scene.side, chance)
    uneven += by.fine_grain * _noise(patch.pixels.shape, by.fine_grain_of_side * scene.side, chance)
    edge = _smooth(lung.depth_px[patch.cut] / (by.edge_of_side * scene.side))
    dense = np.clip((clouds * uneven - by.cut) / (1 - by.cut), 0, 1) * edge
    dense *= by.density.draw(chance)
    wanted = np.maximum(_tissue_below(scene, lung) - patch.coarse, 0)
    changed = patch.pixels + dense * (by.filling * wanted - by.grain_lost * (patch.pixels - patch.coarse))
    kind = "consolidation" if dense.max() > by.consolidation_from else "hazy opacity"
    return _drawn(scene, patch, changed, f"There is a {kind} in the {lung.side} {_zone(lung, y)} zone.")


def nodule(scene: Scene, chance: np.random.Generator) -> Drawn | None:
    """A solid round lesion: as dense as the way through a slightly uneven sphere is long."""
    lung = scene.lungs[int(chance.integers(2))]
    by = SETTINGS.nodule
    radius = scene.side * by.radius_of_side.draw_log(chance)
    place = _point_in(lung, chance, radius + by.depth_of_side * scene.side)
    if place is None:
        return None
    x, y = place
    patch = _patch_around(scene, x, y, by.reach * radius, by.reach * radius)
    rows, columns = patch.places
    angle = np.arctan2(rows - y, columns - x)
    edge = np.ones_like(angle)
    for waves in by.waves:
        height = float(chance.normal(0, by.waviness / waves))
        edge += height * np.cos(waves * angle + float(chance.uniform(0, 2 * np.pi)))
    through = np.sqrt(np.maximum(1 - (np.hypot(rows - y, columns - x) / (radius * edge)) ** 2, 0))
    through = ndimage.gaussian_filter(through.astype(np.float32), by.blur_of_side * scene.side)
    # A larger sphere is denser; below a few millimetres it hardly shows.
    gain = by.density.draw(chance)
    gain *= min(by.greatest_density, by.density_of_small + by.density_by_radius * radius / scene.side)
    wanted = np.maximum(_tissue_below(scene, lung) - patch.coarse, by.least_contrast_grey)
    changed = patch.pixels + through * gain * wanted
    word = "nodule" if 2 * radius < by.mass_from_of_side * scene.side else "rounded mass"
    return _drawn(scene, patch, changed, f"There is a {word} in the {lung.side} {_zone(lung, y)} zone.")


def pneumothorax(scene: Scene, chance: np.random.Generator) -> Drawn | None:
    """Air between wall and lung, widest at the apex: no vessels, a little darker, bounded by the line of the pleura."""
    lung = scene.lungs[int(chance.integers(2))]
    by = SETTINGS.pneumothorax
    box, patch = lung.box, _patch_of(scene, lung, by.margin_of_side)
    rows, columns = patch.places
    height = np.clip((box.y + box.h - rows) / box.h, 0, 1)  # 0 at the base, 1 at the apex
    reach = by.reach_of_lung.draw(chance)
    size = by.collapse.draw(chance)
    outwards = by.hilum_outwards_of_lung
    hilum_x = box.x + box.w * (1 - outwards if lung.side == "right" else outwards)
    hilum_y = box.y + box.h * by.hilum_down_of_lung
    shrink = 1 - size * _smooth((height - (1 - reach)) / reach * by.steepness)
    at = np.broadcast_arrays(hilum_y + (rows - hilum_y) / shrink - 0.5, hilum_x + (columns - hilum_x) / shrink - 0.5)
    inside = ndimage.map_coordinates(lung.depth_px, at, order=1, mode="nearest", output=np.float32)
    inside *= shrink
    line_px = max(by.line_of_side * scene.side, by.least_line_px)
    edge = _smooth(lung.depth_px[patch.cut] / (by.edge_of_side * scene.side) + by.edge_reach)
    air = _smooth(-inside / line_px * 0.5 + 0.5) * edge
    aside = _smooth((_outward(lung, columns) - by.inner_of_lung) / by.inner_fade_of_lung)
    air *= (shrink < by.air_below) * aside
    # Vessels are bright and narrower than ribs: an opening takes them away and leaves the ribs.
    grain = patch.pixels - ndimage.gaussian_filter(patch.pixels, by.grain_blur_of_side * scene.side)
    vessel_px = max(by.least_vessel_px, round(by.vessel_of_side * scene.side))
    bare = ndimage.grey_opening(patch.pixels, size=(vessel_px, vessel_px))
    bare = ndimage.gaussian_filter(bare, by.bare_blur_of_side * scene.side)
    bare = bare + np.clip(grain, -by.grain_grey, by.grain_grey)
    grey = float(np.median(patch.pixels[lung.depth_px[patch.cut] > 0]))
    contrast = max(_tissue_below(scene, lung) - grey, by.least_contrast_grey)
    changed = patch.pixels + air * (bare - by.darker.draw(chance) * contrast - patch.pixels)
    line = np.exp(-((inside / line_px) ** 2)) * aside * (shrink < by.line_below) * (lung.depth_px[patch.cut] > 0)
    changed += line * by.line_contrast.draw(chance) * contrast
    larger = "small" if size < by.moderate_from else "moderate"
    word = "small apical" if size * reach < by.apical_below else larger
    return _drawn(scene, patch, changed, f"There is a {word} {lung.side} pneumothorax.")


def enlarged_heart(scene: Scene, chance: np.random.Generator) -> Drawn | None:
    """A wider heart: its shadow is drawn outwards from the spine, its own border with it, over the lungs beside."""
    by = SETTINGS.enlarged_heart
    right, left = scene.lungs
    top = int(min(right.box.y, left.box.y) + by.top_of_lung * max(right.box.h, left.box.h))
    bottom = int(min(right.box.y + right.box.h, left.box.y + left.box.h))
    rows = np.arange(top, bottom)
    if len(rows) < by.least_height_of_side * scene.side:
        return None
    to_left = _border(left, rows, first=True)
    to_right = _border(right, rows, first=False)
    middle = float(np.median((to_left + to_right) / 2)) - by.middle_of_side * scene.side
    chest = left.box.x + left.box.w - right.box.x
    grown = chest * by.left_of_chest.draw(chance)
    down, widest = (rows - top) / len(rows), 1 - by.rounded
    # From the great vessels down the border bulges, and rounds off on the diaphragm.
    round_ = np.sin(np.pi / 2 * np.clip(down / widest, 0, 1)) ** 2
    round_ *= np.sqrt(1 - np.clip((down - widest) / by.rounded, 0, 1) ** 2)
    wider_left = np.minimum(grown * round_, by.greatest_of_lung * np.maximum(left.box.x + left.box.w - to_left, 0))
    wider_right = grown * by.right_of_left.draw(chance) * round_
    margin = by.margin_of_side * scene.side
    start = int(max(0, (to_right - wider_right).min() - margin))
    end = int(min(scene.side, (to_left + wider_left).max() + margin + 1))
    patch = _cut(scene, slice(top, bottom), slice(start, end))
    across = np.arange(start, end) + 0.5 - middle
    seen = np.where(
        across[None] > 0,
        _unstretched(across[None], (to_left - middle)[:, None], wider_left[:, None]),
        -_unstretched(-across[None], (middle - to_right)[:, None], wider_right[:, None]),
    )
    at = [np.broadcast_to(rows[:, None], seen.shape), seen + middle - 0.5]
    drawn = ndimage.map_coordinates(scene.pixels, at, order=1, mode="nearest", output=np.float32)
    # The old border's own fall-off is taken along; beyond it the lung is as it was.
    beyond = np.maximum(
        across[None] + middle - (to_left + wider_left)[:, None],
        (to_right - wider_right)[:, None] - across[None] - middle,
    )
    weight = _smooth(by.edge_reach - beyond / (by.edge_of_side * scene.side)).astype(np.float32)
    changed = patch.pixels + weight * (np.maximum(drawn, patch.pixels - by.darkest_change_grey) - patch.pixels)
    word = "mildly" if grown < by.moderate_from_of_chest * chest else "moderately"
    heart = Box(float(start), float(top), float(end - start), float(bottom - top))
    return _drawn(scene, patch, changed, f"The heart is {word} enlarged.", heart)


Draw = Callable[[Scene, np.random.Generator], Drawn | None]

LESIONS: dict[str, Draw] = {
    "pleural_effusion": effusion,
    "opacity": opacity,
    "nodule_mass": nodule,
    "pneumothorax": pneumothorax,
    "cardiomegaly": enlarged_heart,
}
"""Findings, by their keys in `conf/findings.yaml`, that can be drawn; None comes back where there is no room."""


@dataclass(frozen=True, slots=True, eq=False)
class _Patch:
    """A part of the scene: where it is cut out, and what it holds there."""

    cut: tuple[slice, slice]
    pixels: FloatArray
    coarse: FloatArray

    @property
    def places(self) -> tuple[FloatArray, FloatArray]:
        """Rows (h, 1) and columns (1, w) of the pixels' centres, in pixels of the image."""
        rows, columns = ((np.arange(cut.start, cut.stop) + 0.5).astype(np.float32) for cut in self.cut)
        return rows[:, None], columns[None, :]


def _cut(scene: Scene, rows: slice, columns: slice) -> _Patch:
    return _Patch((rows, columns), scene.pixels[rows, columns], scene.coarse[rows, columns])


def _patch_of(scene: Scene, lung: Lung, margin: float) -> _Patch:
    box, more = lung.box, margin * scene.side
    return _patch_around(scene, box.x + box.w / 2, box.y + box.h / 2, box.w / 2 + more, box.h / 2 + more)


def _patch_around(scene: Scene, x: float, y: float, half_w: float, half_h: float) -> _Patch:
    rows, columns = (
        slice(max(0, int(at - half)), min(scene.side, int(at + half) + 1)) for at, half in ((y, half_h), (x, half_w))
    )
    return _cut(scene, rows, columns)


def _drawn(
    scene: Scene, patch: _Patch, changed: NDArray[np.floating], sentence: str, box: Box | None = None
) -> Drawn | None:
    """Return the image with what changed visibly, and its box, unless the finding is larger than its change."""
    seen = np.abs(changed - patch.pixels) > _AROUND.least_change_grey
    if not seen.any():
        return None
    names, count = ndimage.label(ndimage.binary_dilation(seen, iterations=_AROUND.gap_px))
    if count > 1:
        seen &= names == np.argmax(np.bincount(names.ravel(), weights=seen.ravel())[1:]) + 1
    if box is None:
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        top, left = patch.cut[0].start + rows[0], patch.cut[1].start + columns[0]
        box = Box(float(left), float(top), float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1))
    pixels = scene.pixels.copy()
    pixels[patch.cut] = np.where(seen, np.clip(changed, 0, 1), patch.pixels)
    return Drawn(pixels, (box,), sentence)


def _smooth(value: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return 0 up to 0, 1 from 1 on, and a smooth step between."""
    part = np.clip(value, 0, 1)
    step: NDArray[np.floating] = part * part * (3 - 2 * part)
    return step


def _outward(lung: Lung, columns: FloatArray) -> NDArray[np.floating]:
    """Return how far columns lie from the heart: 0 at the lung's inner edge, 1 at the wall."""
    part: FloatArray = np.clip((columns - lung.box.x) / lung.box.w, 0, 1)
    return part if lung.side == "left" else 1 - part


def _tissue_below(scene: Scene, lung: Lung, quantile: float = _AROUND.tissue_quantile) -> float:
    """Return the grey of tissue without air, as it lies around the lower half of the lung, of this quantile."""
    top, bottom = lung.box.y + _AROUND.tissue_from_of_lung * lung.box.h, lung.box.y + lung.box.h
    rows = slice(int(top), min(scene.side, int(bottom + _AROUND.tissue_below_of_side * scene.side)))
    depth = lung.depth_px[rows]
    near, far = (-share * scene.side for share in (_AROUND.tissue_near_of_side, _AROUND.tissue_far_of_side))
    around = scene.coarse[rows][(depth < near) & (depth > far)]
    if not len(around):
        return float(np.quantile(scene.coarse, _AROUND.fallback_quantile))
    return float(np.quantile(around, quantile))


def _point_in(lung: Lung, chance: np.random.Generator, deep_px: float) -> tuple[float, float] | None:
    """Return a point (x, y) at least this deep in the lung, each as likely as the other; None where there is none."""
    found = np.flatnonzero(lung.depth_px > deep_px)
    if not len(found):
        return None
    row, column = divmod(int(found[chance.integers(len(found))]), lung.depth_px.shape[1])
    return column + 0.5, row + 0.5


def _zone(lung: Lung, y: float) -> str:
    return ("upper", "middle", "lower")[min(2, max(0, int(3 * (y - lung.box.y) / lung.box.h)))]


def _noise(shape: tuple[int, ...], grain_px: float, chance: np.random.Generator) -> FloatArray:
    """Return smooth noise of mean 0 and spread 1, with grains of about this size."""
    step = max(1, int(grain_px))
    rows, columns = (-(-length // step) + 5 for length in shape)
    small = ndimage.gaussian_filter(chance.standard_normal((rows, columns)).astype(np.float32), 1.0)
    small /= max(float(small.std()), 1e-6)
    at = [np.arange(length, dtype=np.float32) / step + 1 for length in shape]
    grid = np.meshgrid(*at, indexing="ij")
    noise: FloatArray = ndimage.map_coordinates(small, grid, order=1, mode="nearest", output=np.float32)
    return noise


def _border(lung: Lung, rows: NDArray[np.int64], *, first: bool) -> NDArray[np.float64]:
    """Return the lung's inner edge in each row, smoothed; rows without lung have that of their neighbours."""
    mask = lung.mask[rows]
    edge = np.argmax(mask, axis=1) if first else mask.shape[1] - np.argmax(mask[:, ::-1], axis=1)
    there = np.flatnonzero(mask.any(axis=1))
    filled = np.interp(np.arange(len(rows)), there, edge[there].astype(float))
    blur_px = SETTINGS.enlarged_heart.border_blur_of_side * mask.shape[1]
    smooth: NDArray[np.float64] = ndimage.gaussian_filter1d(filled, blur_px, mode="nearest")
    return smooth


def _unstretched(
    out: NDArray[np.floating], border: NDArray[np.floating], wider: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return where, from the middle, a place of the wider heart was before: its border moves most, the spine stays."""
    bend = np.maximum(wider, 1e-6) / np.maximum(border, 1.0) ** 2
    before: NDArray[np.floating] = (np.sqrt(1 + 4 * bend * np.maximum(out, 0)) - 1) / (2 * bend)
    return before
