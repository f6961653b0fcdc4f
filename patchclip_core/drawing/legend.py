"""The legend beside the radiograph: every finding with its state, probability and threshold, and who says so."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from PIL import ImageDraw, ImageFont

from patchclip_core.prompts import FindingDefinition
from patchclip_core.types import Finding, Findings, FindingState, Radiograph
from patchclip_core.wording import RESEARCH_STATEMENT, Wording, calibration_line, model_line, percent, training_line

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

_SPELT_OUT: Final = {
    "ä": "ae",
    "ö": "oe",
    "ü": "ue",
    "Ä": "Ae",
    "Ö": "Oe",
    "Ü": "Ue",
    "ß": "ss",
    "œ": "oe",
    "Œ": "Oe",
}
_NAME_SIZES_PX: Final = (26, 22, 18, 15)

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size_px: int) -> Font:
    """Return Pillow's own typeface, so that a picture is the same on every machine."""
    return ImageFont.load_default(size_px)


def drawable(words: str) -> str:
    """Return words in the letters that Pillow's typeface has: it knows none with an accent, an umlaut or a ligature."""
    plain = unicodedata.normalize("NFKD", "".join(_SPELT_OUT.get(letter, letter) for letter in words))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def legend_height_px(radiograph: Radiograph, findings: Findings, wording: Wording) -> int:
    """Return the height that the legend needs."""
    notes = sum(1 for _ in _notes(radiograph, findings, wording))
    return _HEAD_PX + _ROW_PX * len(findings.items) + _LINE_PX * notes + 2 * _MARGIN_PX


def draw_legend(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    height_px: int,
    radiograph: Radiograph,
    findings: Findings,
    definitions: Mapping[str, FindingDefinition],
    wording: Wording,
) -> None:
    """Draw the legend with its top-left corner at `corner`, its notes at the bottom of `height_px`."""
    left, right = corner[0] + _MARGIN_PX, corner[0] + LEGEND_WIDTH_PX - _MARGIN_PX
    top = corner[1] + _MARGIN_PX
    draw.text((left, top), wording.say("Findings"), font=font(40), fill=_BRIGHT)
    draw.text((left, top + 52), wording.say("probability, mark: threshold"), font=font(20), fill=_DIM)
    for row, finding in enumerate(findings):
        _draw_row(draw, left, right, top + _HEAD_PX + row * _ROW_PX, finding, definitions[finding.key], wording)
    notes = list(_notes(radiograph, findings, wording))
    y = corner[1] + height_px - _MARGIN_PX - _LINE_PX * len(notes)
    for line, colour in notes:
        draw.text((left, y), line, font=font(20), fill=colour)
        y += _LINE_PX


def _draw_row(
    draw: ImageDraw.ImageDraw,
    left: int,
    right: int,
    y: int,
    finding: Finding,
    definition: FindingDefinition,
    wording: Wording,
) -> None:
    present = finding.state is FindingState.PRESENT
    colour = definition.colour_rgb if present else _DIM
    draw.rounded_rectangle(
        (left, y + 4, left + 20, y + 24), radius=4, fill=definition.colour_rgb if present else _FAINT
    )
    bar_y = y + 44
    if finding.probability is None or finding.threshold is None:
        _draw_name(draw, left, right, y, definition.name, wording.say("not evaluated"), _DIM, _DIM)
        draw.rounded_rectangle((left, bar_y, right, bar_y + 10), radius=5, outline=_FAINT)
        return
    state = "experimental" if finding.experimental and not present else str(finding.state)
    said = f"{wording.say(state)}  {percent(finding.probability)}"
    _draw_name(draw, left, right, y, definition.name, said, _BRIGHT if present else _DIM, colour)
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


def _draw_name(
    draw: ImageDraw.ImageDraw, left: int, right: int, y: int, name: str, said: str, colour: Colour, said_colour: Colour
) -> None:
    """Write a finding's name and what is said of it on one line, the name smaller where both would not fit."""
    draw.text((right, y), said, font=font(26), fill=said_colour, anchor="ra")
    room = right - left - 34 - draw.textlength(said, font=font(26)) - 12
    size = next((size for size in _NAME_SIZES_PX if draw.textlength(name, font=font(size)) <= room), _NAME_SIZES_PX[-1])
    draw.text((left + 34, y + 13), name, font=font(size), fill=colour, anchor="lm")


def _notes(radiograph: Radiograph, findings: Findings, wording: Wording) -> Iterator[tuple[str, Colour]]:
    """Yield the lines at the bottom and their colours."""
    model = findings.model
    for remark in dict.fromkeys((*radiograph.remarks, *findings.remarks)):
        yield from ((line, _DIM) for line in _wrapped(wording.repeat(remark)))
    yield from ((line, _DIM) for line in _wrapped(model_line(model, wording)))
    if not model.trained:
        yield from ((line, _WARNING) for line in _wrapped(wording.say("The model is untrained.")))
    else:
        yield from ((line, _DIM) for line in _wrapped(training_line(model, wording)))
        colour = _DIM if model.calibrated else _WARNING
        yield from ((line, colour) for line in _wrapped(calibration_line(model, wording)))
    yield from ((line, _BRIGHT) for line in _wrapped(wording.say(RESEARCH_STATEMENT)))


def _wrapped(sentence: str) -> Iterator[str]:
    return wrapped(sentence, 20, LEGEND_WIDTH_PX - 2 * _MARGIN_PX)


def wrapped(sentence: str, size_px: int, room: float) -> Iterator[str]:
    """Break a sentence into lines that are at most `room` pixels wide in letters of this size, where words allow it."""
    face, line = font(size_px), ""
    for word in sentence.split():
        longer = f"{line} {word}".strip()
        if line and face.getlength(longer) > room:
            yield line
            line = word
        else:
            line = longer
    if line:
        yield line
