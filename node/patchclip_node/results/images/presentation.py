"""The Grayscale Softcopy Presentation State of an image: outlines and words that a viewer draws over it.

It shows the image as the analysis did: the same Modality and VOI transforms, the same polarity (PS3.4 N.2). What it
says of a place is in the pixels of the source, as in the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from highdicom.color import CIELabColor
from pydicom import Dataset

from patchclip_core.places.contours import Line, outlines
from patchclip_core.values.results import Finding, Findings, FindingState, Region
from patchclip_node.results.context import Subject
from patchclip_node.results.images.grayscale import softcopy_modules

_NOTICE_LAYER: Final = "AI_NOTICE"
_NOTICE_PLACES: Final = ((0.02, 0.2), (0.8, 0.98))
_LABEL_HEIGHT: Final = 0.03
"""Of a display, as viewers draw it."""
_MOST_CHARACTERS: Final = 1024


def is_annotated(findings: Findings) -> bool:
    """Tell whether there is something to draw over an image."""
    return bool(findings.found)


def presentation_state(subject: Subject) -> Dataset:
    """Return the presentation state of one image.

    Each finding that was found has a layer of its colour, with the outlines of its mask and a label. Those without a
    place stand in the notice at the top, or at the bottom where that hides less.
    """
    facts, phrases = subject.facts, subject.phrases
    state = Dataset()
    state.ContentLabel, state.ContentDescription = "PATCHCLIP", phrases.say("AI findings, not for diagnosis")[:64]
    state.ContentCreatorName = None
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = facts.series_instance_uid, [facts.reference()]
    state.ReferencedSeriesSequence = [series]
    state.DisplayedAreaSelectionSequence = [_whole_image(subject)]
    state.update(softcopy_modules(subject.image.display))
    found = enumerate(subject.image.findings.found, 1)
    placed = [(f"AI_{order}", finding) for order, finding in found if finding.regions]
    state.GraphicAnnotationSequence = [
        *(_annotation(layer, finding, subject) for layer, finding in placed),
        _notice(subject),
    ]
    state.GraphicLayerSequence = [
        *(
            _layer(layer, order, phrases.name(finding), phrases.definitions[finding.key].colour_rgb)
            for order, (layer, finding) in enumerate(placed, 1)
        ),
        _layer(_NOTICE_LAYER, len(placed) + 1, phrases.say("what to know of these annotations"), None),
    ]
    state.update(facts.body_part.dataset())
    state.PresentationCreationDate, state.PresentationCreationTime = subject.moment
    return state


def _whole_image(subject: Subject) -> Dataset:
    facts, area = subject.facts, Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [facts.columns, facts.rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    if facts.spacing_mm is not None:
        area.PresentationPixelSpacing = list(facts.spacing_mm)
    else:
        area.PresentationPixelAspectRatio = list(facts.pixel_aspect_ratio or (1, 1))
    return area


def _annotation(layer: str, finding: Finding, subject: Subject) -> Dataset:
    from patchclip_core.places.regions import region_mask  # noqa: PLC0415 - scipy is the worker's: who delivers does without

    annotation = Dataset()
    annotation.GraphicLayer = layer
    findings = subject.image.findings
    mask = region_mask(finding, findings.geometry, body=findings.body)
    annotation.GraphicObjectSequence = [_polyline(line) for line in outlines(mask)]
    annotation.TextObjectSequence = [_label(finding, finding.regions[0], subject)]
    return annotation


def _polyline(points: Line) -> Dataset:
    """Return a graphic object; what is left of a line's points always fits the 16-bit length of its element."""
    graphic = Dataset()
    graphic.GraphicAnnotationUnits, graphic.GraphicDimensions = "PIXEL", 2
    graphic.NumberOfGraphicPoints, graphic.GraphicData = len(points), [float(value) for value in points.ravel()]
    graphic.GraphicType, graphic.GraphicFilled = "POLYLINE", "N"
    return graphic


def _label(finding: Finding, region: Region, subject: Subject) -> Dataset:
    """Return the finding's name and verdict, above its clearest region; the reports have the numbers."""
    label = Dataset()
    label.UnformattedTextValue = subject.phrases.statement(finding).headline
    label.AnchorPointAnnotationUnits, label.AnchorPoint = "PIXEL", [float(region.x), float(region.y)]
    label.AnchorPointVisibility = "N"
    return label


def _notice(subject: Subject) -> Dataset:
    lines = Dataset()
    lines.UnformattedTextValue = _that_fits(_notice_lines(subject))
    lines.BoundingBoxAnnotationUnits = "DISPLAY"
    top, bottom = _notice_place(subject)
    lines.BoundingBoxTopLeftHandCorner, lines.BoundingBoxBottomRightHandCorner = [0.02, top], [0.98, bottom]
    lines.BoundingBoxTextHorizontalJustification = "LEFT"
    annotation = Dataset()
    annotation.GraphicLayer, annotation.TextObjectSequence = _NOTICE_LAYER, [lines]
    return annotation


def _notice_place(subject: Subject) -> tuple[float, float]:
    """Return top and bottom of the notice as parts of the display: above, or below where that hides less.

    A label, which stands at the top of its finding's first region, counts before an outline.
    """
    rows = subject.facts.rows
    places = [
        [(region.y / rows, (region.y + region.h) / rows) for region in finding.regions]
        for finding in subject.image.findings.found
        if finding.regions
    ]

    def hidden(band: tuple[float, float]) -> tuple[int, int]:
        labels = sum(band[0] <= first[0] + _LABEL_HEIGHT and first[0] <= band[1] for first, *_ in places)
        return labels, sum(start < band[1] and end > band[0] for each in places for start, end in each)

    return min(_NOTICE_PLACES, key=hidden)


def _that_fits(lines: Iterable[str]) -> str:
    """Join the lines for which an ST has room (PS3.5 6.2); they come with what matters most first."""
    said = ""
    for line in lines:
        longer = f"{said}\r\n{line}" if said else line
        said = longer if len(longer) <= _MOST_CHARACTERS else said
    return said


def _notice_lines(subject: Subject) -> Iterator[str]:
    """Yield few and short lines: they lie over the image. The reports say the rest."""
    phrases, findings = subject.phrases, subject.image.findings
    first, *others = phrases.honesty(subject.model)
    yield phrases.say("AI: {statement}", statement=first)
    yield from others
    for finding in findings.found:
        if not finding.regions:
            yield phrases.statement(finding, subject.facts).in_short
    unknown = [phrases.name(finding) for finding in findings if finding.state is FindingState.NOT_EVALUATED]
    if unknown:
        yield phrases.say("Not evaluated: {findings}.", findings=", ".join(unknown))
    yield from phrases.remarks(subject.image)


def _layer(name: str, order: int, description: str, colour_rgb: tuple[int, int, int] | None) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = name, order
    layer.GraphicLayerDescription = description[:64]
    if colour_rgb is not None:
        layer.GraphicLayerRecommendedDisplayCIELabValue = list(CIELabColor.from_rgb(*colour_rgb).value)
    return layer
