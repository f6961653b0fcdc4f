"""What a checkpoint says of a split's images, on the one grid; and `predictions.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_core.errors import PatchClipError
from patchclip_core.io import read_radiograph
from patchclip_core.types import Analyzer, Box, Findings, Radiograph
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.metrics.candidates import GRID_CELLS, Candidate, find_candidates, to_grid

BATCH = 8
_DECIMALS = 6

Grids = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NotRead:
    """An image that could not be read, and why."""

    image: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model says of N images and F findings.

    sizes_px: (N, 2) rows and columns. probabilities: (N, F), NaN where not evaluated. grids: (N, F, GRID_CELLS,
    GRID_CELLS) on the one grid, NaN where the model has no map. regions: boxes that the model names, by finding.
    """

    keys: tuple[str, ...]
    rows: tuple[ImageRow, ...]
    sizes_px: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    grids: Grids
    regions: tuple[Mapping[str, tuple[Box, ...]], ...]

    def of(self, finding: str) -> tuple[NDArray[np.float64], Grids]:
        """Return probabilities (N,) and grids (N, rows, columns) of a finding."""
        index = self.keys.index(finding)
        return self.probabilities[:, index], self.grids[:, index]


def predict(
    analyzer: Analyzer, folder: Path, rows: Sequence[ImageRow], advance: Callable[[int], None]
) -> tuple[Predictions, tuple[NotRead, ...]]:
    """Analyse images, `BATCH` at a time. An image that cannot be read is listed and left out."""
    keys = analyzer.finding_keys
    read: list[ImageRow] = []
    results: list[tuple[tuple[int, int], list[float], Grids, Mapping[str, tuple[Box, ...]]]] = []
    problems: list[NotRead] = []
    for batch in _batches(rows):
        radiographs: list[Radiograph] = []
        for row in batch:
            try:
                radiographs.append(read_radiograph(folder / row.image))
            except PatchClipError as error:
                problems.append(NotRead(row.image, str(error)))
            else:
                read.append(row)
        if radiographs:
            results += [_on_grid(findings, keys) for findings in analyzer.analyze_batch(radiographs)]
        advance(len(batch))
    shape = (len(keys), GRID_CELLS, GRID_CELLS)
    predictions = Predictions(
        keys,
        tuple(read),
        np.array([size for size, *_ in results], dtype=np.intp).reshape(-1, 2),
        np.array([probabilities for _, probabilities, _, _ in results], dtype=np.float64).reshape(-1, len(keys)),
        np.array([grids for _, _, grids, _ in results], dtype=np.float32).reshape(-1, *shape),
        tuple(regions for *_, regions in results),
    )
    return predictions, tuple(problems)


def candidates_of(grid: Grids, size_px: NDArray[np.intp]) -> tuple[Candidate, ...]:
    """Return the candidates of one map of an image of this size (rows, columns); none where there is no map."""
    if np.isnan(grid).any():
        return ()
    return find_candidates(grid, int(size_px[0]), int(size_px[1]))


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write `predictions.jsonl`: a line an image, points in source pixels, maps on the one grid, row by row."""
    with path.open("w", encoding="utf-8") as file:
        for index, row in enumerate(predictions.rows):
            findings = {
                key: _entry(
                    float(predictions.probabilities[index, number]),
                    predictions.grids[index, number],
                    predictions.sizes_px[index],
                )
                for number, key in enumerate(predictions.keys)
            }
            line = {"image": row.image, "findings": findings}
            file.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")


def _entry(probability: float, grid: Grids, size_px: NDArray[np.intp]) -> dict[str, object]:
    shown = None
    if not np.isnan(grid).any():
        values = [round(float(value), _DECIMALS) for value in grid.ravel()]
        shown = {"rows": grid.shape[0], "columns": grid.shape[1], "values": values}
    return {
        "probability": round(probability, _DECIMALS) if np.isfinite(probability) else None,
        "candidates": [
            {"x": round(item.x, 2), "y": round(item.y, 2), "score": round(item.score, _DECIMALS)}
            for item in candidates_of(grid, size_px)
        ],
        "map": shown,
    }


def _on_grid(
    findings: Findings, keys: Sequence[str]
) -> tuple[tuple[int, int], list[float], Grids, Mapping[str, tuple[Box, ...]]]:
    geometry = findings.geometry
    blank = np.full((GRID_CELLS, GRID_CELLS), np.nan, dtype=np.float32)
    items = [findings[key] for key in keys]
    grids = [blank if item.patch_map is None else to_grid(item.patch_map, geometry) for item in items]
    return (
        (geometry.source_rows, geometry.source_columns),
        [np.nan if item.probability is None else item.probability for item in items],
        np.asarray(grids, dtype=np.float32),
        {item.key: tuple(region.box for region in item.regions) for item in items},
    )


def _batches(rows: Sequence[ImageRow]) -> Iterator[list[ImageRow]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH)):
        yield batch
