"""Views of images: what changes at random, and the boxes that move along.

A view is a function of the prepared data, the image's index, the view's number and the recipe: no batch, process or
order of steps has a part in it. View 0 is the image as it is.

Where the recipe changes no sizes (`augment.scale: 0`), shifts are of whole pixels, so that nothing is interpolated: a
network that learns from the finest detail would else meet it only in use, where it takes sharp noise for a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.places.targets import FindingLabel
from patchclip_core.values.results import Box, Geometry
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.simulation.draw import VERSION, Simulated, called_normal, in_source, lung_boxes_of, simulate
from patchclip_trainer.training.run_recipe import AugmentRecipe


@dataclass(frozen=True, slots=True)
class Change:
    """How a view differs: mirrored, then scaled about the centre, shifted (in shares of the side), toned."""

    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    contrast: float = 1.0
    brightness: float = 0.0
    mirrored: bool = False

    @property
    def moves(self) -> bool:
        """Whether pixels change their places."""
        return self.mirrored or (self.scale, self.shift_x, self.shift_y) != (1.0, 0.0, 0.0)


PLAIN, MIRROR_IMAGE = 0, -1
"""Numbers of the views that do not depend on chance."""

Added = tuple[tuple[str, Box], ...]
"""Findings that a view adds to its image: keys, each with a box in source pixels."""


@dataclass(frozen=True, slots=True)
class View:
    """An image as it is seen. geometry: the way from source to input pixels; of the mirrored source where mirrored."""

    geometry: Geometry
    mirrored: bool = False
    added: Added = ()

    def labels(self, keys: Sequence[str], known: Sequence[FindingLabel]) -> tuple[FindingLabel, ...]:
        """Return what is known of the view, from what is known of these findings in its image."""
        return tuple(self._label(key, label) for key, label in zip(keys, known, strict=True))

    def _label(self, key: str, label: FindingLabel) -> FindingLabel:
        boxes = (*label.boxes, *(box for added, box in self.added if added == key))
        if len(boxes) > len(label.boxes):
            label = FindingLabel(True, boxes)
        if not (self.mirrored and boxes):
            return label
        columns = self.geometry.source_columns
        return replace(label, boxes=tuple(Box(columns - box.x - box.w, box.y, box.w, box.h) for box in boxes))


class Views:
    """All views of the images of one data set."""

    def __init__(self, data: PreparedData, augment: AugmentRecipe) -> None:
        self.data, self.augment = data, augment

    def describe(self) -> dict[str, Any]:
        """Return all that pixels and boxes of a view depend on besides data, index and number."""
        changes = self.augment.model_dump(mode="json", exclude={"views", "simulate"})
        if self.augment.simulate:
            changes |= {"simulate": self.augment.simulate, "simulation": VERSION}
        if self.augment.shift and not self.augment.scale:
            changes |= {"shifts": "whole pixels"}
        return changes

    def of(self, index: int, view: int, added: Added = ()) -> View:
        """Return an image's view of this number."""
        change = self._change(index, view)
        return View(moved(self.data.geometries[index], change), change.mirrored, added)

    def see(self, indices: NDArray[np.int64], view: int, device: torch.device) -> tuple[torch.Tensor, tuple[View, ...]]:
        """Return views of this number: (B, 1, side, side) float32 in [0, 1] on a device, and what they are."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.data.images[indices])).to(device)
        images = pixels[:, None].float().div_(255.0)
        drawn: dict[int, Simulated] = {}
        if view > PLAIN and self.augment.simulate:
            for place, index in enumerate(map(int, indices)):
                if (simulated := self._simulated(index, view)) is not None:
                    drawn[index] = simulated
                    images[place, 0] = torch.from_numpy(simulated.pixels).to(device)
        if view != PLAIN:
            changes = [self._change(int(index), view) for index in indices]
            images = _changed(images, changes, self.data.settings.padding)
        return images, tuple(self.of(index, view, self._added(index, drawn.get(index))) for index in map(int, indices))

    def _change(self, index: int, view: int) -> Change:
        return change_of(self.augment, index, view, self.data.settings.input_px)

    def _simulated(self, index: int, view: int) -> Simulated | None:
        """Return the image of a view with what is drawn into it, before it is changed in other ways."""
        boxes = self.data.boxes_of(index)
        chance = np.random.default_rng((self.augment.seed, view, index, VERSION))
        if not called_normal(self.data.rows[index], boxes) or chance.random() >= self.augment.simulate:
            return None
        pixels = self.data.images[index].astype(np.float32) / 255
        return simulate(pixels, chance, lung_boxes_of(boxes, self.data.geometries[index]))

    def _added(self, index: int, simulated: Simulated | None) -> Added:
        if simulated is None:
            return ()
        geometry = self.data.geometries[index]
        return tuple((simulated.finding, in_source(box, geometry)) for box in simulated.boxes)


def normalised(images: torch.Tensor, preprocess: PreprocessSettings) -> torch.Tensor:
    """Return images in [0, 1] (B, 1, side, side) as a network takes them: (B, channels, side, side)."""
    mean, std = (torch.tensor(of, device=images.device)[:, None, None] for of in (preprocess.mean, preprocess.std))
    return (images - mean).div_(std)


def change_of(augment: AugmentRecipe, index: int, view: int, side: int) -> Change:
    """Draw the change of an image's view. side: of the input, in pixels."""
    if view in {PLAIN, MIRROR_IMAGE}:
        return Change(mirrored=view == MIRROR_IMAGE)
    chance = np.random.default_rng((augment.seed, view, index))
    scale, x, y, contrast, brightness = (float(value) for value in chance.uniform(-1, 1, 5))
    shift_x, shift_y = augment.shift * x, augment.shift * y
    if not augment.scale:
        shift_x, shift_y = round(shift_x * side) / side, round(shift_y * side) / side
    return Change(
        scale=1 + augment.scale * scale,
        shift_x=shift_x,
        shift_y=shift_y,
        contrast=1 + augment.contrast * contrast,
        brightness=augment.brightness * brightness,
        mirrored=bool(chance.random() < augment.mirror),
    )


