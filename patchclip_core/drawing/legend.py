"""The legend beside the radiograph: every finding with its state, probability and threshold, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from PIL import ImageDraw

from patchclip_core.drawing.palette import BRIGHT, DIM, FAINT, WARNING, Colour
from patchclip_core.drawing.text import Column, Font, Line, drawable, font, wrapped
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding, Findings, FindingState
from patchclip_core.values.wording import (
    RESEARCH_STATEMENT,
    Wording,
    calibration_line,
    model_line,
    percent,
    sensitivity_line,
    training_line,
)

_COLUMN: Final = Column(width_px=600, margin_px=36, letters_px=20, line_px=28)
LEGEND_WIDTH_PX: Final = _COLUMN.width_px

_MARGIN_PX: Final = _COLUMN.margin_px
_HEAD_PX: Final = 112
_ROW_PX: Final = 90
_BETWEEN_NOTES_PX: Final = 8
_NAME_SIZES_PX: Final = (26, 22, 18)
_SMALL_PX: Final = 16
_STATE_WORDS: Final = {
    FindingState.PRESENT: "present",
    FindingState.ABSENT: "absent",
    FindingState.NOT_SEEN: "not seen",  # a note below says by whom, and what it means
}
_NOT_SEEN_NOTE: Final = (
    "Not seen by this model: that does not mean absent. The sensitivity says in how many images with the finding it "
    "was seen."
)


@dataclass(frozen=True, slots=True, eq=False)
class Legend:
    """A legend whose words are broken into lines already, all its measures multiplied by `scale`."""

    findings: Findings
    definitions: Mapping[str, FindingDefinition]
    wording: Wording
    notes: tuple[tuple[Line, ...], ...]
    column: Column

    @staticmethod
    def of(
        findings: Findings,
        definitions: Mapping[str, FindingDefinition],
        remarks: Iterable[str],
        wording: Wording,
        scale: float = 1.0,
    ) -> Legend:
        """Lay a legend out. remarks: what there is to say of the image, in English."""
        column = replace(_COLUMN, scale=scale)
        notes = tuple(column.lines(note, colour) for note, colour in _notes(remarks, findings, wording))
        return Legend(findings, definitions, wording, notes, column)

    @property
    def scale(self) -> float:
        """What all measures are multiplied by."""
        return self.column.scale

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
        return sum(self._px(_BETWEEN_NOTES_PX) + self.column.height_px(len(lines)) for lines in self.notes)

    def draw(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], height_px: int) -> None:
        """Draw it with its top-left corner at `corner`, its notes at the bottom of `height_px`."""
        left, right = corner[0] + self._px(_MARGIN_PX), corner[0] + self._px(LEGEND_WIDTH_PX - _MARGIN_PX)
        top = corner[1] + self._px(_MARGIN_PX)
        title, key = (drawable(self.wording.say(said)) for said in ("Findings", "probability, mark: threshold"))
        draw.text((left, top), title, font=self._font(40), fill=BRIGHT)
        draw.text((left, top + self._px(52)), key, font=self._font(20), fill=DIM)
        for row, finding in enumerate(self.findings):
            self._draw_row(draw, left, right, top + self._px(_HEAD_PX + row * _ROW_PX), finding)
        y = corner[1] + height_px - self._px(_MARGIN_PX) - self._notes_px
        for lines in self.notes:
            y += self._px(_BETWEEN_NOTES_PX)
            self.column.draw(draw, left, y, lines)
            y += self.column.height_px(len(lines))

    def _px(self, natural: float) -> int:
        return self.column.px(natural)

    def _font(self, natural: int) -> Font:
        return font(self._px(natural))

    def _draw_row(self, draw: ImageDraw.ImageDraw, left: int, right: int, y: int, finding: Finding) -> None:
        px, name = self._px, self.definitions[finding.key].name
        present = finding.state is FindingState.PRESENT
        own_colour = self.definitions[finding.key].colour_rgb
        colour = own_colour if present else DIM
        dot = (left, y + px(4), left + px(20), y + px(24))
        draw.rounded_rectangle(dot, radius=px(4), fill=own_colour if present else FAINT)
        top, bottom = y + px(44), y + px(54)
        if finding.probability is None or finding.threshold is None:
            self._draw_name(draw, left, right, y, name, self.wording.say("not evaluated"), DIM, DIM)
            draw.rounded_rectangle((left, top, right, bottom), radius=px(5), outline=FAINT)
            return
        said = f"{self.wording.say(_STATE_WORDS[finding.state])}  {percent(finding.probability)}"
        self._draw_name(draw, left, right, y, name, said, BRIGHT if present else DIM, colour)
        draw.rounded_rectangle((left, top, right, bottom), radius=px(5), fill=FAINT)
        filled = left + max(px(10), round((right - left) * finding.probability))
        draw.rounded_rectangle((left, top, filled, bottom), radius=px(5), fill=colour)
        mark = left + round((right - left) * finding.threshold)
        draw.line((mark, top - px(5), mark, bottom + px(5)), fill=BRIGHT, width=max(1, px(2)))
        below = min(max(mark, left + px(24)), right - px(24)), bottom + px(7)
        draw.text(below, percent(finding.threshold), font=self._font(_SMALL_PX), fill=DIM, anchor="ma")
        if not present:
            # On the side of the threshold that has more room.
            at_left = mark - left > right - mark
            at, anchor = (left, "la") if at_left else (right, "ra")
            measured = drawable(sensitivity_line(finding, self.wording))
            draw.text((at, bottom + px(7)), measured, font=self._font(_SMALL_PX), fill=BRIGHT, anchor=anchor)

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


def _notes(remarks: Iterable[str], findings: Findings, wording: Wording) -> Iterator[tuple[str, Colour]]:
    """Yield the sentences at the bottom and their colours."""
    model = findings.model
    for remark in remarks:
        yield wording.repeat(remark), BRIGHT
    if any(finding.state is FindingState.NOT_SEEN for finding in findings):
        yield wording.say(_NOT_SEEN_NOTE), BRIGHT
    yield model_line(model, wording), DIM
    if model.statement:
        yield wording.repeat(model.statement), DIM
    if not model.trained:
        yield wording.say("The model is untrained."), WARNING
    else:
        yield training_line(model, wording), DIM
        yield calibration_line(model, wording), DIM if model.calibrated else WARNING
    yield wording.say(RESEARCH_STATEMENT), BRIGHT
