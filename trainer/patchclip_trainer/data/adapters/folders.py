"""Plain folders of PNG or JPEG files, without lists."""

from __future__ import annotations

from pathlib import Path

from patchclip_trainer.data.adapters.adapter import OWN, Adapter
from patchclip_trainer.data.listing import Listing
from patchclip_trainer.data.manifest import ImageRow, Manifest, Place, SplitName

PICTURES = frozenset({".png", ".jpg", ".jpeg"})
_PARTS: dict[str, SplitName] = {"train": "train", "val": "val", "test": "test"}


def files(folder: Path) -> list[str]:
    """Return all files below a folder, hidden ones left out, relative to it with forward slashes, in order."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))


def by_name(folder: Path, suffixes: frozenset[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return file name -> path for the files with these suffixes, and path -> its copies, where several have one name.

    Of several the largest file counts, since the others are copies at smaller sizes; of equal ones the first.
    """
    found: dict[str, list[str]] = {}
    for path in files(folder):
        if Path(path).suffix.lower() in suffixes:
            found.setdefault(Path(path).name, []).append(path)
    ordered = {
        name: sorted(paths, key=lambda path: -(folder / path).stat().st_size) if len(paths) > 1 else paths
        for name, paths in found.items()
    }
    copies = {paths[0]: paths[1:] for paths in ordered.values() if len(paths) > 1}
    return {name: paths[0] for name, paths in ordered.items()}, copies


def read(folder: Path) -> Manifest:
    """Read a folder: a sub-folder is a patient; an image that lies in none is a separate patient.

    Sub-folders called train, val or test (at the top) are the parts.
    """
    listing = Listing(folder)
    for path in files(folder):
        parts = path.split("/")
        split: SplitName = _PARTS.get(parts[0], "") if len(parts) > 1 else ""
        inner = parts[1:] if split else parts
        place = Place(path)
        if Path(path).suffix.lower() not in PICTURES:
            listing.problem(place, "other file", "neither PNG nor JPEG", "file left out")
            continue
        patient = inner[0] if len(inner) > 1 and inner[0] != "images" else f"image {path}"
        if patient.startswith("image "):
            listing.problem(place, "no patient", "no folder of a patient", "the image counts as a separate patient")
        listing.add_image(ImageRow(path, patient, split=split, source=OWN, place=place))
    return listing.manifest()


def _recognises(folder: Path) -> bool:
    return any(path.suffix.lower() in PICTURES for path in folder.rglob("*"))


PICTURE_FOLDER = Adapter(
    name="pictures",
    title="a folder of PNG or JPEG files, a sub-folder a patient",
    recognises=_recognises,
    read=read,
    identifying=True,
)
