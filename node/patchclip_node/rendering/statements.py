"""What an object of any maker says of images, as statements; the killable side of reading what archives return."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import Dataset
from scipy import ndimage

from patchclip_core.errors import PatchClipError
from patchclip_core.io import DecodeLimits, limited_child
from patchclip_node.dicom import codes
from patchclip_node.dicom.headers import read_dataset, referred_to, text
from patchclip_node.domain.errors import NodeError
from patchclip_node.domain.returned import ReadObject, Statement
from patchclip_node.domain.verdicts import MOST_BOXES, SMALLEST_BOX_PX, Box
from patchclip_node.rendering.marks import Area, CannotRenderError, Heat, Line, Mark, Shape, Words, code_of, meaning
from patchclip_node.rendering.render import read_marks
from patchclip_node.rendering.reports import walk

_STATES: Final = {
    (codes.PRESENT.value, codes.PRESENT.scheme_designator): True,
    (codes.ABSENT.value, codes.ABSENT.scheme_designator): False,
    ("2667000", "SCT"): False,  # Absent, as CID 240 of today has it
}
_PERSON_OBSERVER: Final = "121008"
"""(121008, DCM, Person Observer Name)."""

_HALF: Final = 0.5


def statements(object_path: Path, image_paths: Sequence[Path], limits: DecodeLimits) -> ReadObject:
    """Return what an object says of these images.

    Raises `CannotRenderError` and `UnreadableInstanceError`; of an image of which it cannot be read alone, that is
    among what is unclear.
    """
    header = read_dataset(object_path)
    if "Rows" in header:
        limits.check_pixels(int(header.Rows), int(header.get("Columns") or 0))
    named = referred_to(header)
    said: list[Statement] = []
    unclear: list[str] = []
    for path in image_paths:
        image = read_dataset(path)
        if str(image.SOPInstanceUID) not in named:
            continue
        said += _evaluations(header, image, alone=len(image_paths) == 1)
        if text(header, "Modality") == "KO":
            continue
        try:
            marks = read_marks(object_path, header, image).marks
        except CannotRenderError as error:
            unclear.append(str(error))
            continue
        said += [one for mark in marks for one in _of_mark(mark, image)]
    return ReadObject(
        tuple(said), frozenset(named), code_of(header, "ConceptNameCodeSequence"), _author(header), tuple(unclear)
    )


def _of_mark(mark: Mark, image: Dataset) -> Iterator[Statement]:
    """Yield one statement of a mark; of a layer of annotations one for each text that names something in it."""
    uid = str(image.SOPInstanceUID)
    boxes = tuple(_boxes(mark.shapes, int(image.Rows), int(image.Columns)))
    words = [shape.text for shape in mark.shapes if isinstance(shape, Words)]
    for name in words or [mark.name]:
        yield Statement(uid, mark.code, name, True, boxes)


def _boxes(shapes: Sequence[Shape], rows: int, columns: int) -> Iterator[Box]:
    """Yield the box around each outline and each part of an area, within the image; the largest ones."""
    found: list[tuple[float, float, float, float]] = []
    for shape in shapes:
        if isinstance(shape, Line):
            found.append((*shape.points.min(axis=0).tolist(), *shape.points.max(axis=0).tolist()))
        elif isinstance(shape, (Area, Heat)):
            mask = shape.mask if isinstance(shape, Area) else shape.values >= _HALF
            if mask.shape != (rows, columns):
                continue
            labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
            for down, across in ndimage.find_objects(labels):
                found.append((across.start, down.start, across.stop, down.stop))
    inside = [
        Box(max(left, 0), max(top, 0), min(right, columns) - max(left, 0), min(bottom, rows) - max(top, 0))
        for left, top, right, bottom in found
    ]
    kept = sorted((box for box in inside if min(box.w, box.h) >= SMALLEST_BOX_PX), key=lambda box: -box.w * box.h)
    yield from kept[:MOST_BOXES]


def _evaluations(header: Dataset, image: Dataset, *, alone: bool) -> Iterator[Statement]:
    """Yield what a report says without a place: code items named by a finding, whose value is present or absent.

    alone: an item that names no image speaks of this one.
    """
    uid = str(image.SOPInstanceUID)
    for visit in walk(header):
        if text(visit.item, "ValueType").upper() != "CODE":
            continue
        is_there = _STATES.get(code_of(visit.item, "ConceptCodeSequence"))
        named = referred_to(visit.item)
        if is_there is not None and (uid in named or (not named and alone)):
            name = visit.item.get("ConceptNameCodeSequence")
            yield Statement(uid, code_of(visit.item, "ConceptNameCodeSequence"), meaning(name), is_there)


def _author(header: Dataset) -> str:
    for item in header.get("VerifyingObserverSequence") or ():
        if _is_known(name := text(item, "VerifyingObserverName")):
            return name
    for visit in walk(header):
        is_author = code_of(visit.item, "ConceptNameCodeSequence")[0] == _PERSON_OBSERVER
        if is_author and _is_known(name := text(visit.item, "PersonName")):
            return name
    return text(header, "ContentCreatorName") or text(header, "OperatorsName")


def _is_known(name: str) -> bool:
    return bool(name) and "unknown" not in name.casefold()


def main(argv: Sequence[str]) -> None:
    """Read `OBJECT IMAGE...`, under the limits before them; answers with a line of JSON."""
    limits, arguments, answers = limited_child.enter(argv)
    with limited_child.bounded(limits):
        answer = _answered(Path(arguments[0]), [Path(one) for one in arguments[1:]], limits)
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _answered(object_path: Path, image_paths: Sequence[Path], limits: DecodeLimits) -> dict[str, object]:
    try:
        read = statements(object_path, image_paths, limits)
    except (PatchClipError, NodeError, OSError) as error:
        return {"error": str(error)}
    except (MemoryError, RecursionError):
        return {"error": "reading it takes more memory or is nested more deeply than is allowed"}
    except Exception as error:  # noqa: BLE001 - the boundary to the parent: foreign bytes make readers raise anything
        return {"error": f"the object is damaged or unusual ({type(error).__name__}: {error})"}
    return asdict(read) | {"refers_to": sorted(read.refers_to)}


if __name__ == "__main__":
    main(sys.argv)
