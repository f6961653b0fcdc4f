"""The legend beside the radiograph: every finding with its state, probability and threshold, and who says so."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from typing import Final

from PIL import ImageDraw, ImageFont

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding, Findings, FindingState, ModelIdentity
from patchclip_core.values.wording import (
    RESEARCH_STATEMENT,
    Wording,
    calibration_line,
    model_line,
    percent,
    training_line,
)

LEGEND_WIDTH_PX: Final = 600
BACKGROUND: Final = (16, 18, 22)

_MARGIN_PX: Final = 36
_HEAD_PX: Final = 112
_ROW_PX: Final = 90
_LINE_PX: Final = 28
_BETWEEN_NOTES_PX: Final = 8
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
UNDRAWABLE: Final = "?"
"""Stands for letters that a picture cannot show."""

_NAME_SIZES_PX: Final = (26, 22, 18)
_NOTE_SIZE_PX: Final = 20

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size_px: int) -> Font:
    """Return Pillow's own typeface, so that a picture is the same on every machine."""
    return ImageFont.load_default(size_px)


@lru_cache(maxsize=4096)
def drawable(words: str) -> str:
    """Return words in the letters that Pillow's typeface has: it knows none with an accent, an umlaut or a ligature.

    What cannot be spelt in them, such as another script, becomes `UNDRAWABLE`, one for letters in a row.
    """
    plain = unicodedata.normalize("NFKD", "".join(_SPELT_OUT.get(letter, letter) for letter in words))
    letters = (letter for letter in plain if not unicodedata.combining(letter))
    return "".join("".join(run) if known else UNDRAWABLE for known, run in groupby(letters, key=_is_in_typeface))


def is_drawable(words: str) -> bool:
    """Tell whether a picture can show these words, accents and umlauts left out."""
    return drawable(words).count(UNDRAWABLE) == words.count(UNDRAWABLE)


@cache
def _missing() -> bytes:
    return bytes(font(_NOTE_SIZE_PX).getmask("\uffff"))


@lru_cache(maxsize=4096)
def _is_in_typeface(letter: str) -> bool:
    return letter.isspace() or bytes(font(_NOTE_SIZE_PX).getmask(letter)) != _missing()


