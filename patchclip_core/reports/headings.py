"""Where the parts of a report begin, by the words in `conf/report_headings.yaml`, and what each part is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from patchclip_core.errors import ReportHeadingsFileError
from patchclip_core.typed_yaml import read_model
from patchclip_core.values.definitions import conf_dir

Kind = Literal["findings", "impression", "question", "about", "left_out", "none"]
"""What a part of a report is; `none`: text under no heading."""

_KINDS: Final[tuple[Kind, ...]] = ("findings", "impression", "question", "about", "left_out")
_Words = Annotated[tuple[str, ...], Field(min_length=1)]

_LONGEST: Final = 48
_CLOSE: Final = 0.88
"""How alike a misspelt heading is to the right one, by `difflib`: a letter that is missing, wrong or elsewhere."""
_LEAST_LETTERS: Final = 6
"""A shorter word that is nearly a heading is more likely another word."""
_NUMBERING: Final = r"[ \t>*#_]*(?:\(?(?:\d{1,2}|[IVX]{1,4}|[a-z])[.)][ \t]*)?[*_]*"
_AT_LINE: Final = re.compile(
    rf"^{_NUMBERING}(?P<name>[^\W\d_][\w.,/&'\u2019() -]{{0,{_LONGEST}}}?)[*_]*[ \t]*"
    r"(?P<end>[:\uff1a][*_]*|[ \t][-\u2013\u2014](?=[ \t])|[.,]?[*_]*(?=[ \t]*$))",
    re.MULTILINE,
)
_IN_CAPITALS: Final = re.compile(
    rf"^{_NUMBERING}(?P<name>[^\W\d_a-z]{{4,}})(?P<end>)[ \t]+(?=[^\W\d_][a-z])", re.MULTILINE
)
_IN_LINE: Final = re.compile(
    rf"(?<=[.;!?])[ \t]*(?P<name>[^\W\d_][\w/'\u2019 -]{{0,{_LONGEST}}}?)[ \t]*(?P<end>[:\uff1a])", re.MULTILINE
)
_PARAGRAPH: Final = re.compile(r"\n[ \t\r]*\n")
_SENTENCE: Final = re.compile(r"(?<=[.!?])(?<!\b\w\.\w\.)\s+")
_TITLE_END: Final = re.compile(r"[:.](?=\s)")
_JOINS: Final = re.compile(r"\s*[/,&+]\s*|\s+(?:and|und|et)\s+")
_FIRST_OF: Final[tuple[Kind, ...]] = ("question", "findings", "impression", "about", "left_out")
"""What a heading of several announces: a question is never taken for a finding."""
_LINE: Final = re.compile(r"\n[ \t]*(?=\S)")
_ARTICLE: Final = r"(?:(?:the|both|die|der|das|beide|le|la|les) |l')?"
_GOES_ON: Final = re.compile(
    r"[,/(-]$|\b(?:and|or|of|for|with|whether|if|the|a|to|in|on|und|oder|mit|nach|auf|ob|bei|der|die|et|ou|de|des|du|la|si)$"
)
"""So a line ends whose sentence goes on in the next one."""
_WORD: Final = re.compile(r"[^\W\d_]+(?:[.-][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a report: what it is, and its text without the heading."""

    kind: Kind
    text: str


