"""Features of views on disk: what a fixed trunk makes of a view of an image is computed once, for all epochs and runs.

A folder holds one view of all images of the prepared data that were needed so far: `values.f16` (N, C, rows,
columns), a sparse file, and `journal.jsonl`, whose lines say which images are in it, with a checksum and with what the
view added to them. Its name is a digest of all that its content depends on: trunk, data, and what the view changes. So
runs, folds and seeds share it, a killed run loses a line at most, and nothing stale is ever read.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.models.towers import Features, TrunkTower
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.values.results import Box
from patchclip_trainer.data.shards import DESCRIPTION, write_atomically
from patchclip_trainer.errors import TrainerError
from patchclip_trainer.training.inputs.views import PLAIN, Added, View, Views, normalised

FEATURES = "features"
"""The cache's folder, by default in that of the prepared data."""
_VALUES, _JOURNAL, _LOCK = "values.f16", "journal.jsonl", "lock"
_FORMAT, _CHUNK = 1, 16

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Images, and the view of them that is wanted."""

    indices: NDArray[np.int64]
    view: int


class FeatureCache:
    """Features of views of one data set, made by one trunk."""

    def __init__(self, folder: Path, tower: TrunkTower, preprocess: PreprocessSettings, views: Views) -> None:
        self._folder, self._tower, self._preprocess, self._views = folder, tower, preprocess, views
        self._device = next(tower.parameters()).device
        with torch.no_grad():
            blank = torch.zeros(1, len(preprocess.mean), preprocess.input_px, preprocess.input_px, device=self._device)
            self._shape = tuple(tower.features(blank).values.shape[1:])
        self._trunk = _digest_of(tower.fixed)
        self._open: dict[int, _ViewFile] = {}

    def elsewhere(self, folder: Path) -> FeatureCache:
        """Return a cache of the same views in another folder."""
        return FeatureCache(folder, self._tower, self._preprocess, self._views)

    @property
    def bytes_each(self) -> int:
        """Bytes that a view of an image takes on disk."""
        return 2 * int(np.prod(self._shape))

    def missing(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Return what is wanted and not there yet."""
        left = [Wanted(self._view(item.view).missing(item.indices), item.view) for item in wanted]
        return [item for item in left if len(item.indices)]

    def fill(self, wanted: Sequence[Wanted], progress: Progress = lambda _done, _total: None) -> None:
        """Compute what is missing. Raises `TrainerError` where the disk has no room for it."""
        missing = self.missing(wanted)
        done, total = 0, sum(len(item.indices) for item in missing)
        if not total:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        needed_bytes, free_bytes = total * self.bytes_each, shutil.disk_usage(self._folder).free
        if needed_bytes > free_bytes:
            raise TrainerError(
                f"the features of {total} views need {needed_bytes / 2**30:.1f} GiB, {self._folder} has "
                f"{free_bytes / 2**30:.1f}: name another folder with --features, or lower augment.views"
            )
        for item in missing:
            with self._view(item.view).writing() as file:
                indices = file.missing(item.indices)  # another run may have computed some in the meantime
                done += len(item.indices) - len(indices)
                for chunk in np.array_split(indices, -(-len(indices) // _CHUNK)) if len(indices) else ():
                    values, views = self._compute(chunk, item.view)
                    file.write(chunk, values, [seen.added for seen in views])
                    done += len(chunk)
                    progress(done, total)

    def read(self, indices: NDArray[np.int64], view: int) -> tuple[Features, tuple[View, ...]]:
        """Return features (B, C, rows, columns) float32 on the trunk's device, and the views that they are of."""
        self.fill([Wanted(indices, view)])
        file = self._view(view)
        values = torch.from_numpy(file.values[indices]).to(self._device).float()
        return Features(values), tuple(self._views.of(int(index), view, file.added[int(index)]) for index in indices)

    def _compute(self, indices: NDArray[np.int64], view: int) -> tuple[NDArray[np.float16], tuple[View, ...]]:
        images, views = self._views.see(indices, view, self._device)
        training = self._tower.training
        self._tower.eval()
        with torch.no_grad():
            values = self._tower.features(normalised(images, self._preprocess)).values
        self._tower.train(training)  # the step that asked goes on with its dropout
        halved = values.half().cpu().numpy()
        if not np.isfinite(halved).all():
            raise TrainerError(
                "the trunk's features do not fit into 16 bits: train from pixels instead, with augment.views=null"
            )
        return halved, views

    def _view(self, view: int) -> _ViewFile:
        if view not in self._open:
            about = {
                "format": _FORMAT,
                "view": view,
                "trunk": self._trunk,
                "shape": list(self._shape),
                "preprocess": self._preprocess.model_dump(mode="json", exclude={"grid"}),
                "data": hashlib.sha256((self._views.data.folder / DESCRIPTION).read_bytes()).hexdigest(),
                "changes": self._views.describe() if view > PLAIN else None,
            }
            digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
            folder = self._folder / f"view-{view}-{digest}"
            self._open[view] = _ViewFile(folder, about, (len(self._views.data), *self._shape))
        return self._open[view]


class _ViewFile:
    """One view's folder: opened and checked when it is first needed, written under a lock."""

    def __init__(self, folder: Path, about: dict[str, Any], shape: tuple[int, ...]) -> None:
        self._folder, self._about, self._shape = folder, about, shape
        self.added: dict[int, Added] = {}
        self._checked_bytes = 0
        self._take_over()

    @cached_property
    def values(self) -> NDArray[np.float16]:
        """All features (N, C, rows, columns); those of images that are not there are 0."""
        return np.memmap(self._folder / _VALUES, dtype=np.float16, mode="r", shape=self._shape)

    def missing(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those that are not there."""
        return np.array([index for index in indices if int(index) not in self.added], dtype=np.int64)

    @contextmanager
    def writing(self) -> Iterator[Self]:
        """Keep other processes from writing this view; first take over what they have written."""
        self._folder.mkdir(exist_ok=True)
        with (self._folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self._folder / _VALUES).exists():
                with (self._folder / _VALUES).open("wb") as file:
                    file.truncate(2 * math.prod(self._shape))
                write_atomically(self._folder / _JOURNAL, json.dumps(self._about) + "\n")
            self._take_over()
            os.truncate(self._folder / _JOURNAL, self._checked_bytes)
            yield self

    def write(self, indices: NDArray[np.int64], values: NDArray[np.float16], added: Sequence[Added]) -> None:
        """Add images: (B, C, rows, columns)."""
        size = values[0].nbytes
        with (self._folder / _VALUES).open("r+b") as file:
            for index, value in zip(indices, values, strict=True):
                file.seek(int(index) * size)
                file.write(value.tobytes())
            file.flush()
            os.fsync(file.fileno())
        entry = {
            "images": [int(index) for index in indices],
            "crc32": zlib.crc32(np.ascontiguousarray(values).data),
            "added": [[[key, box.x, box.y, box.w, box.h] for key, box in of_image] for of_image in added],
        }
        line = json.dumps(entry).encode() + b"\n"
        with (self._folder / _JOURNAL).open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._take(entry)
        self._checked_bytes += len(line)

    def _take_over(self) -> None:
        """Take what the journal says and the checksums confirm, from where this process has read it so far."""
        path = self._folder / _JOURNAL
        if not path.is_file():
            return
        if (self._folder / _VALUES).stat().st_size != 2 * math.prod(self._shape):
            raise TrainerError(f"{self._folder} is damaged: delete it, its features will be computed again")
        with path.open("rb") as file:
            if not self._checked_bytes:
                self._checked_bytes = len(file.readline())
            file.seek(self._checked_bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                entry = json.loads(line)
                if zlib.crc32(np.ascontiguousarray(self.values[entry["images"]]).data) == entry["crc32"]:
                    self._take(entry)
                self._checked_bytes += len(line)

    def _take(self, entry: dict[str, Any]) -> None:
        for index, boxes in zip(entry["images"], entry["added"], strict=True):
            self.added[index] = tuple((key, Box(*place)) for key, *place in boxes)


def _digest_of(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
