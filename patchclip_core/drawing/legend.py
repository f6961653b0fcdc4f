"""The legend beside the radiograph: of every finding its verdict in words, where it is, and what its number is worth.

The words come first and the numbers small: readers of heat maps want the map, and are confused by bars and percentages.
What was found stands above what was not, and is brighter; a finding's own colour marks its name alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from PIL import ImageDraw

from patchclip_core.drawing.palette import BRIGHT, DIM, FAINT, WARNING, Colour
from patchclip_core.drawing.text import Column, Font, Line, drawable, font, wrapped
from patchclip_core.places.where import Orientation, places_of
from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding, Findings, FindingState
from patchclip_core.values.statement import NOTHING_SEEN, Statement, sensitivity_line, statement
from patchclip_core.values.wording import RESEARCH_STATEMENT, Wording, calibration_line, model_line, training_line

_COLUMN: Final = Column(width_px=600, margin_px=36, letters_px=20, line_px=28)
LEGEND_WIDTH_PX: Final = _COLUMN.width_px

_MARGIN_PX: Final = _COLUMN.margin_px
_HEAD_PX: Final = 68
_NAME_PX: Final = 38
"""From a finding's name to what stands below it."""
_BETWEEN_ROWS_PX: Final = 16
_BETWEEN_NOTES_PX: Final = 8
_NAME_SIZES_PX: Final = (26, 22, 18)
_INDENT_PX: Final = 34
_SMALL: Final = Column(width_px=600, margin_px=36, letters_px=17, line_px=23)
_NOT_SEEN_NOTE: Final = (
    "Not seen by this model: that does not mean absent. The sensitivity says in how many images with the finding it "
    "was seen."
)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What the legend says of one finding. where, small: lines below its name, the small ones in smaller letters."""

    said: Statement
    colour: Colour
    where: tuple[Line, ...]
    small: tuple[Line, ...]

    @property
    def words(self) -> Colour:
        """The colour of its words: bright where it was found, whatever it is, and dim where it was not."""
        return BRIGHT if self.said.state.is_found else DIM


@dataclass(frozen=True, slots=True, eq=False)
class Legend:
    """A legend whose words are broken into lines already, all its measures multiplied by `scale`."""

    findings: Findings
    wording: Wording
    head: tuple[Line, ...]
    rows: tuple[Row, ...]
    notes: tuple[tuple[Line, ...], ...]
    column: Column
    small: Column

    @staticmethod
    def of(
        findings: Findings,
        definitions: Mapping[str, FindingDefinition],
        remarks: Iterable[str],
        wording: Wording,
        scale: float = 1.0,
        orientation: Orientation | None = None,
    ) -> Legend:
        """Lay a legend out. remarks: what there is to say of the image, in English. orientation: of its patient."""
        column, small = replace(_COLUMN, scale=scale), replace(_SMALL, scale=scale)
        head = () if findings.found else column.lines(wording.say(NOTHING_SEEN), BRIGHT)
        rows = []
        for finding in findings.in_order:
            form = findings.geometry
            places = places_of(finding.regions, orientation, form.source_rows, form.source_columns, wording)
            said = statement(finding, definitions, wording, places)
            rows.append(_row(finding, said, definitions[finding.key].colour_rgb, column, small))
        notes = tuple(column.lines(note, colour) for note, colour in _notes(remarks, findings, wording))
        return Legend(findings, wording, head, tuple(rows), notes, column, small)

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
        rows = sum(map(self._row_px, self.rows))
        return self._px(_HEAD_PX + 2 * _MARGIN_PX) + self._head_px + rows + self._notes_px

    @property
    def _head_px(self) -> int:
        return self.column.height_px(len(self.head)) + (self._px(_BETWEEN_ROWS_PX) if self.head else 0)

    def _row_px(self, row: Row) -> int:
        below = self.column.height_px(len(row.where)) + self.small.height_px(len(row.small))
        return self._px(_NAME_PX) + below + self._px(_BETWEEN_ROWS_PX)

    @property
    def _notes_px(self) -> int:
        return sum(self._px(_BETWEEN_NOTES_PX) + self.column.height_px(len(lines)) for lines in self.notes)

    def draw(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], height_px: int) -> None:
        """Draw it with its top-left corner at `corner`, its notes at the bottom of `height_px`."""
        left, right = corner[0] + self._px(_MARGIN_PX), corner[0] + self._px(LEGEND_WIDTH_PX - _MARGIN_PX)
        y = corner[1] + self._px(_MARGIN_PX)
        draw.text((left, y), drawable(self.wording.say("Findings")), font=self._font(40), fill=BRIGHT)
        y += self._px(_HEAD_PX)
        self.column.draw(draw, left, y, self.head)
        y += self._head_px
        for row in self.rows:
            self._draw_row(draw, left, right, y, row)
            y += self._row_px(row)
        y = corner[1] + height_px - self._px(_MARGIN_PX) - self._notes_px
        for lines in self.notes:
            y += self._px(_BETWEEN_NOTES_PX)
            self.column.draw(draw, left, y, lines)
            y += self.column.height_px(len(lines))

    def _px(self, natural: float) -> int:
        return self.column.px(natural)

    def _font(self, natural: int) -> Font:
        return font(self._px(natural))

    def _draw_row(self, draw: ImageDraw.ImageDraw, left: int, right: int, y: int, row: Row) -> None:
        px = self._px
        dot = (left, y + px(4), left + px(20), y + px(24))
        draw.rounded_rectangle(dot, radius=px(4), fill=row.colour if row.said.state.is_found else FAINT)
        self._draw_name(draw, left, right, y, row.said.name, _verdict(row.said, self.wording), row.words)
        below, start = y + px(_NAME_PX), left + px(_INDENT_PX)
        self.column.draw(draw, start, below, row.where)
        self.small.draw(draw, start, below + self.column.height_px(len(row.where)), row.small)

    def _draw_name(
        self, draw: ImageDraw.ImageDraw, left: int, right: int, y: int, name: str, said: str, colour: Colour
    ) -> None:
        """Write a finding's name and what is said of it, the name smaller or on more lines where both would not fit.

        No word of it runs into what is said: a long one alone decides how small the name is.
        """
        face, start = self._font(26), left + self._px(_INDENT_PX)
        name, said = drawable(name), drawable(said)
        draw.text((right, y + self._px(13)), said, font=face, fill=colour, anchor="rm")
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


def _row(finding: Finding, said: Statement, colour: Colour, column: Column, small: Column) -> Row:
    """Lay out what is said below a finding's name: where it is and what its number is worth, or what was missed."""
    narrow, narrow_small = (replace(each, width_px=each.width_px - _INDENT_PX) for each in (column, small))
    if said.state.is_found:
        return Row(said, colour, narrow.lines(said.where, BRIGHT), narrow_small.lines(said.number, DIM))
    if said.state is FindingState.NOT_EVALUATED:
        return Row(said, colour, (), ())
    return Row(said, colour, (), narrow_small.lines(sensitivity_line(finding, said.wording), DIM))


def _verdict(said: Statement, wording: Wording) -> str:
    """Return the verdict, in short where a note below says in full what it means."""
    return wording.say("not seen") if said.state is FindingState.NOT_SEEN else said.verdict


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