@dataclass(frozen=True, slots=True, eq=False)
class Legend:
    """A legend whose words are broken into lines already, all its measures multiplied by `scale`."""

    findings: Findings
    definitions: Mapping[str, FindingDefinition]
    wording: Wording
    notes: tuple[tuple[tuple[str, ...], Colour], ...]
    scale: float

    @staticmethod
    def of(
        findings: Findings,
        definitions: Mapping[str, FindingDefinition],
        remarks: Iterable[str],
        wording: Wording,
        scale: float = 1.0,
    ) -> Legend:
        """Lay a legend out. remarks: what there is to say of the image, in English."""
        size, room = round(_NOTE_SIZE_PX * scale), (LEGEND_WIDTH_PX - 2 * _MARGIN_PX) * scale
        notes = tuple(
            (tuple(wrapped(drawable(note), size, room)), colour)
            for note, colour in _notes(remarks, findings.model, wording)
        )
        return Legend(findings, definitions, wording, notes, scale)

    @property
    def width_px(self) -> int:
        """How wide it is."""
        return self._px(LEGEND_WIDTH_PX)

    @property
    def height_px(self) -> int:
        """The height that it needs."""
        return self._px(_HEAD_PX + _ROW_PX * len(self.findings.items) + 2 * _MARGIN_PX) + self._notes_px

    @property
    def _notes_px(self) -> int:
        lines = sum(len(lines) for lines, _ in self.notes)
        return self._px(_LINE_PX) * lines + self._px(_BETWEEN_NOTES_PX) * len(self.notes)

    def draw(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], height_px: int) -> None:
        """Draw it with its top-left corner at `corner`, its notes at the bottom of `height_px`."""
        left, right = corner[0] + self._px(_MARGIN_PX), corner[0] + self._px(LEGEND_WIDTH_PX - _MARGIN_PX)
        top = corner[1] + self._px(_MARGIN_PX)
        title, key = (drawable(self.wording.say(said)) for said in ("Findings", "probability, mark: threshold"))
        draw.text((left, top), title, font=self._font(40), fill=_BRIGHT)
        draw.text((left, top + self._px(52)), key, font=self._font(20), fill=_DIM)
        for row, finding in enumerate(self.findings):
            self._draw_row(draw, left, right, top + self._px(_HEAD_PX + row * _ROW_PX), finding)
        y = corner[1] + height_px - self._px(_MARGIN_PX) - self._notes_px
        for lines, colour in self.notes:
            y += self._px(_BETWEEN_NOTES_PX)
            for line in lines:
                draw.text((left, y), line, font=self._font(_NOTE_SIZE_PX), fill=colour)
                y += self._px(_LINE_PX)

    def _px(self, natural: float) -> int:
        return round(natural * self.scale)

    def _font(self, natural: int) -> Font:
        return font(self._px(natural))

    def _draw_row(self, draw: ImageDraw.ImageDraw, left: int, right: int, y: int, finding: Finding) -> None:
        px, name = self._px, self.definitions[finding.key].name
        present = finding.state is FindingState.PRESENT
        own_colour = self.definitions[finding.key].colour_rgb
        colour = own_colour if present else _DIM
        dot = (left, y + px(4), left + px(20), y + px(24))
        draw.rounded_rectangle(dot, radius=px(4), fill=own_colour if present else _FAINT)
        top, bottom = y + px(44), y + px(54)
        if finding.probability is None or finding.threshold is None:
            self._draw_name(draw, left, right, y, name, self.wording.say("not evaluated"), _DIM, _DIM)
            draw.rounded_rectangle((left, top, right, bottom), radius=px(5), outline=_FAINT)
            return
        state = "experimental" if finding.experimental and not present else str(finding.state)
        said = f"{self.wording.say(state)}  {percent(finding.probability)}"
        self._draw_name(draw, left, right, y, name, said, _BRIGHT if present else _DIM, colour)
        draw.rounded_rectangle((left, top, right, bottom), radius=px(5), fill=_FAINT)
        filled = left + max(px(10), round((right - left) * finding.probability))
        draw.rounded_rectangle((left, top, filled, bottom), radius=px(5), fill=colour)
        mark = left + round((right - left) * finding.threshold)
        draw.line((mark, top - px(5), mark, bottom + px(5)), fill=_BRIGHT, width=max(1, px(2)))
        below = min(max(mark, left + px(24)), right - px(24)), bottom + px(7)
        draw.text(below, percent(finding.threshold), font=self._font(16), fill=_DIM, anchor="ma")

    def _draw_name(
        self,
        draw: ImageDraw.ImageDraw,
        left: int,
        right: int,
        y: int,
        name: str,
        said: str,
        colour: Colour,
        said_colour: Colour,
    ) -> None:
        """Write a finding's name and what is said of it, the name smaller or on more lines where both would not fit.

        No word of it runs into what is said: a long one alone decides how small the name is.
        """
        face, start = self._font(26), left + self._px(34)
        name, said = drawable(name), drawable(said)
        draw.text((right, y + self._px(13)), said, font=face, fill=said_colour, anchor="rm")
        room = right - start - draw.textlength(said, font=face) - self._px(12)
        sizes = [self._px(size) for size in _NAME_SIZES_PX]
        size = next((size for size in sizes if draw.textlength(name, font=font(size)) <= room), sizes[-1])
        longest = max((draw.textlength(word, font=font(size)) for word in name.split()), default=0.0)
        if longest > room:
            size = max(1, int(size * room / longest))
        lines = list(wrapped(name, size, room))
        for number, line in enumerate(lines):
            middle = y + self._px(13) + round((number - (len(lines) - 1) / 2) * size * 1.1)
            draw.text((start, middle), line, font=font(size), fill=colour, anchor="lm")


def _notes(remarks: Iterable[str], model: ModelIdentity, wording: Wording) -> Iterator[tuple[str, Colour]]:
    """Yield the sentences at the bottom and their colours."""
    for remark in remarks:
        yield wording.repeat(remark), _BRIGHT
    yield model_line(model, wording), _DIM
    if model.statement:
        yield wording.repeat(model.statement), _DIM
    if not model.trained:
        yield wording.say("The model is untrained."), _WARNING
    else:
        yield training_line(model, wording), _DIM
        yield calibration_line(model, wording), _DIM if model.calibrated else _WARNING
    yield wording.say(RESEARCH_STATEMENT), _BRIGHT


def wrapped(sentence: str, size_px: int, room: float) -> Iterator[str]:
    """Break a sentence into lines that are at most `room` pixels wide in letters of this size; long words break too."""
    face, line = font(size_px), ""
    for word in sentence.split():
        longer = f"{line} {word}".strip()
        if line and face.getlength(longer) > room:
            yield line
            longer = word
        while face.getlength(longer) > room and len(longer) > 1:
            shorter = range(len(longer) - 1, 1, -1)
            fits = next((end for end in shorter if face.getlength(longer[:end]) <= room), 1)
            yield longer[:fits]
            longer = longer[fits:]
        line = longer
    if line:
        yield line
