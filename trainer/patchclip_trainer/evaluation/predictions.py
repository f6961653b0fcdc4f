"""What a model says of images, on the one grid; and `predictions.jsonl`, which holds it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from patchclip_trainer.evaluation.collection import Collection
from patchclip_trainer.evaluation.journal import Journal, written
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


NO_MAP: Grids = np.full((GRID_CELLS, GRID_CELLS), np.nan, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What is said of one finding in one image.

    probability: NaN where it is not evaluated. grid: (GRID_CELLS, GRID_CELLS), `NO_MAP` where there is no map.
    """

    probability: float
    grid: Grids
    regions: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What is said of one image: its rows and columns, and an answer a finding."""

    size_px: tuple[int, int]
    answers: Mapping[str, Answer]


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
    collection: Collection,
    rows: Sequence[ImageRow],
    advance: Callable[[int], None],
    journal: Journal | None = None,
) -> tuple[Predictions, tuple[NotRead, ...]]:
    """Analyse images of a collection, `BATCH` at a time. An image that cannot be read is listed and left out.

    Places are said in the pixels that boxes are drawn in, whatever size the images have here.

    journal: takes each image's line as soon as it is there; images that it has already are not analysed again. What is
    returned is what the lines say, rounded as they are, so that a run that was resumed says what any other says.
    """
    keys = analyzer.finding_keys
    found: dict[str, Said] = {}
    if journal is not None:
        found = {str(line["image"]): said_in(line) for line in journal.lines()}
    left = [row for row in rows if row.image not in found]
    advance(len(rows) - len(left))
    problems: list[NotRead] = []
    for batch in batches(left):
        read, radiographs, refused = read_batch(batch, collection.radiograph)
        problems += refused
        for row, findings in zip(read, analyzer.analyze_batch(radiographs), strict=True):
            said = answers_of(findings, keys)
            if collection.resized:
                said = in_pixels_of(said, collection.size_px(row))
            line = line_of(row.image, said)
            found[row.image] = said_in(line)
            if journal is not None:
                journal.append(line)
        advance(len(batch))
    known = tuple(row for row in rows if row.image in found)
    return _predictions(keys, known, [found[row.image] for row in known]), tuple(problems)


def read_batch(
    batch: Sequence[ImageRow], radiograph_of: Callable[[ImageRow], Radiograph]
) -> tuple[list[ImageRow], list[Radiograph], list[NotRead]]:
    """Return the rows that can be read, their radiographs, and why the others cannot."""
    read: list[ImageRow] = []
    radiographs: list[Radiograph] = []
    problems: list[NotRead] = []
    for row in batch:
        try:
            radiographs.append(radiograph_of(row))
        except PatchClipError as error:
            problems.append(NotRead(row.image, str(error)))
        else:
            read.append(row)
    return read, radiographs, problems


def answers_of(findings: Findings, keys: Sequence[str]) -> Said:
    """Return what a model said of an image, its maps on the one grid."""
    geometry = findings.geometry
    items = [findings[key] for key in keys]
    return Said(
        (geometry.source_rows, geometry.source_columns),
        {
            item.key: Answer(
                np.nan if item.probability is None else item.probability,
                NO_MAP if item.patch_map is None else to_grid(item.patch_map, geometry).astype(np.float32),
                tuple(region.box for region in item.regions),
            )
            for item in items
        },
    )


def in_pixels_of(said: Said, size_px: tuple[int, int]) -> Said:
    """Return what was said of an image, as it is said of the same image with these rows and columns."""
    down, across = size_px[0] / said.size_px[0], size_px[1] / said.size_px[1]
    answers = {
        key: replace(
            answer,
            regions=tuple(Box(box.x * across, box.y * down, box.w * across, box.h * down) for box in answer.regions),
        )
        for key, answer in said.answers.items()
    }
    return Said(size_px, answers)


def _predictions(keys: Sequence[str], rows: tuple[ImageRow, ...], said: Sequence[Said]) -> Predictions:
    shape = (len(keys), GRID_CELLS, GRID_CELLS)
    return Predictions(
        tuple(keys),
        rows,
        np.array([item.size_px for item in said], dtype=np.intp).reshape(-1, 2),
        np.array([[item.answers[key].probability for key in keys] for item in said], np.float64).reshape(-1, len(keys)),
        np.array([[item.answers[key].grid for key in keys] for item in said], dtype=np.float32).reshape(-1, *shape),
        tuple({key: item.answers[key].regions for key in keys} for item in said),
    )


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
        regions = [{key: _answer(entry).regions for key, entry in findings.items()} for findings in entries]
    except OSError as error:
        raise DataError(f"cannot read the predictions {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} holds no predictions as docs/evaluation.md describes them: {error}") from error
    known = tuple(row for row in rows if row.image in found)
    predictions = Predictions(
        keys,
        known,
        np.array([size_px(row) for row in known], dtype=np.intp).reshape(-1, 2),
        np.array(probabilities, dtype=np.float64).reshape(len(known), len(keys)),
        np.array(grids, dtype=np.float32).reshape(len(known), len(keys), GRID_CELLS, GRID_CELLS),
        tuple(regions),
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
            answers = {
                key: Answer(
                    float(predictions.probabilities[index, number]),
                    predictions.grids[index, number],
                    predictions.regions[index].get(key, ()),
                )
                for number, key in enumerate(predictions.keys)
            }
            size_px = int(predictions.sizes_px[index][0]), int(predictions.sizes_px[index][1])
            file.write(written(line_of(row.image, Said(size_px, answers))))


def line_of(image: str, said: Said) -> dict[str, Any]:
    """Return the line of `predictions.jsonl` that says it."""
    rows_px, columns_px = said.size_px
    findings = {key: _entry(answer, said.size_px) for key, answer in said.answers.items()}
    return {"image": image, "rows": rows_px, "columns": columns_px, "findings": findings}


def said_in(line: Mapping[str, Any]) -> Said:
    """Return what a line of `predictions.jsonl` says, where it gives the image's size; the opposite of `line_of`."""
    return Said(
        (int(line["rows"]), int(line["columns"])),
        {key: _answer(entry) for key, entry in line["findings"].items()},
    )


def _entry(answer: Answer, size_px: tuple[int, int]) -> dict[str, object]:
    grid = answer.grid if not np.isnan(answer.grid).any() else answer.grid[:0, :0]
    rounded = np.array([round(float(value), _DECIMALS) for value in grid.ravel()], np.float32).reshape(grid.shape)
    return {
        "probability": round(answer.probability, _DECIMALS) if np.isfinite(answer.probability) else None,
        "candidates": [
            {"x": round(item.x, 2), "y": round(item.y, 2), "score": round(item.score, _DECIMALS)}
            for item in (find_candidates(rounded, *size_px) if grid.size else ())
        ],
        "map": {
            "rows": grid.shape[0],
            "columns": grid.shape[1],
            "values": [round(float(value), _DECIMALS) for value in rounded.ravel()],
        },
        "regions": [[round(edge, 2) for edge in (box.x, box.y, box.w, box.h)] for box in answer.regions],
    }


def _answer(entry: Mapping[str, Any]) -> Answer:
    regions = tuple(Box(*edges) for edges in entry.get("regions", ()))
    return Answer(_probability(entry), _grid(entry), regions)


def batches(rows: Sequence[ImageRow]) -> Iterator[list[ImageRow]]:
    """Yield `BATCH` rows at a time."""
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
