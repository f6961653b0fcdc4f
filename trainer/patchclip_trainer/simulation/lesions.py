"""Lesions drawn onto a healthy radiograph, each as it takes away or adds attenuation.

Every function takes a scene and chance, and returns what it drew: the image with it, what changed at all (no pixel
outside of `box` does), and words. Grey values are on a scale on which tissue is bright. Sizes are shares of the lung or
of the image, so that one description serves every input size. docs/simulation.md has a picture of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchclip_core.values.results import Box, FloatArray
from patchclip_trainer.simulation.anatomy import SMALL_PX, Lung, enlarged, shrunk

_SEEN = 0.006
"""A change of less than this, which is one and a half of 255 grey values, is none."""


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
    side = pixels.shape[0]
    coarse = ndimage.gaussian_filter(shrunk(pixels, SMALL_PX), SMALL_PX * 0.025)
    return Scene(pixels, lungs, enlarged(coarse, side))


def effusion(scene: Scene, chance: np.random.Generator) -> Drawn | None:
    """Fluid that gravity holds at the base: level at its middle, drawn up along the wall, hiding the diaphragm."""
    lung = scene.lungs[int(chance.integers(2))]
    share = float(chance.uniform(0.14, 0.55))
    patch = _patch_of(scene, lung, 0.07)
    rows, columns = patch.places
    level = _tissue_below(scene, lung, 0.8)
    outward = _outward(lung, columns)
    bottom = lung.box.y + lung.box.h
    rise = 0.5 + 0.12 * (1 - outward) ** 4 + 0.5 * outward ** float(chance.uniform(2.5, 5))
    surface = bottom - lung.box.h * share * rise
    fade = lung.box.h * float(chance.uniform(0.07, 0.13))
    thick = _smooth((rows - surface) / fade + 0.5) ** 1.3
    thick *= _smooth(lung.depth_px[patch.cut] / (0.025 * scene.side) + 2) * float(chance.uniform(0.88, 0.98))
    fine = ndimage.gaussian_filter(patch.pixels, 0.006 * scene.side)
    # Ribs stay faintly visible through fluid: attenuations add up.
    wanted = level + 0.25 * (fine - patch.coarse)
    changed = patch.pixels + thick * (np.maximum(wanted - fine, 0) - 0.5 * (patch.pixels - fine))
    size = "small" if share < 0.25 else "moderate" if share < 0.42 else "large"
    return _kept(scene, patch, changed, f"There is a {size} {lung.side} pleural effusion.")


def opacity(scene: Scene, chance: np.random.Generator) -> Drawn | None:
    """A patchy consolidation: clouds of uneven density within the lung, vessels and ribs visible through it."""
    lung = scene.lungs[int(chance.integers(2))]
    place = _point_in(lung, chance, 0.03 * scene.side)
    if place is None:
        return None
    x, y = place
    wide = lung.box.w * float(chance.uniform(0.14, 0.34))
    high = lung.box.h * float(chance.uniform(0.07, 0.2))
    patch = _patch_around(scene, x, y, 2.4 * wide, 2.4 * high)
    rows, columns = patch.places
    clouds = np.zeros(patch.pixels.shape, dtype=np.float32)
    for _ in range(int(chance.integers(4, 9))):
        off_x, off_y = chance.normal(0, 0.55, 2)
        small = float(chance.uniform(0.35, 0.8))
        across, down = (columns - x) / wide - off_x, (rows - y) / high - off_y
        clouds += float(chance.uniform(0.4, 1)) * np.exp(-(across**2 + down**2) / (2 * small**2))
    clouds /= clouds.max()
    uneven = 1 + 0.4 * _noise(patch.pixels.shape, 0.018 * scene.side, chance)
    uneven += 0.25 * _noise(patch.pixels.shape, 0.006 * scene.side, chance)
    dense = np.clip((clouds * uneven - 0.12) / 0.88, 0, 1) * _smooth(lung.depth_px[patch.cut] / (0.035 * scene.side))
    dense *= float(chance.uniform(0.4, 0.8))
    wanted = _tissue_below(scene, lung) - patch.coarse
    changed = patch.pixels + dense * (0.85 * np.maximum(wanted, 0) - 0.35 * (patch.pixels - patch.coarse))
    kind = "consolidation" if dense.max() > 0.55 else "hazy opacity"
    return _kept(scene, patch, changed, f"There is a {kind} in the {lung.side} {_zone(lung, y)} zone.")


def nodule(scene: Scene, chance: np.random.Generator) -> Drawn | None:
    """A solid round lesion: as dense as the way through a slightly uneven sphere is long."""
    lung = scene.lungs[int(chance.integers(2))]
    radius = scene.side * float(np.exp(chance.uniform(np.log(0.011), np.log(0.042))))
    place = _point_in(lung, chance, radius + 0.01 * scene.side)
    if place is None:
        return None
    x, y = place
    patch = _patch_around(scene, x, y, 1.8 * radius, 1.8 * radius)
    rows, columns = patch.places
    angle = np.arctan2(rows - y, columns - x)
    edge = np.ones_like(angle)
    for waves in (2, 3, 4, 5):
        edge += float(chance.normal(0, 0.11 / waves)) * np.cos(waves * angle + float(chance.uniform(0, 2 * np.pi)))
    through = np.sqrt(np.maximum(1 - (np.hypot(rows - y, columns - x) / (radius * edge)) ** 2, 0))
    through = ndimage.gaussian_filter(through.astype(np.float32), 0.0022 * scene.side)
    # A larger sphere is denser; below a few millimetres it hardly shows.
    gain = float(chance.uniform(0.28, 0.5)) * min(1.3, 0.75 + 12 * radius / scene.side)
    wanted = np.maximum(_tissue_below(scene, lung) - patch.coarse, 0.12)
    changed = patch.pixels + through * gain * wanted
    word = "nodule" if 2 * radius < 0.06 * scene.side else "rounded mass"
    return _kept(scene, patch, changed, f"There is a {word} in the {lung.side} {_zone(lung, y)} zone.")


def pneumothorax(scene: Scene, chance: np.random.Generator) -> Drawn | None:
    """Air between wall and lung, widest at the apex: no vessels, a little darker, bounded by the line of the pleura."""
    lung = scene.lungs[int(chance.integers(2))]
    box, patch = lung.box, _patch_of(scene, lung, 0.02)
    rows, columns = patch.places
    height = np.clip((box.y + box.h - rows) / box.h, 0, 1)  # 0 at the base, 1 at the apex
    reach = float(chance.uniform(0.3, 0.8))  # how far down the air goes
    size = float(chance.uniform(0.08, 0.3))
    hilum_x = box.x + box.w * (0.9 if lung.side == "right" else 0.1)
    hilum_y = box.y + box.h * 0.62
    shrink = 1 - size * _smooth((height - (1 - reach)) / reach * 1.2)
    at = np.broadcast_arrays(hilum_y + (rows - hilum_y) / shrink - 0.5, hilum_x + (columns - hilum_x) / shrink - 0.5)
    inside = ndimage.map_coordinates(lung.depth_px, at, order=1, mode="nearest", output=np.float32)
    inside *= shrink
    line_px = max(0.0024 * scene.side, 0.8)
    air = _smooth(-inside / line_px * 0.5 + 0.5) * _smooth(lung.depth_px[patch.cut] / (0.012 * scene.side) + 1.2)
    aside = _smooth((_outward(lung, columns) - 0.05) / 0.3)
    air *= (shrink < 0.995) * aside
    # Vessels are bright and narrower than ribs: an opening takes them away and leaves the ribs.
    grain = patch.pixels - ndimage.gaussian_filter(patch.pixels, 0.0022 * scene.side)
    bare = ndimage.grey_opening(patch.pixels, size=(max(3, round(0.017 * scene.side)),) * 2)
    bare = ndimage.gaussian_filter(bare, 0.0035 * scene.side) + np.clip(grain, -0.015, 0.015)
    contrast = max(_tissue_below(scene, lung) - float(np.median(patch.pixels[lung.depth_px[patch.cut] > 0])), 0.1)
    changed = patch.pixels + air * (bare - float(chance.uniform(0.12, 0.28)) * contrast - patch.pixels)
    line = np.exp(-((inside / line_px) ** 2)) * aside * (shrink < 0.985) * (lung.depth_px[patch.cut] > 0)
    changed += line * float(chance.uniform(0.18, 0.32)) * contrast
    word = "small apical" if size * reach < 0.08 else "small" if size < 0.16 else "moderate"
    return _kept(scene, patch, changed, f"There is a {word} {lung.side} pneumothorax.")


def enlarged_heart(scene: Scene, chance: np.random.Generator) -> Drawn | None:
    """A wider heart: its shadow is drawn outwards from the spine, its own border with it, over the lungs beside."""
    right, left = scene.lungs
    top = int(min(right.box.y, left.box.y) + 0.38 * max(right.box.h, left.box.h))
    bottom = int(min(right.box.y + right.box.h, left.box.y + left.box.h))
    rows = np.arange(top, bottom)
    if len(rows) < 0.1 * scene.side:
        return None
    to_left = _border(left, rows, first=True)
    to_right = _border(right, rows, first=False)
    middle = float(np.median((to_left + to_right) / 2)) - 0.015 * scene.side
    chest = left.box.x + left.box.w - right.box.x
    grown = chest * float(chance.uniform(0.06, 0.12))
    down = (rows - top) / len(rows)
    # From the great vessels down the border bulges, and rounds off on the diaphragm.
    round_ = np.sin(np.pi / 2 * np.clip(down / 0.55, 0, 1)) ** 2
    round_ *= np.sqrt(1 - np.clip((down - 0.55) / 0.45, 0, 1) ** 2)
    wider_left = np.minimum(grown * round_, 0.7 * np.maximum(left.box.x + left.box.w - to_left, 0))
    wider_right = grown * float(chance.uniform(0.05, 0.4)) * round_
    margin = 0.03 * scene.side
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
    weight = _smooth(1.25 - beyond / (0.02 * scene.side)).astype(np.float32)
    changed = patch.pixels + weight * (np.maximum(drawn, patch.pixels - 0.02) - patch.pixels)
    word = "mildly" if grown < 0.08 * chest else "moderately"
    heart = Box(float(start), float(top), float(end - start), float(bottom - top))
    return _kept(scene, patch, changed, f"The heart is {word} enlarged.", heart)


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


def _kept(
    scene: Scene, patch: _Patch, changed: NDArray[np.floating], sentence: str, box: Box | None = None
) -> Drawn | None:
    """Return the image with what changed visibly, and its box, unless the finding is larger than its change."""
    seen = np.abs(changed - patch.pixels) > _SEEN
    if not seen.any():
        return None
    names, count = ndimage.label(ndimage.binary_dilation(seen, iterations=2))
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


def _tissue_below(scene: Scene, lung: Lung, bright: float = 0.6) -> float:
    """Return the grey of tissue without air, as it lies around the lower half of the lung, of the `bright` quantile."""
    rows = slice(int(lung.box.y + 0.5 * lung.box.h), min(scene.side, int(lung.box.y + lung.box.h + 0.05 * scene.side)))
    depth = lung.depth_px[rows]
    around = scene.coarse[rows][(depth < -0.025 * scene.side) & (depth > -0.09 * scene.side)]
    return float(np.quantile(around, bright)) if len(around) else float(np.quantile(scene.coarse, 0.75))


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
    smooth: NDArray[np.float64] = ndimage.gaussian_filter1d(filled, 0.02 * mask.shape[1], mode="nearest")
    return smooth


def _unstretched(
    out: NDArray[np.floating], border: NDArray[np.floating], wider: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return where, from the middle, a place of the wider heart was before: its border moves most, the spine stays."""
    bend = np.maximum(wider, 1e-6) / np.maximum(border, 1.0) ** 2
    before: NDArray[np.floating] = (np.sqrt(1 + 4 * bend * np.maximum(out, 0)) - 1) / (2 * bend)
    return before
