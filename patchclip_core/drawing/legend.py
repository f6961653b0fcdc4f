"""The legend beside the radiograph: every finding with its state, probability and threshold, and who says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from PIL import ImageDraw, ImageFont

from patchclip_core.prompts import FindingDefinition
from patchclip_core.types import Finding, Findings, FindingState, Radiograph
from patchclip_core.wording import RESEARCH_STATEMENT, percent, short_digest

LEGEND_WIDTH_PX: Final = 540
BACKGROUND: Final = (16, 18, 22)

_MARGIN_PX: Final = 36
_HEAD_PX: Final = 112
_ROW_PX: Final = 90
_LINE_PX: Final = 28
_BRIGHT: Final = (238, 240, 244)
_DIM: Final = (150, 156, 166)
_FAINT: Final = (58, 62, 70)
_WARNING: Final = (255, 120, 96)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size_px: int) -> Font:
    """Return Pillow's own typeface, so that a picture is the same on every machine."""
    return ImageFont.load_default(size_px)


def legend_height_px(radiograph: Radiograph, findings: Findings) -> int:
    """Return the height that the legend needs."""
    notes = sum(1 for _ in _notes(radiograph, findings))
    return _HEAD_PX + _ROW_PX * len(findings.items) + _LINE_PX * notes + 2 * _MARGIN_PX


def draw_legend(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    height_px: int,
    radiograph: Radiograph,
    findings: Findings,
    definitions: Mapping[str, FindingDefinition],
) -> None:
    """Draw the legend with its top-left corner at `corner`, its notes at the bottom of `height_px`."""
    left, right = corner[0] + _MARGIN_PX, corner[0] + LEGEND_WIDTH_PX - _MARGIN_PX
    top = corner[1] + _MARGIN_PX
    draw.text((left, top), "Findings", font=font(40), fill=_BRIGHT)
    draw.text((left, top + 52), "probability, mark: threshold", font=font(20), fill=_DIM)
    for row, finding in enumerate(findings):
        _draw_row(draw, left, right, top + _HEAD_PX + row * _ROW_PX, finding, definitions[finding.key])
    notes = list(_notes(radiograph, findings))
    y = corner[1] + height_px - _MARGIN_PX - _LINE_PX * len(notes)
    for line, colour in notes:
        draw.text((left, y), line, font=font(20), fill=colour)
        y += _LINE_PX


def _draw_row(
    draw: ImageDraw.ImageDraw, left: int, right: int, y: int, finding: Finding, definition: FindingDefinition
) -> None:
    present = finding.state is FindingState.PRESENT
    colour = definition.colour_rgb if present else _DIM
    draw.rounded_rectangle(
        (left, y + 4, left + 20, y + 24), radius=4, fill=definition.colour_rgb if present else _FAINT
    )
    draw.text((left + 34, y), definition.name, font=font(26), fill=_BRIGHT if present else _DIM)
    bar_y = y + 44
    if finding.probability is None or finding.threshold is None:
        draw.text((right, y), "not evaluated", font=font(24), fill=_DIM, anchor="ra")
        draw.rounded_rectangle((left, bar_y, right, bar_y + 10), radius=5, outline=_FAINT)
        return
    state = "experimental" if finding.experimental and not present else str(finding.state)
    draw.text((right, y), f"{state}  {percent(finding.probability)}", font=font(26), fill=colour, anchor="ra")
    draw.rounded_rectangle((left, bar_y, right, bar_y + 10), radius=5, fill=_FAINT)
    filled = left + max(10, round((right - left) * finding.probability))
    draw.rounded_rectangle((left, bar_y, filled, bar_y + 10), radius=5, fill=colour)
    mark = left + round((right - left) * finding.threshold)
    draw.line((mark, bar_y - 5, mark, bar_y + 15), fill=_BRIGHT, width=2)
    draw.text(
        (min(max(mark, left + 24), right - 24), bar_y + 17),
        percent(finding.threshold),
        font=font(16),
        fill=_DIM,
        anchor="ma",
    )


def _notes(radiograph: Radiograph, findings: Findings) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield the lines at the bottom and their colours."""
    model = findings.model
    for remark in dict.fromkeys((*radiograph.remarks, *findings.remarks)):
        yield from ((line, _DIM) for line in _wrapped(remark))
    yield from ((line, _DIM) for line in _wrapped(f"{model.name} {model.version}, weights {short_digest(model)}"))
    if not model.trained:
        yield "The model is untrained.", _WARNING
    elif not model.calibrated:
        yield "The probabilities are not calibrated.", _WARNING
    yield RESEARCH_STATEMENT, _BRIGHT


def _wrapped(sentence: str) -> Iterator[str]:
    """Break a sentence into lines that fit the legend."""
    face, room, line = font(20), LEGEND_WIDTH_PX - 2 * _MARGIN_PX, ""
    for word in sentence.split():
        longer = f"{line} {word}".strip()
        if line and face.getlength(longer) > room:
            yield line
            line = word
        else:
            line = longer
    if line:
        yield line