def moved(geometry: Geometry, change: Change) -> Geometry:
    """Return the geometry of a view; where it is mirrored, of the mirrored source."""
    x, y, offset_x_px = geometry.input_columns / 2, geometry.input_rows / 2, geometry.offset_x_px
    if change.mirrored:
        offset_x_px = geometry.input_columns - offset_x_px - geometry.source_columns * geometry.scale_x
    return replace(
        geometry,
        scale_x=geometry.scale_x * change.scale,
        scale_y=geometry.scale_y * change.scale,
        offset_x_px=(offset_x_px - x) * change.scale + x + change.shift_x * geometry.input_columns,
        offset_y_px=(geometry.offset_y_px - y) * change.scale + y + change.shift_y * geometry.input_rows,
    )


def _changed(images: torch.Tensor, changes: Sequence[Change], padding: float) -> torch.Tensor:
    """Mirror, scale, shift, tone: (B, 1, side, side) in [0, 1] before and after. `images` may be written over."""
    if any(change.moves for change in changes):
        grid = places_of(changes, images.shape[-1], images.device)
        images = torch.nn.functional.grid_sample(images.sub_(padding), grid, align_corners=False).add_(padding)
    contrast, brightness = (
        torch.tensor(values, device=images.device)[:, None, None, None]
        for values in ([change.contrast for change in changes], [change.brightness for change in changes])
    )
    return images.sub_(0.5).mul_(contrast).add_(0.5).add_(brightness).clamp_(0, 1)


def places_of(changes: Sequence[Change], side: int, device: torch.device) -> torch.Tensor:
    """Return where each output pixel comes from, (B, side, side, 2) as x, y in units of half a side from the centre.

    Nothing is turned: x depends on the column alone and y on the row. `affine_grid` multiplies a matrix by each pixel,
    which takes longer than to read the pixels.
    """
    centres = (2 * torch.arange(side) + 1) / side - 1
    scale, shift_x, shift_y, mirrored = (
        torch.tensor(values)[:, None]
        for values in zip(
            *((change.scale, change.shift_x, change.shift_y, -1.0 if change.mirrored else 1.0) for change in changes),
            strict=True,
        )
    )
    x, y = (centres - 2 * shift_x) * mirrored / scale, (centres - 2 * shift_y) / scale  # (B, side)
    grid = torch.empty(len(changes), side, side, 2, device=device)
    grid[..., 0], grid[..., 1] = x[:, None, :], y[:, :, None]
    return grid
