"""Structured reports: regions with their names and numbers, and what is said without a place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset

from patchclip_core.values.definitions import load_findings
from patchclip_node.dicom import codes
from patchclip_node.dicom.headers import referred_to, text
from patchclip_node.rendering.marks import (
    MAXIMUM_CONTENT_ITEMS,
    MAXIMUM_MARKS,
    CannotRenderError,
    Colour,
    Mark,
    Marks,
    code_of,
    graphic,
    meaning,
    palette,
    points_of,
    short,
)

_OF_A_GROUP: Final = 2
"""So far above a region its group lies: some viewers put regions below a number of their group (TID 1410, row 9)."""


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """A content item and its ancestors, the nearest first."""

    item: Dataset
    ancestors: tuple[Dataset, ...]


def read_report(header: Dataset, image: Dataset) -> Marks:
    """Return a mark for each region of this image, and everything else that the report says as notes."""
    visits = list(walk(header))
    regions = [visit for visit in visits if _is(visit.item, "SCOORD")]
    of_image = [visit for visit in regions if _is_on(visit.item, image, visits)]
    if len(of_image) > MAXIMUM_MARKS:
        raise CannotRenderError(f"the report has {len(of_image)} regions, more than {MAXIMUM_MARKS}")
    colours = _colours()
    marks = [_mark(visit, image, colours, order) for order, visit in enumerate(of_image)]
    told = {id(item) for visit in of_image for item in (visit.item, *visit.ancestors[:1])}
    notes = [note for visit in visits if (note := _note(visit, told))]
    if any(_is(visit.item, "SCOORD3D") for visit in visits):
        notes.append("regions in space (SCOORD3D) cannot be drawn over a projection")
    title = meaning(header.get("ConceptNameCodeSequence"))
    return Marks(tuple(marks), (f"{title or 'report'}, {len(marks)} of {len(regions)} regions drawn", *notes))


def walk(root: Dataset) -> Iterator[Visit]:
    """Yield every content item below the root, in the order of the tree, without recursion."""
    waiting = [Visit(item, (root,)) for item in reversed(root.get("ContentSequence") or ())]
    seen = 0
    while waiting:
        visit = waiting.pop()
        seen += 1
        if seen > MAXIMUM_CONTENT_ITEMS:
            raise CannotRenderError(f"the report has more than {MAXIMUM_CONTENT_ITEMS} content items")
        yield visit
        children = visit.item.get("ContentSequence") or ()
        waiting += [Visit(child, (visit.item, *visit.ancestors[:8])) for child in reversed(children)]


def _is(item: Dataset, value_type: str) -> bool:
    return text(item, "ValueType").upper() == value_type


def _is_on(region: Dataset, image: Dataset, visits: list[Visit]) -> bool:
    """Tell whether a region is selected from this image; one that names no image belongs to the only image there is."""
    named = referred_to(region)
    if named:
        return str(image.SOPInstanceUID) in named
    images = {uid for visit in visits if _is(visit.item, "IMAGE") for uid in referred_to(visit.item)}
    return len(images) <= 1


def _mark(visit: Visit, image: Dataset, colours: dict[tuple[str, str], Colour], order: int) -> Mark:
    around = visit.ancestors[0]
    siblings = list(around.get("ContentSequence") or ())
    near = [item for one in visit.ancestors[:_OF_A_GROUP] for item in one.get("ContentSequence") or ()]
    finding, comment, tracking = (
        next((item for item in near if code_of(item, "ConceptNameCodeSequence")[0] == code.value), None)
        for code in (codes.FINDING, codes.COMMENT, codes.TRACKING_IDENTIFIER)
    )
    named = finding if finding is not None else Dataset()
    name = (
        meaning(named.get("ConceptCodeSequence"))
        or short(text(comment, "TextValue") if comment is not None else "")  # where OHIF puts its label
        or short(text(tracking, "TextValue") if tracking is not None else "")
        or meaning(around.get("ConceptNameCodeSequence"))
        or meaning(visit.item.get("ConceptNameCodeSequence"))
        or "region"
    )
    beside = [item for item in (around, *siblings) if item is not finding]
    shape = graphic(text(visit.item, "GraphicType"), points_of(visit.item.get("GraphicData"), image))
    code = code_of(named, "ConceptCodeSequence")
    return Mark(name, colours.get(code, palette(order)), (shape,), tuple(filter(None, map(_said, beside))), code)


def _said(item: Dataset) -> str:
    """Say a NUM, CODE or TEXT item in a line: 'Finding Site: Lung (Laterality: Left)'; '' for any other."""
    if _is(item, "NUM"):
        return _number(item)
    name = meaning(item.get("ConceptNameCodeSequence"))
    if _is(item, "TEXT"):
        return short(f"{name}: {text(item, 'TextValue')}")
    if not _is(item, "CODE"):
        return ""
    within = ", ".join(filter(None, (_said(child) for child in item.get("ContentSequence") or ())))
    return short(f"{name}: {meaning(item.get('ConceptCodeSequence'))}{f' ({within})' if within else ''}")


def _number(item: Dataset) -> str:
    """Say a NUM item: 'lung opacity, present: 87 % (Finding Site: Lung (Laterality: Left))'."""
    measured = item.get("MeasuredValueSequence")
    name = meaning(item.get("ConceptNameCodeSequence"))
    if not measured:
        return f"{name}: no value"
    unit = code_of(measured[0], "MeasurementUnitsCodeSequence")[0]
    said = f"{name}: {text(measured[0], 'NumericValue')} {'' if unit == '1' else unit}".strip()
    sites = ", ".join(filter(None, map(_said, item.get("ContentSequence") or ())))
    return short(f"{said} ({sites})" if sites else said)


def _note(visit: Visit, told: set[int]) -> str | None:
    """Return what an item says in words, where it speaks of findings and not of the report itself."""
    item = visit.item
    if id(item) in told or any(id(one) in told for one in visit.ancestors) or len(visit.ancestors) < 2:
        return None
    if _is(item, "TEXT") and not _is(visit.ancestors[0], "IMAGE"):  # what an image library says of its images
        return short(text(item, "TextValue")) or None
    return _said(item) or None if _is(visit.ancestors[0], "CONTAINER") else None


def _colours() -> dict[tuple[str, str], Colour]:
    """Return the colours of the findings that this product knows, by their codes."""
    return {(known.code.value, known.code.scheme): known.colour_rgb for known in load_findings().values()}
