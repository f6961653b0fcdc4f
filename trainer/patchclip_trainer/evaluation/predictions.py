"""What a model says of images, on the one grid; and `predictions.jsonl`, which holds it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.errors import PatchClipError
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.values.results import Analyzer, Box, Findings, Geometry, Radiograph
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.errors import DataError
from patchclip_trainer.metrics.candidates import GRID_CELLS, Candidate, find_candidates, to_grid

PREDICTIONS_FILE = "predictions.jsonl"
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


def load_whole(checkpoint: str | Path, device: str) -> Analyzer:
    """Load a checkpoint so that it decides on all that it was trained for, what it does not report included."""
    analyzer = load(checkpoint, device)
    return analyzer.unabridged() if isinstance(analyzer, NetworkAnalyzer) else analyzer


def predict(
    analyzer: Analyzer,
    radiograph_of: Callable[[ImageRow], Radiograph],
    rows: Sequence[ImageRow],
    advance: Callable[[int], None],
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
                radiographs.append(radiograph_of(row))
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


def gridded(
    keys: Sequence[str],
    rows: Sequence[ImageRow],
    geometries: Sequence[Geometry],
    probabilities: NDArray[np.floating],
    maps: NDArray[np.floating] | None,
) -> Predictions:
    """Return what a network says of images, put on the one grid.

    geometries: one an image, with the network's patches. probabilities: (N, F). maps: (N, F, grid rows, grid columns)
    patch probabilities; None where it has none.
    """
    grids = np.full((len(rows), len(keys), GRID_CELLS, GRID_CELLS), np.nan, dtype=np.float32)
    if maps is not None:
        for image, geometry in enumerate(geometries):
            for finding in range(len(keys)):
                grids[image, finding] = to_grid(maps[image, finding], geometry)
    sizes = np.array([(item.source_rows, item.source_columns) for item in geometries], dtype=np.intp).reshape(-1, 2)
    nothing: Mapping[str, tuple[Box, ...]] = {}
    return Predictions(
        tuple(keys), tuple(rows), sizes, np.asarray(probabilities, np.float64), grids, tuple(nothing for _ in rows)
    )


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return predictions of different images, of the same findings, as one."""
    return Predictions(
        parts[0].keys,
        tuple(row for part in parts for row in part.rows),
        np.concatenate([part.sizes_px for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.grids for part in parts]),
        tuple(regions for part in parts for regions in part.regions),
    )


def predictions_file(path: Path) -> Path:
    """Return the file that a path means: itself, or `predictions.jsonl` in it where it is a folder."""
    return path / PREDICTIONS_FILE if path.is_dir() else path


def read_predictions(
    path: Path, rows: Sequence[ImageRow], size_px: Callable[[ImageRow], tuple[int, int]]
) -> tuple[Predictions, tuple[ImageRow, ...]]:
    """Read what `predictions.jsonl` says of these images, whatever grid its maps have.

    path: the file, or a folder with it. Returns the predictions, in the order of `rows`, and the rows that the file
    says nothing of. Raises `DataError` where it cannot be read.
    """
    file = predictions_file(path)
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        found: dict[str, dict[str, Any]] = {line["image"]: line["findings"] for line in lines}
        entries = [found[row.image] for row in rows if row.image in found]
        keys = tuple(dict.fromkeys(key for findings in entries for key in findings))
        probabilities = [[_probability(findings.get(key)) for key in keys] for findings in entries]
        grids = [[_grid(findings.get(key)) for key in keys] for findings in entries]
    except OSError as error:
        raise DataError(f"cannot read the predictions {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} holds no predictions as docs/evaluation.md describes them: {error}") from error
    known = tuple(row for row in rows if row.image in found)
    nothing: Mapping[str, tuple[Box, ...]] = {}
    predictions = Predictions(
        keys,
        known,
        np.array([size_px(row) for row in known], dtype=np.intp).reshape(-1, 2),
        np.array(probabilities, dtype=np.float64).reshape(len(known), len(keys)),
        np.array(grids, dtype=np.float32).reshape(len(known), len(keys), GRID_CELLS, GRID_CELLS),
        tuple(nothing for _ in known),
    )
    return predictions, tuple(row for row in rows if row.image not in found)


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
    if np.isnan(grid).any():
        grid = grid[:0, :0]
    values = [round(float(value), _DECIMALS) for value in grid.ravel()]
    return {
        "probability": round(probability, _DECIMALS) if np.isfinite(probability) else None,
        "candidates": [
            {"x": round(item.x, 2), "y": round(item.y, 2), "score": round(item.score, _DECIMALS)}
            for item in candidates_of(grid, size_px)
        ],
        "map": {"rows": grid.shape[0], "columns": grid.shape[1], "values": values},
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


def _probability(entry: Mapping[str, Any] | None) -> float:
    return np.nan if entry is None or entry["probability"] is None else float(entry["probability"])


def _grid(entry: Mapping[str, Any] | None) -> Grids:
    shown = entry["map"] if entry is not None else None
    if shown is None or not shown["values"]:
        return np.full((GRID_CELLS, GRID_CELLS), np.nan, dtype=np.float32)
    values = np.asarray(shown["values"], dtype=np.float64).reshape(shown["rows"], shown["columns"])
    if values.shape == (GRID_CELLS, GRID_CELLS):
        return values.astype(np.float32)
    centres = (np.arange(GRID_CELLS) + 0.5) / GRID_CELLS
    places = np.meshgrid(centres * shown["rows"] - 0.5, centres * shown["columns"] - 0.5, indexing="ij")
    return np.asarray(ndimage.map_coordinates(values, places, order=1, mode="nearest"), dtype=np.float32)
