"""A folder of several data sets, one a sub-folder, prepared together: one person in two of them is one patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Manifest, Place, Problem
from patchclip_trainer.data.splits import one_split_a_patient


def collection_of(published: Sequence[Adapter], by_files: Sequence[Adapter]) -> Adapter:
    """Return the adapter for folders whose sub-folders are laid out as these read them.

    published: those that tell their data set by its lists; one sub-folder of theirs makes a folder a collection.
    by_files: those that look for files anywhere below; they read what else is in there.
    """

    def members(folder: Path) -> Iterator[tuple[str, Adapter | None]]:
        for part in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            yield part.name, next((one for one in (*published, *by_files) if one.recognises(part)), None)

    def read(folder: Path) -> Manifest:
        images: list[ImageRow] = []
        boxes: list[BoxRow] = []
        problems: list[Problem] = []
        for name, adapter in members(folder):
            if adapter is None:
                what = f"{name} is not laid out as any known data set"
                problems.append(Problem(Place(name), "other folder", what, "folder left out"))
                continue
            found = _within(adapter.read(folder / name), name)
            images += found.images
            boxes += found.boxes
            problems += found.problems
        rows, torn = one_split_a_patient(images)
        return Manifest(rows, tuple(boxes), (*problems, *torn))

    return Adapter(
        name="collection",
        title="several data sets, a sub-folder each",
        recognises=lambda folder: any(adapter in published for _, adapter in members(folder)),
        read=read,
        identifying=lambda folder: any(
            adapter.identifies(folder / name) for name, adapter in members(folder) if adapter is not None
        ),
    )


def _within(manifest: Manifest, folder: str) -> Manifest:
    def place(of: Place) -> Place:
        return Place(f"{folder}/{of.file}", of.line)

    return Manifest(
        tuple(replace(row, image=f"{folder}/{row.image}", place=place(row.place)) for row in manifest.images),
        tuple(replace(box, image=f"{folder}/{box.image}", place=place(box.place)) for box in manifest.boxes),
        tuple(replace(problem, place=place(problem.place)) for problem in manifest.problems),
    )
