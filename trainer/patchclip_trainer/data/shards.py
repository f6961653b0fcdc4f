"""Prepared data on disk: pixels decoded once, in the model's own input size, and what is known of each image.

A folder holds the pixels (`data.stores`), `rows.jsonl`, `boxes.jsonl` and `prepared.json`, which is written last: a
folder without it is not finished. Pixels are written shard by shard; `journal.jsonl` says what is on disk, so that a
run that was stopped goes on after its last whole shard.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.places.preprocess import letterbox
from patchclip_core.values.results import Geometry, PatchGrid
from patchclip_trainer.data.concatenated import Concatenated
from patchclip_trainer.data.manifest import BoxRow, ImageRow
from patchclip_trainer.data.stores import KINDS, Shard, StoreKind, digest_of, store_of
from patchclip_trainer.errors import DataError

FORMAT = 1
ROWS, BOXES, DESCRIPTION, JOURNAL = "rows.jsonl", "boxes.jsonl", "prepared.json", "journal.jsonl"
PROBLEMS = "problems.csv"
"""What `prepare` found wrong, beside the data; they are whole without it."""
_ROW: TypeAdapter[ImageRow] = TypeAdapter(ImageRow)
_BOX: TypeAdapter[BoxRow] = TypeAdapter(BoxRow)


@dataclass(frozen=True, slots=True)
class SourceSize:
    """Size of an image as it was decoded, and the height of its pixels divided by their width."""

    rows: int
    columns: int
    pixel_aspect_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image on its way into a shard: its place in the list, its size, its fitted pixels (input_px, input_px).

    exchanged: black and white were, and are put right.
    """

    position: int
    size: SourceSize
    pixels: NDArray[np.uint8]
    exchanged: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """An image that could not be decoded: its place in the list, and why, by kind and in words."""

    position: int
    kind: str
    what: str


