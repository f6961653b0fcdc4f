"""Words in pictures: the typeface, the letters that it has, lines that are not too long, and columns of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from patchclip_core.drawing.palette import Colour

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

_TRIED_SIZE_PX: Final = 20
"""The size at which a letter is looked for in the typeface."""

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
    return bytes(font(_TRIED_SIZE_PX).getmask("\uffff"))


@lru_cache(maxsize=4096)
def _is_in_typeface(letter: str) -> bool:
    return letter.isspace() or bytes(font(_TRIED_SIZE_PX).getmask(letter)) != _missing()


@lru_cache(maxsize=4096)
def wrapped(sentence: str, size_px: int, room: float) -> tuple[str, ...]:
    """Break a sentence into lines that are at most `room` pixels wide in letters of this size; long words break too.

    Kept, since most of what stands in a legend stands in the next one, too.
    """
    return tuple(_broken(sentence, font(size_px), room))


def _broken(sentence: str, face: Font, room: float) -> Iterator[str]:
    line = ""
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


@lru_cache(maxsize=256)
def _lettering(words: str, size_px: int) -> tuple[tuple[int, int], Image.Image]:
    """Return a line as a stencil, and where its top left corner lies from where the line begins.

    Kept, some 20 kB each: most lines of a legend are the same in each picture, and letters take long to draw.
    """
    face = font(size_px)
    left, top, right, bottom = (round(side) for side in face.getbbox(words))
    stencil = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(stencil).text((-left, -top), words, font=face, fill=255)
    return (left, top), stencil


Line = tuple[str, Colour]
"""One line of words, and its colour."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of words beside a picture. Its measures are those at scale 1, in pixels.

    width_px: with the margins at both sides. letters_px: size of the letters. line_px: from one line to the next.
    """

    width_px: int
    margin_px: int
    letters_px: int
    line_px: int
    scale: float = 1.0

    def px(self, natural: float) -> int:
        """Return a measure at this column's scale."""
        return round(natural * self.scale)

    def lines(self, said: str, colour: Colour) -> tuple[Line, ...]:
        """Break what is said into lines that fit between the margins, in letters that a picture has."""
        room = (self.width_px - 2 * self.margin_px) * self.scale
        return tuple((line, colour) for line in wrapped(drawable(said), self.px(self.letters_px), room))

    def height_px(self, lines: int) -> int:
        """Return the height of that number of lines, without margins."""
        return self.px(self.line_px) * lines

    def draw(self, draw: ImageDraw.ImageDraw, left: int, top: int, lines: Iterable[Line]) -> None:
        """Write lines one below the other, the first at (left, top)."""
        size_px = self.px(self.letters_px)
        for number, (words, colour) in enumerate(lines):
            (right, down), lettering = _lettering(words, size_px)
            draw.bitmap((left + right, top + self.height_px(number) + down), lettering, fill=colour)