class ReportHeadings(BaseModel):
    """The content of `conf/report_headings.yaml`; each field is explained there."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    findings: _Words
    impression: _Words
    question: _Words
    about: _Words
    left_out: _Words
    title_words: _Words
    begins: _Words
    organs: _Words
    shown: _Words
    denies: _Words
    signs: _Words
    asks: _Words

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        seen: dict[str, Kind] = {}
        for kind in _KINDS:
            for heading in getattr(self, kind):
                name = _plain(heading)
                if seen.setdefault(name, kind) != kind:
                    raise ValueError(f"{heading!r} is listed under {seen[name]} and under {kind}: keep one of them")
        return self

    @cached_property
    def _kind_of(self) -> dict[str, Kind]:
        return {_plain(heading): kind for kind in _KINDS for heading in getattr(self, kind)}

    @cached_property
    def _title_words(self) -> frozenset[str]:
        return frozenset(_plain(word) for words in self.title_words for word in words.split())

    @cached_property
    def _organs(self) -> frozenset[str]:
        return frozenset(map(_plain, self.organs))

    @cached_property
    def _asks(self) -> re.Pattern[str]:
        return _any_of(self.asks)

    @cached_property
    def _begins(self) -> re.Pattern[str]:
        organ, shown = f"{_ARTICLE}{_any_of(self.organs).pattern}", _any_of(tuple(" ".join(self.shown).split())).pattern
        denies = "|".join(re.escape(f"{_plain(words)} ".replace("' ", "'")) for words in self.denies)
        ways = (
            _any_of(self.begins).pattern,
            rf"{organ}(?:(?:, | and | und | et ){organ})*(?: ?:| {shown})",
            rf"(?:{denies}){_any_of(self.signs).pattern}",
        )
        return re.compile("|".join(ways))

    def kind_of(self, heading: str, *, exactly: bool = False) -> Kind | None:
        """Return what a heading announces; None where it is not one. exactly: a slip of the pen is not forgiven."""
        name = _plain(re.sub(r"\([^)]*\)", " ", heading))
        if name in self._kind_of:
            return self._kind_of[name]
        together = {self._kind_of.get(_plain(part)) for part in _JOINS.split(name)}
        if None not in together:
            return next(kind for kind in _FIRST_OF if kind in together)
        if exactly or sum(letter.isalpha() for letter in name) < _LEAST_LETTERS:
            return None
        near = get_close_matches(name, self._kind_of, 1, _CLOSE)
        return self._kind_of[near[0]] if near else None

    def is_title(self, text: str) -> bool:
        """Tell whether a text only says what kind of image this is; an organ alone (`Poumons:`) does not."""
        found = _WORD.findall(_plain(text))
        return (
            bool(found)
            and " ".join(found) not in self._organs
            and all(
                word in self._title_words or all(part in self._title_words for part in re.split("[.-]", word))
                for word in found
            )
        )

    def asks_something(self, sentence: str) -> bool:
        """Tell whether a sentence is of the clinical question rather than of what was seen."""
        return "?" in sentence or self._asks.search(_plain(sentence)) is not None

    def parts(self, report: str) -> tuple[Part, ...]:
        """Return the parts of a report in their order; what stands under no heading comes as `none`."""
        starts = list(self._starts(report))
        found = [Part("none", report[: starts[0][0] if starts else len(report)])]
        for (_, begin, kind), (end, *_) in pairwise([*starts, (len(report), 0, "none")]):
            text = report[begin:end]
            if kind in {"about", "question"}:
                own, rest = self._about(text) if kind == "about" else self._question(text)
                found += [Part(kind, own), Part("none", rest)]
            else:
                found.append(Part(kind, text))
        return tuple(part for part in found if part.text.strip())

    def is_titles_alone(self, text: str) -> bool:
        """Tell whether each line of a text only says what kind of image this is."""
        return all(self.is_title(line) for line in text.splitlines() if line.strip())

    def unheaded_findings(self, text: str) -> str:
        """Return what text under no heading says of the image: without titles and without what asks."""
        lines = [self._without_title(line)[1] for line in text.splitlines()]
        kept = [[said for said in _SENTENCE.split(line) if not self.asks_something(said)] for line in lines]
        return "\n".join(line for said in kept if (line := " ".join(said).strip()))

    def _starts(self, report: str) -> Iterator[tuple[int, int, Kind]]:
        """Yield (start of the heading, start of its text, what it announces)."""
        found: dict[int, tuple[int, Kind]] = {}
        for pattern, exactly in ((_AT_LINE, False), (_IN_CAPITALS, True), (_IN_LINE, True)):
            for match in pattern.finditer(report):
                # A colon says that a heading is meant; a word alone on its line is one only if it is spelt so.
                meant = match["end"].startswith((":", "\uff1a"))
                kind = self.kind_of(match["name"], exactly=exactly or not meant)
                if kind is not None and not any(
                    start <= match.start("name") < end for start, (end, _) in found.items()
                ):
                    found[match.start()] = (match.end(), kind)
        for start, (end, kind) in sorted(found.items()):
            yield start, end, kind

    def _about(self, text: str) -> tuple[str, str]:
        """Part what was done from what follows it: after a title at its start, where findings or a paragraph begin."""
        lead = len(text) - len(text.lstrip())
        first, newline, following = text[lead:].partition("\n")
        title, rest = self._without_title(first)
        if title:
            return title, rest + newline + following
        ends = [gap.end() for gap in _PARAGRAPH.finditer(text, lead)]
        ends += [gap.end() for gap in _SENTENCE.finditer(text, lead) if self._findings_begin(text, gap.end())]
        ends += [gap.end() for gap in _LINE.finditer(text, lead) if self._findings_begin(text, gap.end())]
        end = min(ends, default=len(text))
        return text[:end], text[end:]

    def _question(self, text: str) -> tuple[str, str]:
        """Part the question from findings that follow it: on another line, which begins as they do."""
        for gap in _LINE.finditer(text):
            if self._findings_begin(text, gap.end()):
                return text[: gap.start()], text[gap.end() :]
        return text, ""

    def _findings_begin(self, text: str, place: int) -> bool:
        """Tell whether a line or sentence begins as findings do; after an empty line a title does so, too."""
        before, line = text[:place], text[place:].partition("\n")[0]
        if _PARAGRAPH.search(before, len(before.rstrip())):
            if self._without_title(line)[0]:
                return True
        elif line[:1].islower() or _GOES_ON.search(_plain(before.rpartition("\n")[0])):
            return False
        return self._begins.match(_plain(line)) is not None and not self.asks_something(_SENTENCE.split(line)[0])

    def _without_title(self, line: str) -> tuple[str, str]:
        """Return the title that a line begins with, or nothing, and the rest of it."""
        ends = [*(match.end() for match in _TITLE_END.finditer(line)), len(line)]
        end = max((end for end in ends if self.is_title(line[:end])), default=0)
        return line[:end], line[end:]


@lru_cache(maxsize=1)
def report_headings() -> ReportHeadings:
    """Return the headings in `conf/`. Raises `ReportHeadingsFileError`, which names what is wrong with the file."""
    return load_report_headings(conf_dir() / "report_headings.yaml")


def load_report_headings(path: Path) -> ReportHeadings:
    """Read a file of headings. Raises `ReportHeadingsFileError`, which names what is wrong with it."""
    return read_model(ReportHeadings, path, ReportHeadingsFileError, "the report headings")


def _any_of(phrases: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted((re.escape(_plain(phrase)) for phrase in phrases), key=len, reverse=True)
    return re.compile(r"(?<![^\W\d_])(?:" + "|".join(longest_first) + r")(?![^\W\d_])")


def _plain(text: str) -> str:
    """Return a heading as it is compared: lower case without accents, single blanks, no marks around it."""
    letters = unicodedata.normalize("NFKD", text.casefold().replace("\u2019", "'"))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(bare.split()).strip(" .,:*_-#")
