"""Where prepared pixels lie: in one file that is mapped into memory, or in tar shards of PNG that are read in order.

A shard is what `prepare` writes at a time, and what it goes on after when it was stopped. Its checksum is that of the
pixels, in either store. A tar shard is one of WebDataset's: its members are called by the number of the image, which is
the line of `rows.jsonl`.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchclip_trainer.data.lazy_images import LazyImages
from patchclip_trainer.errors import DataError

StoreKind = Literal["mapped", "tar"]
KINDS: Final[tuple[StoreKind, ...]] = get_args(StoreKind)
PIXELS: Final = "images.u8"
_SHARD: Final = "images-{:06}.tar"
_SHARDS: Final = "images-*.tar"
_BLOCK = tarfile.BLOCKSIZE
_READERS = 8
"""Threads that read and decode the images of a batch; no two the same image."""
_LATELY = 64
"""Shards of which the system need not be told again that they will be read."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A run of images on disk: how many, and the SHA-256 of their pixels. sizes: bytes of each member, of a tar."""

    count: int
    sha256: str
    sizes: tuple[int, ...] = ()


class Store(ABC):
    """The pixels of a prepared folder. side: height and width of each image."""

    kind: StoreKind

    def __init__(self, folder: Path, side: int) -> None:
        self._folder, self._side = folder, side

    @abstractmethod
    def append(self, before: Sequence[Shard], images: Sequence[NDArray[np.uint8]]) -> Shard:
        """Write a shard after those that are there; it is on the disk when this returns."""

    @abstractmethod
    def keep(self, shards: Sequence[Shard]) -> None:
        """Take away all that was written after these."""

    @abstractmethod
    def open(self, shards: Sequence[Shard]) -> NDArray[np.uint8]:
        """Return (N, side, side), read only; raises `DataError` where a file is missing or has another size."""

    def whole(self, shards: Sequence[Shard]) -> int:
        """Return how many shards, from the first on, are on disk as they were written."""
        for number, shard in enumerate(shards):
            try:
                images = self.open(shards[: number + 1])
                found = digest_of(images[len(images) - shard.count :])
            except (OSError, DataError):
                return number
            if found != shard.sha256:
                return number
        return len(shards)


def store_of(kind: StoreKind, folder: Path, side: int) -> Store:
    """Return the store of this kind."""
    return TarStore(folder, side) if kind == "tar" else MappedStore(folder, side)


def digest_of(images: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of images' pixels."""
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()


class MappedStore(Store):
    """N x side x side bytes in one file, without a header."""

    kind = "mapped"

    def append(self, before: Sequence[Shard], images: Sequence[NDArray[np.uint8]]) -> Shard:
        """Write at the end of the file."""
        content = b"".join(image.tobytes() for image in images)
        self.keep(before)
        _write(self._folder / PIXELS, "ab", content)
        return Shard(len(images), hashlib.sha256(content).hexdigest())

    def keep(self, shards: Sequence[Shard]) -> None:
        """Cut the file."""
        if (self._folder / PIXELS).exists():
            os.truncate(self._folder / PIXELS, _count(shards) * self._side**2)

    def open(self, shards: Sequence[Shard]) -> NDArray[np.uint8]:
        """Map the file into memory; what a stopped run wrote after these shards may still be in it."""
        shape, path = (_count(shards), self._side, self._side), self._folder / PIXELS
        if not shape[0]:  # an empty file cannot be mapped
            return np.zeros(shape, dtype=np.uint8)
        if path.stat().st_size < _count(shards) * self._side**2:
            raise DataError(f"{path} is shorter than its list says: copy it again")
        return np.memmap(path, dtype=np.uint8, mode="r", shape=shape)


class TarStore(Store):
    """A tar file a shard, of grey PNG files."""

    kind = "tar"

    def append(self, before: Sequence[Shard], images: Sequence[NDArray[np.uint8]]) -> Shard:
        """Write the next file."""
        first, content, members = _count(before), io.BytesIO(), [_png(image) for image in images]
        with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for number, member in enumerate(members, start=first):
                about = tarfile.TarInfo(f"{number:08}.png")
                about.size = len(member)
                archive.addfile(about, io.BytesIO(member))
        _write(self._folder / _SHARD.format(len(before)), "wb", content.getvalue())
        stacked = np.stack(images) if images else np.zeros((0, self._side, self._side), np.uint8)
        return Shard(len(images), digest_of(stacked), tuple(map(len, members)))

    def keep(self, shards: Sequence[Shard]) -> None:
        """Take later files away."""
        kept = {_SHARD.format(number) for number in range(len(shards))}
        for path in self._folder.glob(_SHARDS):
            if path.name not in kept:
                path.unlink()

    def open(self, shards: Sequence[Shard]) -> NDArray[np.uint8]:
        """Read them as they are asked for."""
        paths = [self._folder / _SHARD.format(number) for number in range(len(shards))]
        for path, shard in zip(paths, shards, strict=True):
            if len(shard.sizes) != shard.count or path.stat().st_size < _places(shard)[1]:
                raise DataError(f"{path} is shorter than its list says: copy it again")
        return cast(NDArray[np.uint8], TarImages(paths, shards, self._side))


class TarImages(LazyImages):
    """The images of tar shards: each read where its shard's list says that it lies, several by several threads.

    Where a shard is first read, the system is told that the rest of it will be: training goes through shards in order
    (`training.loop.order`).
    """

    def __init__(self, paths: Sequence[Path], shards: Sequence[Shard], side: int) -> None:
        self._paths, self._shards = tuple(paths), tuple(shards)
        self._ends = np.cumsum([0, *(shard.count for shard in shards)])
        self._lately: dict[int, None] = {}
        super().__init__(int(self._ends[-1]), (side, side))

    def one(self, index: int) -> NDArray[np.uint8]:
        """Read an image."""
        number = int(np.searchsorted(self._ends, index, side="right")) - 1
        path, place = self._paths[number], index - int(self._ends[number])
        size = self._shards[number].sizes[place]
        try:
            with path.open("rb") as file:
                self._announce(number, file.fileno())
                content = os.pread(file.fileno(), size, self._offsets[number][place])
            with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
                pixels = np.asarray(picture)
        except (OSError, SyntaxError) as error:  # Pillow's, of a damaged file
            raise DataError(f"{path}: image {index} cannot be read ({error}): copy the shard again") from error
        if pixels.shape != self.shape[1:] or pixels.dtype != self.dtype:
            raise DataError(f"{path}: image {index} does not have the prepared size: copy the shard again")
        return pixels

    def several(self, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Read images side by side."""
        return list(self._readers.map(self.one, indices))

    @cached_property
    def _readers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1), thread_name_prefix="shards")

    @cached_property
    def _offsets(self) -> tuple[tuple[int, ...], ...]:
        return tuple(_places(shard)[0] for shard in self._shards)

    def _announce(self, number: int, descriptor: int) -> None:
        if number in self._lately or not hasattr(os, "posix_fadvise"):
            return
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        self._lately = dict.fromkeys([*self._lately, number][-_LATELY:])


def _places(shard: Shard) -> tuple[tuple[int, ...], int]:
    """Return where each member's content begins in a tar file, and where the last one ends."""
    places, end = [], 0
    for size in shard.sizes:
        places.append(end + _BLOCK)  # after its header
        end += _BLOCK + -(-size // _BLOCK) * _BLOCK
    return tuple(places), end


def _png(image: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def _write(path: Path, mode: str, content: bytes) -> None:
    with path.open(mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _count(shards: Sequence[Shard]) -> int:
    return sum(shard.count for shard in shards)
