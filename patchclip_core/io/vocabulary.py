"""The words in which headers name a body part and a view: `conf/radiographs.yaml`, and what a site adds to it.

Words are compared without accents, case and punctuation: TÓRAX, Torax and torax are one word, A.P. and P->A are A P and
P A. A header's phrase is heard from left to right, the longest known phrase first, so that THORACIC SPINE is the spine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from patchclip_core.errors import VocabularyFileError
from patchclip_core.values.definitions import NonEmpty, conf_dir

CHEST: Final = "chest"
"""The key of the chest among the body parts."""

_HEARD_CHARACTERS: Final = 1024
"""Of a longer phrase the rest is not heard: a description has 64 characters (PS3.5 6.2, LO)."""

_LETTERS_WITHOUT_ACCENT: Final = str.maketrans(
    {
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "ħ": "h",
    }
)
"""Letters that Unicode does not decompose into a letter and an accent."""

_TOKEN: Final = re.compile(r"[぀-ヿ㐀-鿿가-힯]|[^\W\d_぀-ヿ㐀-鿿가-힯]+")
"""A word: letters of one run; in scripts without spaces each sign alone."""
_PATTERN_TOKEN: Final = re.compile(r"[぀-ヿ㐀-鿿가-힯]|\*?[^\W\d_*぀-ヿ㐀-鿿가-힯]+\*?")


class View(StrEnum):
    """Which way the rays went, as far as it decides whether an image is analysed."""

    PA = "PA"
    AP = "AP"
    FRONTAL = "frontal"
    LORDOTIC = "lordotic"
    LATERAL = "lateral"
    OBLIQUE = "oblique"
    DECUBITUS = "decubitus"

    @property
    def is_frontal(self) -> bool:
        """A lordotic view is an AP or PA view with an inclined beam."""
        return self in {View.PA, View.AP, View.FRONTAL, View.LORDOTIC}


def fold(phrase: str) -> str:
    """Return a phrase as it is compared: small letters without accents (NFKD); other scripts keep their letters."""
    decomposed = unicodedata.normalize("NFKD", phrase.casefold()).translate(_LETTERS_WITHOUT_ACCENT)
    return unicodedata.normalize("NFKC", "".join(each for each in decomposed if unicodedata.category(each) != "Mn"))


def _is_heard(word: str) -> str:
    if not _PATTERN_TOKEN.findall(fold(word)):
        raise ValueError(f"{word!r} holds no letter")
    return word


Word = Annotated[NonEmpty, AfterValidator(_is_heard)]
"""Words as they stand in headers, in any case; * before or after a word stands for more letters."""
CodeValue = Annotated[str, StringConstraints(pattern=r"^\S{1,16}$")]


class Words(BaseModel):
    """Words and codes of one meaning, from one source.

    words: heard wherever a header describes the image. adjectives: likewise, but a phrase that names another part means
    that one: THORACIC/LUMBAR SPINE. in_view: heard in View Position and view codes alone, since they mean something
    else in a description. codes: Code Values (PS3.3 8.1) of Anatomic Region and View Code Sequence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: NonEmpty
    words: tuple[Word, ...] = ()
    adjectives: tuple[Word, ...] = ()
    in_view: tuple[Word, ...] = ()
    codes: tuple[CodeValue, ...] = ()


PartName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z ]{1,31}$")]


class VocabularyFile(BaseModel):
    """The content of `conf/radiographs.yaml`, and of a file that a site adds.

    body_parts: part -> its words; chest is one of them. views: view -> its words. placement: how the patient stood or
    lay, and how the device stood, which is not the view. nothing: values and phrases that name neither part nor view,
    though a word in them could.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_parts: Mapping[PartName, tuple[Words, ...]] = Field(default_factory=dict)
    views: Mapping[View, tuple[Words, ...]] = Field(default_factory=dict)
    placement: tuple[Words, ...] = ()
    nothing: tuple[Words, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """What a phrase names.

    parts: body parts. views: views. placed: whether it says how the patient was placed. unknown: whether it holds a
    word that is in no list.
    """

    parts: frozenset[str] = frozenset()
    views: frozenset[View] = frozenset()
    placed: bool = False
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class _Meaning:
    part: str | None = None
    views: frozenset[View] = frozenset()
    placed: bool = False
    describes: bool = False
    """The part counts where no other word of the phrase names one."""

    def and_of(self, other: _Meaning) -> _Meaning:
        """Return the meaning of a phrase that is listed twice: THORAX FACE is the chest and a frontal view."""
        return _Meaning(other.part or self.part, self.views | other.views, self.placed or other.placed, other.describes)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A phrase of one or more tokens, each with or without * at its ends.

    rank: the more tokens, the whole word before a part of one, the more letters: the more the phrase knows.
    """

    tokens: tuple[str, ...]
    meaning: _Meaning
    in_view: bool
    rank: tuple[int, bool, int]

    def fits(self, tokens: Sequence[str]) -> bool:
        return len(tokens) == len(self.tokens) and all(map(_fits, self.tokens, tokens))


