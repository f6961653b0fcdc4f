"""A model that was told what to answer: for tests whose values are worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import (
    Finding,
    Findings,
    FindingState,
    Geometry,
    ModelIdentity,
    PatchGrid,
    Radiograph,
)

CELLS = 32


def grey_of(radiograph: Radiograph) -> int:
    """Return the grey of the corner, 0 to 255: pictures of tests are told apart by it."""
    return round(float(radiograph.pixels[0, 0]) * 255)


@dataclass(frozen=True)
class Told:
    """An `Analyzer` that reads sentences.

    answers: (image, first positive sentence) -> probability and map (CELLS, CELLS); others: 0.01 and a flat map.
    """

    answers: Mapping[tuple[int, str], tuple[float, np.ndarray]]
    image_of: Callable[[Radiograph], int] = grey_of
    asked: tuple[FindingDefinition, ...] = ()
    seen: list[int] = field(default_factory=list)

    @property
    def identity(self) -> ModelIdentity:
        return ModelIdentity("told", "1", f"sha256:{'0' * 64}", True, False, "nothing", "none", "for tests")

    @property
    def finding_keys(self) -> tuple[str, ...]:
        return tuple(definition.key for definition in self.asked)

    def asking(self, definitions: Iterable[FindingDefinition]) -> Told:
        return Told(self.answers, self.image_of, tuple(definitions), self.seen)

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        return [self._said(radiograph) for radiograph in radiographs]

    def _said(self, radiograph: Radiograph) -> Findings:
        image = self.image_of(radiograph)
        self.seen.append(image)
        rows, columns = radiograph.rows, radiograph.columns
        grid = PatchGrid(CELLS, CELLS, 1.0, 0.5)
        geometry = Geometry(rows, columns, CELLS, CELLS, CELLS / columns, CELLS / rows, 0.0, 0.0, grid)
        items = []
        for definition in self.asked:
            flat = (0.01, np.zeros((CELLS, CELLS)))
            probability, patch_map = self.answers.get((image, definition.positive[0]), flat)
            state = FindingState.PRESENT
            items.append(
                Finding(definition.key, state, probability, 1e-9, patch_map.astype(np.float32), experimental=True)
            )
        return Findings(tuple(items), geometry, self.identity)


def patch_map(*parts: tuple[int, int, int, int, float], ground: float = 0.0) -> np.ndarray:
    """Return a map with parts (top, left, bottom, right in cells, value)."""
    values = np.full((CELLS, CELLS), ground)
    for top, left, bottom, right, value in parts:
        values[top:bottom, left:right] = value
    return values
