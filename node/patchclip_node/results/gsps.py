"""The Grayscale Softcopy Presentation State of an image: outlines and words that a viewer draws over it.

It shows the image as its own header asks for: the same Modality and VOI transforms, the same polarity (PS3.4 N.2). What
it says of a place is in the pixels of the source, as in the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from highdicom.color import CIELabColor
from pydicom import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from patchclip_core.places.contours import Line, outlines
from patchclip_core.places.regions import region_mask
from patchclip_core.values.results import Finding, FindingState, Region
from patchclip_core.values.wording import percent
from patchclip_node.dicom.headers import text
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.equipment import finish
from patchclip_node.results.grayscale import grayscale_transforms
from patchclip_node.results.instance import (
    copy_body_part,
    names_of_image,
    new_instance,
    reference,
)
from patchclip_node.results.series import series_description, series_number
from patchclip_node.results.source import pixel_spacing_mm
from patchclip_node.results.wording import honesty, remarks, state_line

_USUAL: Final = ResultVariant(ResultKind.GSPS)
_NOTICE_LAYER: Final = "AI_NOTICE"
_NOTICE_PLACES: Final = ((0.02, 0.2), (0.8, 0.98))
_LABEL_HEIGHT: Final = 0.03
"""Of a display, as viewers draw it."""
_MOST_CHARACTERS: Final = 1024


def build_gsps(image: AnalysedImage, context: ResultContext, variant: ResultVariant = _USUAL) -> Dataset | None:
    """Return the presentation state of one image, None where no finding is present.

    Each present finding has a layer of its colour, with the outlines of its mask and a label. Findings without a place
    stand in the notice at the top, or at the bottom where that hides less.
    """
    present = image.findings.present
    if not present:
        return None
    source, model = image.source, image.findings.model
    state = new_instance(
        GrayscaleSoftcopyPresentationStateStorage, "PR", names_of_image(variant, image, context), context
    )
    state.SeriesNumber = series_number(variant, context, image)
    state.ContentLabel, state.ContentDescription = (
        "PATCHCLIP",
        context.wording.say("AI findings, not for diagnosis")[:64],
    )
    state.ContentCreatorName = None
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = source.SeriesInstanceUID, [reference(image)]
    state.ReferencedSeriesSequence = [series]
    state.DisplayedAreaSelectionSequence = [_whole_image(source)]
    state.update(grayscale_transforms(source))
    placed = [(f"AI_{order}", finding) for order, finding in enumerate(present, 1) if finding.regions]
    state.GraphicAnnotationSequence = [
        *(_annotation(layer, finding, image, context) for layer, finding in placed),
        _notice(image, context),
    ]
    state.GraphicLayerSequence = [
        *(
            _layer(layer, order, context.definitions[finding.key].name, context.definitions[finding.key].colour_rgb)
            for order, (layer, finding) in enumerate(placed, 1)
        ),
        _layer(_NOTICE_LAYER, len(placed) + 1, context.wording.say("what to know of these annotations"), None),
    ]
    copy_body_part(state, source)
    finish(state, source, model, context, series_description(variant, model, context, image))
    state.PresentationCreationDate, state.PresentationCreationTime = state.ContentDate, state.ContentTime
    del state.ContentDate, state.ContentTime  # a presentation state has the ones above instead
    return state


def _whole_image(source: Dataset) -> Dataset:
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [int(source.Columns), int(source.Rows)]
    area.PresentationSizeMode = "SCALE TO FIT"
    spacing_mm = pixel_spacing_mm(source)
    if spacing_mm is not None:
        area.PresentationPixelSpacing = list(spacing_mm)
    else:
        area.PresentationPixelAspectRatio = _aspect_ratio(source)
    return area


def _aspect_ratio(source: Dataset) -> list[int]:
    """Return height and width of a pixel as a ratio (PS3.3 C.7.6.3.1.7), 1:1 where none is stated."""
    parts = text(source, "PixelAspectRatio").split("\\")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        return [int(part) for part in parts]
    return [1, 1]


def _annotation(layer: str, finding: Finding, image: AnalysedImage, context: ResultContext) -> Dataset:
    annotation = Dataset()
    annotation.GraphicLayer = layer
    mask = region_mask(finding, image.findings.geometry)
    annotation.GraphicObjectSequence = [_polyline(line) for line in outlines(mask)]
    annotation.TextObjectSequence = [_label(finding, finding.regions[0], context)]
    return annotation


def _polyline(points: Line) -> Dataset:
    """Return a graphic object; what is left of a line's points always fits the 16-bit length of its element."""
    graphic = Dataset()
    graphic.GraphicAnnotationUnits, graphic.GraphicDimensions = "PIXEL", 2
    graphic.NumberOfGraphicPoints, graphic.GraphicData = len(points), [float(value) for value in points.ravel()]
    graphic.GraphicType, graphic.GraphicFilled = "POLYLINE", "N"
    return graphic


def _label(finding: Finding, region: Region, context: ResultContext) -> Dataset:
    """Return the finding's name, probability and operating point, above its most probable region."""
    assert finding.threshold is not None
    label = Dataset()
    label.UnformattedTextValue = context.wording.say(
        "{name} {probability} (threshold {threshold})",
        name=context.definitions[finding.key].name,
        probability=percent(finding.probability or 0.0),
        threshold=percent(finding.threshold),
    )
    label.AnchorPointAnnotationUnits, label.AnchorPoint = "PIXEL", [float(region.x), float(region.y)]
    label.AnchorPointVisibility = "N"
    return label


def _notice(image: AnalysedImage, context: ResultContext) -> Dataset:
    lines = Dataset()
    lines.UnformattedTextValue = _that_fits(_notice_lines(image, context))
    lines.BoundingBoxAnnotationUnits = "DISPLAY"
    top, bottom = _notice_place(image)
    lines.BoundingBoxTopLeftHandCorner, lines.BoundingBoxBottomRightHandCorner = [0.02, top], [0.98, bottom]
    lines.BoundingBoxTextHorizontalJustification = "LEFT"
    annotation = Dataset()
    annotation.GraphicLayer, annotation.TextObjectSequence = _NOTICE_LAYER, [lines]
    return annotation


def _notice_place(image: AnalysedImage) -> tuple[float, float]:
    """Return top and bottom of the notice as parts of the display: above, or below where that hides less.

    A label, which stands at the top of its finding's first region, counts before an outline.
    """
    rows = int(image.source.Rows)
    places = [
        [(region.y / rows, (region.y + region.h) / rows) for region in finding.regions]
        for finding in image.findings.present
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


def _notice_lines(image: AnalysedImage, context: ResultContext) -> Iterator[str]:
    """Yield few and short lines: they lie over the image. The reports say the rest."""
    wording, names = context.wording, {finding.key: context.definitions[finding.key].name for finding in image.findings}
    first, *others = honesty(image.findings.model, wording)
    yield wording.say("AI: {statement}", statement=first)
    yield from others
    for finding in image.findings.present:
        if not finding.regions:
            yield wording.say("{line}, no place", line=state_line(names[finding.key], finding, wording))
    unknown = [names[finding.key] for finding in image.findings if finding.state is FindingState.NOT_EVALUATED]
    if unknown:
        yield wording.say("Not evaluated: {findings}.", findings=", ".join(unknown))
    yield from remarks(image, wording)


def _layer(name: str, order: int, description: str, colour_rgb: tuple[int, int, int] | None) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = name, order
    layer.GraphicLayerDescription = description[:64]
    if colour_rgb is not None:
        layer.GraphicLayerRecommendedDisplayCIELabValue = list(CIELabColor.from_rgb(*colour_rgb).value)
    return layer