class ShardWriter:
    """Appends shards to a folder and continues where an earlier run with the same fingerprint stopped."""

    def __init__(
        self, folder: Path, settings: PreprocessSettings, fingerprint: str, kind: StoreKind = "mapped"
    ) -> None:
        self._folder, self._settings = folder, settings
        self._store = store_of(kind, folder, settings.input_px)
        self.shards: list[Shard] = []
        self.kept: list[tuple[int, SourceSize]] = []
        self.refused: list[Refused] = []
        self.exchanged: list[int] = []
        self.next_position = 0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DESCRIPTION).unlink(missing_ok=True)
        begun = {"fingerprint": fingerprint, **_named(kind)}
        if not self._resume(begun):
            for other in KINDS:
                store_of(other, folder, settings.input_px).keep(())
            write_atomically(folder / JOURNAL, json.dumps(begun) + "\n")

    def append(self, decoded: Sequence[Decoded], refused: Sequence[Refused], next_position: int) -> None:
        """Write one shard; `next_position`: the first image of the list that no shard has dealt with yet."""
        if any(item.pixels.shape != (self._settings.input_px,) * 2 for item in decoded):
            raise ValueError("an image of a shard does not have the prepared size")
        shard = self._store.append(self.shards, [item.pixels for item in decoded])
        entry = {
            "next_position": next_position,
            **_without_count(shard),
            "kept": [[item.position, asdict(item.size)] for item in decoded],
            "refused": [asdict(item) for item in refused],
            "exchanged": [item.position for item in decoded if item.exchanged],
        }
        with (self._folder / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(entry)

    def images(self) -> NDArray[np.uint8]:
        """Return (N, input_px, input_px) uint8: the pixels written so far, read only; they stay on disk."""
        return self._store.open(self.shards)

    def geometry(self, size: SourceSize) -> Geometry:
        """Return where an image of this size lies within its prepared pixels."""
        return letterbox(size.rows, size.columns, size.pixel_aspect_ratio, self._settings)

    def finish(
        self, rows: Sequence[ImageRow], boxes: Sequence[BoxRow], settings: PreprocessSettings, about: Mapping[str, Any]
    ) -> None:
        """Write the lists and, last, the description that makes the folder complete. `rows`: those kept, in order."""
        sizes = [size for _, size in self.kept]
        rows_text = "".join(
            json.dumps(asdict(row) | {"size": asdict(size)}, ensure_ascii=False) + "\n"
            for row, size in zip(rows, sizes, strict=True)
        )
        boxes_text = "".join(json.dumps(asdict(box), ensure_ascii=False) + "\n" for box in boxes)
        write_atomically(self._folder / ROWS, rows_text)
        write_atomically(self._folder / BOXES, boxes_text)
        description = {
            "format": FORMAT,
            "images": len(rows),
            "boxes": len(boxes),
            "preprocess": settings.model_dump(mode="json"),
            **_named(self._store.kind),
            "shards": [{"count": shard.count, **_without_count(shard)} for shard in self.shards],
            "sha256": {ROWS: _digest(rows_text), BOXES: _digest(boxes_text)},
            **about,
        }
        write_atomically(self._folder / DESCRIPTION, json.dumps(description, indent=2, ensure_ascii=False) + "\n")

    def _resume(self, begun: Mapping[str, str]) -> bool:
        """Take over what an earlier run has written; what came after its last whole shard is taken away."""
        journal = self._folder / JOURNAL
        if not journal.is_file():
            return False
        with journal.open("rb") as file:
            lines = file.read().split(b"\n")
        whole = [line for line in lines[:-1] if line]
        if not whole or json.loads(whole[0]) != begun:
            return False
        entries = [json.loads(line) for line in whole[1:]]
        count = self._store.whole([_shard_of(entry) for entry in entries])
        for entry in entries[:count]:
            self._take(entry)
        os.truncate(journal, sum(len(line) + 1 for line in whole[: count + 1]))
        self._store.keep(self.shards)
        return True

    def _take(self, entry: Mapping[str, Any]) -> None:
        self.shards.append(_shard_of(entry))
        self.kept += [(position, SourceSize(**size)) for position, size in entry["kept"]]
        self.refused += [Refused(**item) for item in entry["refused"]]
        self.exchanged += entry.get("exchanged", [])
        self.next_position = entry["next_position"]


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Prepared data as training and evaluation read it; the pixels stay on disk until they are read.

    images: (N, input_px, input_px) uint8, read only; 255 is white. rows, geometries: one an image, in the same order.
    """

    folder: Path
    settings: PreprocessSettings
    images: NDArray[np.uint8]
    rows: tuple[ImageRow, ...]
    sizes: tuple[SourceSize, ...]
    boxes: tuple[BoxRow, ...]
    shards: tuple[Shard, ...]
    streamed: bool = False
    """Whether an epoch goes through the shards in order (`training.loop.order`): pixels lie in tar files."""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    @cached_property
    def geometries(self) -> tuple[Geometry, ...]:
        """The way from source to input pixels of each image, with the patches of `settings.grid`."""
        return tuple(letterbox(size.rows, size.columns, size.pixel_aspect_ratio, self.settings) for size in self.sizes)

    def geometries_on(self, grid: PatchGrid) -> tuple[Geometry, ...]:
        """Return the geometries for a model whose patches lie elsewhere; its input has the prepared size."""
        return tuple(replace(geometry, grid=grid) for geometry in self.geometries)

    @cached_property
    def _boxes_by_image(self) -> Mapping[str, tuple[BoxRow, ...]]:
        found: dict[str, list[BoxRow]] = defaultdict(list)
        for box in self.boxes:
            found[box.image].append(box)
        return {image: tuple(boxes) for image, boxes in found.items()}

    def boxes_of(self, index: int) -> tuple[BoxRow, ...]:
        """Return the boxes of an image, in source pixels."""
        return self._boxes_by_image.get(self.rows[index].image, ())

    def split(self, name: str) -> NDArray[np.int64]:
        """Return the indices of the images of a part: train, val or test."""
        return np.array([index for index, row in enumerate(self.rows) if row.split == name], dtype=np.int64)

    @cached_property
    def shard_of(self) -> NDArray[np.int64]:
        """Return the number of the shard that each image lies in: (N,)."""
        return np.repeat(np.arange(len(self.shards)), [shard.count for shard in self.shards])

    def verify(self) -> None:
        """Read all pixels and compare their checksums; raises `DataError` where a shard is damaged."""
        first = 0
        for number, shard in enumerate(self.shards):
            if digest_of(self.images[first : first + shard.count]) != shard.sha256:
                raise DataError(f"{self.folder}: shard {number} is damaged; run prepare once more into a new folder")
            first += shard.count


def open_prepared(folder: Path) -> PreparedData:
    """Open a folder that `prepare` has finished; raises `DataError` where it is missing, unfinished or damaged."""
    path = folder / DESCRIPTION
    if not path.is_file():
        if (folder / JOURNAL).is_file():
            raise DataError(f"{folder}: preparing was not finished: run the same command again")
        raise DataError(
            f"{folder} holds no prepared data, there is no {DESCRIPTION}: run `patchclip-trainer prepare SOURCE "
            "--out DIR` first and name its DIR"
        )
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description.get("format") != FORMAT:
            raise DataError(f"{path}: format {description.get('format')} is not {FORMAT}; run prepare once more")
        if "parts" in description:
            return _joined(folder, description)
        settings = PreprocessSettings.model_validate(description["preprocess"])
        records = [json.loads(line) for line in _lines(folder, ROWS, description)]
        sizes = tuple(SourceSize(**record.pop("size")) for record in records)
        rows = tuple(_ROW.validate_python(record) for record in records)
        boxes = tuple(_BOX.validate_json(line) for line in _lines(folder, BOXES, description))
        shards = tuple(
            Shard(each["count"], each["sha256"], tuple(each.get("sizes", ()))) for each in description["shards"]
        )
        kind = description.get("store", "mapped")
        images = store_of(kind, folder, settings.input_px).open(shards)
        if not len(rows) == description["images"] == len(images):
            raise DataError(
                f"{folder}: {ROWS} or the shards do not have the images that {DESCRIPTION} says; copy it again"
            )
    except (OSError, KeyError, TypeError, ValidationError, json.JSONDecodeError) as error:
        raise DataError(f"{folder}: prepared data are damaged ({error}); run prepare once more") from error
    return PreparedData(folder, settings, images, rows, sizes, boxes, shards, streamed=kind == "tar")


def _joined(folder: Path, description: Mapping[str, Any]) -> PreparedData:
    """Open several sets as one, as `together` has joined them."""
    parts = []
    for named in description["parts"]:
        part = Path(named["folder"])
        if not (part / DESCRIPTION).is_file() or _file_digest(part / DESCRIPTION) != named["sha256"]:
            raise DataError(f"{part} was moved or prepared again since it was joined: give each --data again")
        parts.append(open_prepared(part))
    names = [f"{number}-{part.folder.name}" for number, part in enumerate(parts, start=1)]
    rows = [
        replace(row, image=f"{name}/{row.image}") for name, part in zip(names, parts, strict=True) for row in part.rows
    ]
    for index, (patient_id, split) in description["patients"].items():
        rows[int(index)] = replace(rows[int(index)], patient_id=patient_id, split=split)
    return PreparedData(
        folder,
        parts[0].settings,
        cast(NDArray[np.uint8], Concatenated([part.images for part in parts])),
        tuple(rows),
        tuple(size for part in parts for size in part.sizes),
        tuple(
            replace(box, image=f"{name}/{box.image}")
            for name, part in zip(names, parts, strict=True)
            for box in part.boxes
        ),
        tuple(shard for part in parts for shard in part.shards),
        streamed=any(part.streamed for part in parts),
    )


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _shard_of(entry: Mapping[str, Any]) -> Shard:
    return Shard(len(entry["kept"]), entry["sha256"], tuple(entry.get("sizes", ())))


def _without_count(shard: Shard) -> dict[str, Any]:
    """Say what is known of a shard besides its number of images; sizes only where its store has members."""
    return {"sha256": shard.sha256} | ({"sizes": list(shard.sizes)} if shard.sizes else {})


def _named(kind: StoreKind) -> dict[str, str]:
    """Name the store where it is not the usual one."""
    return {} if kind == "mapped" else {"store": kind}


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _lines(folder: Path, name: str, description: Mapping[str, Any]) -> list[str]:
    text = (folder / name).read_text(encoding="utf-8")
    if _digest(text) != description["sha256"][name]:
        raise DataError(f"{folder / name}: its checksum is not the one in {DESCRIPTION}; run prepare once more")
    return [line for line in text.split("\n") if line]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
