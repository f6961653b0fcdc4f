"""`predictions.jsonl` while it grows: a line is on disk once its image is analysed, and a later run goes on there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from patchclip_trainer.data.shards import write_atomically
from patchclip_trainer.errors import DataError

_SUFFIX = ".from.json"
"""Beside the lines: the digests of what they were made from."""


class Journal:
    """Appends lines to a file; those of an earlier run with the same weights, images and code can be taken over."""

    def __init__(self, path: Path, kept: frozenset[str]) -> None:
        self._path = path
        self.images = kept
        """Images whose lines were there before."""

    @classmethod
    def open(cls, path: Path, made_from: Mapping[str, str], *, resume: bool) -> Self:
        """Begin a file, or with `resume` go on with the one that is there; a line that was cut off is dropped.

        made_from: digests of all that a line depends on. Raises `DataError` where the lines were made from others.
        """
        source = path.with_suffix(_SUFFIX)
        wanted = dict(made_from)
        try:
            if resume and source.is_file() and path.is_file():
                found = json.loads(source.read_text(encoding="utf-8"))
                if other := [name for name in wanted if found.get(name) != wanted[name]]:
                    raise DataError(
                        f"{path} was made from another {', another '.join(other)}: leave out --resume to begin again, "
                        "or write to another folder"
                    )
                content = path.read_text(encoding="utf-8")
                whole = content[: content.rfind("\n") + 1]
                write_atomically(path, whole)
                return cls(path, frozenset(str(json.loads(line)["image"]) for line in whole.splitlines()))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, "")
            write_atomically(source, json.dumps(wanted, indent=2) + "\n")
        except OSError as error:
            raise DataError(f"cannot keep predictions in {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} cannot be gone on with ({error}): leave out --resume to begin again") from error
        return cls(path, frozenset())

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines that are there, one at a time: all of them may be too large for memory."""
        with self._path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line. Raises `DataError` where the disk is full."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(written(line))
        except OSError as error:
            raise DataError(f"cannot keep predictions in {self._path}: {error.strerror}") from error


def written(line: Mapping[str, Any]) -> str:
    """Write a line as the file has it."""
    return json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"


def digest_of_names(names: Iterable[str]) -> str:
    """Return the SHA-256 of names in their order."""
    return f"sha256:{hashlib.sha256(chr(10).join(names).encode()).hexdigest()}"
