"""COCO JSON: images, annotations with boxes [x, y, w, h], categories; one file, or one a part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from patchclip_core.values.results import Box
from patchclip_trainer.data.adapters.adapter import OWN, Adapter
from patchclip_trainer.data.adapters.folders import PICTURES, by_name
from patchclip_trainer.data.listing import Listing, edges_of, split_of
from patchclip_trainer.data.manifest import BoxRow, ImageRow, Manifest, Place, SplitName
from patchclip_trainer.errors import DataError

_KEYS = (b'"images"', b'"annotations"', b'"categories"')


def read(folder: Path) -> Manifest:
    """Read each COCO file. `train`, `val` or `test` in its name is the part; `patient_id` of an image is kept to."""
    listing = Listing(folder)
    paths, _ = by_name(folder, PICTURES | {".dcm"})
    for path in _lists(folder):
        content = _content(path)
        file = path.relative_to(folder).as_posix()
        split = _split_in(path.stem)
        categories = {entry.get("id"): str(entry.get("name", "")) for entry in content["categories"]}
        images: dict[Any, str] = {}
        # JSON is not read by lines: the number is that of the entry in its list.
        for index, entry in enumerate(content["images"], start=1):
            name, place = str(entry.get("file_name", "")), Place(f"{file} images", index)
            image = name if (folder / name).is_file() else paths.get(Path(name).name, name)
            patient = str(entry.get("patient_id", ""))
            if not patient:
                what = f"{name} has no patient_id"
                listing.problem(place, "no patient", what, "the image counts as a separate patient")
            images[entry.get("id")] = image
            listing.add_image(
                ImageRow(
                    image=image,
                    patient_id=patient or f"image {name}",
                    split=split,
                    source=OWN,
                    width_px=_pixels(entry.get("width")),
                    height_px=_pixels(entry.get("height")),
                    place=place,
                )
            )
        for index, entry in enumerate(content["annotations"], start=1):
            place = Place(f"{file} annotations", index)
            finding = categories.get(entry.get("category_id"))
            if finding is None:
                what = f"there is no category {entry.get('category_id')}"
                listing.problem(place, "unknown finding", what, "box left out")
                continue
            box = Box(*edges_of(entry.get("bbox")))
            image = images.get(entry.get("image_id"), f"image {entry.get('image_id')}")
            listing.add_box(BoxRow(image, finding, box, source=OWN, place=place))
    return listing.manifest()


def _lists(folder: Path) -> list[Path]:
    found = sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")])
    return [path for path in found if _looks_like_coco(path)]


def _looks_like_coco(path: Path) -> bool:
    content = path.read_bytes()
    return all(key in content for key in _KEYS)


def _content(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not all(_is_list_of_objects(content.get(key)) for key in ("images", "annotations", "categories")):
            raise DataError(f"{path}: images, annotations and categories are meant to be lists of objects")
    except (UnicodeDecodeError, json.JSONDecodeError, AttributeError) as error:
        raise DataError(f"{path}: it cannot be read as COCO JSON ({error})") from error
    return content


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _pixels(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _split_in(stem: str) -> SplitName:
    for part in stem.replace("-", "_").split("_"):
        if split := split_of("".join(letter for letter in part if letter.isalpha())):
            return split
    return ""


COCO = Adapter(
    name="coco",
    title="COCO JSON with images",
    recognises=lambda folder: bool(_lists(folder)),
    read=read,
    identifying=True,
)