def _fits(pattern: str, token: str) -> bool:
    letters = pattern.strip("*")
    if pattern.startswith("*") and pattern.endswith("*"):
        return letters in token
    if pattern.startswith("*"):
        return token.endswith(letters)
    return token.startswith(letters) if pattern.endswith("*") else token == letters


@dataclass(frozen=True, eq=False, slots=True)
class Vocabulary:
    """What the words in a header mean. Built by `load_vocabulary`.

    by_first_word: first token -> its phrases, the best first. with_open_end: phrases whose first token has a *.
    """

    by_first_word: Mapping[str, tuple[_Pattern, ...]]
    with_open_end: tuple[_Pattern, ...]
    codes: Mapping[str, _Meaning]

    def hear(self, phrase: str, *, in_view: bool = False) -> Heard:
        """Return what a phrase names; in_view: it is what a header says of the view alone."""
        return _hear(self, fold(phrase[:_HEARD_CHARACTERS]), in_view)

    def part_of_code(self, value: str) -> str | None:
        """Return the body part that a Code Value stands for, None where it is in no list."""
        meaning = self.codes.get(value)
        return meaning.part if meaning else None

    def view_of_code(self, value: str) -> View | None:
        """Return the view that a Code Value stands for, None where it is in no list."""
        meaning = self.codes.get(value)
        return next(iter(meaning.views), None) if meaning else None

    def best(self, tokens: Sequence[str], *, in_view: bool) -> _Pattern | None:
        """Return the phrase that knows most of what the tokens begin with."""
        found = (
            next(
                (one for one in patterns if (in_view or not one.in_view) and one.fits(tokens[: len(one.tokens)])), None
            )
            for patterns in (self.by_first_word.get(tokens[0], ()), self.with_open_end)
        )
        return max((one for one in found if one), key=lambda one: one.rank, default=None)


@lru_cache(maxsize=4096)
def _hear(vocabulary: Vocabulary, folded: str, in_view: bool) -> Heard:
    tokens = _TOKEN.findall(folded)
    meanings: list[_Meaning] = []
    start, unknown = 0, False
    while start < len(tokens):
        pattern = vocabulary.best(tokens[start:], in_view=in_view)
        if pattern is None:
            unknown, start = True, start + 1
        else:
            meanings.append(pattern.meaning)
            start += len(pattern.tokens)
    named = {meaning.part for meaning in meanings if meaning.part and not meaning.describes}
    described = {meaning.part for meaning in meanings if meaning.part and meaning.describes}
    return Heard(
        parts=frozenset(named or described),
        views=frozenset(view for meaning in meanings for view in meaning.views),
        placed=any(meaning.placed for meaning in meanings),
        unknown=unknown,
    )


@cache
def load_vocabulary(of_site: Path | None = None) -> Vocabulary:
    """Read the shipped vocabulary and, where there is one, what a site adds; a site's word takes a shipped one's place.

    Raises `VocabularyFileError`, which names the file, the entry and what is wrong with it.
    """
    files = [_read(conf_dir() / "radiographs.yaml"), *([_read(of_site)] if of_site else [])]
    meanings: dict[tuple[tuple[str, ...], bool], _Meaning] = {}
    codes: dict[str, _Meaning] = {}
    for file in files:
        of_file: dict[tuple[tuple[str, ...], bool], _Meaning] = {}
        for meaning, words in _entries(file):
            for listed, in_view, means in (
                (words.words, False, meaning),
                (words.adjectives, False, replace(meaning, describes=True)),
                (words.in_view, True, meaning),
            ):
                for word in listed:
                    key = tuple(_PATTERN_TOKEN.findall(fold(word))), in_view
                    of_file[key] = of_file.get(key, _Meaning()).and_of(means)
            codes |= dict.fromkeys(words.codes, meaning)
        meanings |= of_file
    patterns = (_pattern(tokens, in_view, meaning) for (tokens, in_view), meaning in meanings.items())
    ranked = sorted(patterns, key=lambda one: one.rank, reverse=True)
    by_first_word: dict[str, tuple[_Pattern, ...]] = {}
    for one in ranked:
        if "*" not in one.tokens[0]:
            by_first_word[one.tokens[0]] = (*by_first_word.get(one.tokens[0], ()), one)
    return Vocabulary(by_first_word, tuple(one for one in ranked if "*" in one.tokens[0]), codes)


def _entries(file: VocabularyFile) -> Iterator[tuple[_Meaning, Words]]:
    yield from ((_Meaning(part=part), words) for part, groups in file.body_parts.items() for words in groups)
    yield from ((_Meaning(views=frozenset({view})), words) for view, groups in file.views.items() for words in groups)
    yield from ((_Meaning(placed=True), words) for words in file.placement)
    yield from ((_Meaning(), words) for words in file.nothing)


def _pattern(tokens: tuple[str, ...], in_view: bool, meaning: _Meaning) -> _Pattern:
    whole = not any("*" in token for token in tokens)
    return _Pattern(tokens, meaning, in_view, (len(tokens), whole, sum(len(token.strip("*")) for token in tokens)))


def _read(path: Path) -> VocabularyFile:
    try:
        return VocabularyFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise VocabularyFileError(f"cannot read the vocabulary {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise VocabularyFileError(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise VocabularyFileError(f"{path}:\n" + "\n".join(lines)) from error
