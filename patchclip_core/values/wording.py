"""How everything that shows findings speaks: reports, pictures, pages and notebooks, in the reader's language.

A sentence is written in English where it is needed, with {names} in place of what varies. Another language is a table
in `conf/wording/`: English sentence -> sentence. What a table lacks stays English, which is better than saying nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, field_validator

from patchclip_core.errors import WordingFileError
from patchclip_core.typed_yaml import read_model
from patchclip_core.values.definitions import conf_dir
from patchclip_core.values.results import ModelIdentity

RESEARCH_STATEMENT = "Research software. Not for diagnosis."
UNTRAINED_WARNING = "UNTRAINED MODEL"


@dataclass(frozen=True, slots=True)
class Wording:
    """A language to speak.

    language: its RFC 5646 tag, as in (de, RFC5646, German). name: its name in English, the meaning of that code.
    sentences: English sentence -> sentence, with the same {names} in both.
    """

    language: str
    name: str
    sentences: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    _patterns: tuple[tuple[re.Pattern[str], str], ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        with_names = [sentence for sentence in self.sentences if _names_in(sentence)]
        # The most specific first: the one with the most words besides its names.
        with_names.sort(key=lambda sentence: -len(re.sub(r"\{\w+\}", "", sentence)))
        object.__setattr__(self, "_patterns", tuple((_pattern(each), each) for each in with_names))

    def say(self, sentence: str, **values: object) -> str:
        """Say a sentence that the program knows, with its {names} filled in."""
        return self.sentences.get(sentence, sentence).format(**values)

    def repeat(self, said: str) -> str:
        """Say again what was already said in English, such as a remark of the decoder, names filled in.

        What fills a name in is said again as well, where it is itself a sentence.
        """
        if said in self.sentences:
            return self.sentences[said].format()
        for pattern, sentence in self._patterns:
            if found := pattern.fullmatch(said):
                values = {name: self.repeat(value) for name, value in found.groupdict().items()}
                return self.sentences[sentence].format(**values)
        return said


ENGLISH = Wording("en", "English")


def load_wordings(folder: Path | None = None) -> dict[str, Wording]:
    """Read every language (default folder: `conf/wording/`); language tag -> wording, English always among them.

    Raises `WordingFileError`, which names the file and the sentence that is wrong.
    """
    found = sorted((folder or conf_dir() / "wording").glob("*.yaml"))
    return {"en": ENGLISH} | {path.stem: _read(path) for path in found}


def languages() -> tuple[str, ...]:
    """Return the language tags that `load_wordings` knows by its files, without reading them."""
    return ("en", *sorted(path.stem for path in (conf_dir() / "wording").glob("*.yaml")))


class _WordingFile(BaseModel):
    """The content of a table. name: the language's English name. sentences: English sentence -> sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sentences: dict[str, str]

    @field_validator("sentences")
    @classmethod
    def _names_are_the_same(cls, value: dict[str, str]) -> dict[str, str]:
        for english, other in value.items():
            if _names_in(english) != _names_in(other):
                raise ValueError(f"the sentence {english!r} and its translation need the same {{names}}")
        return value


def _read(path: Path) -> Wording:
    table = read_model(_WordingFile, path, WordingFileError, "a wording")
    return Wording(path.stem, table.name, MappingProxyType(table.sentences))


def _names_in(sentence: str) -> set[str]:
    try:
        return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}
    except ValueError as error:
        raise ValueError(f"the sentence {sentence!r} has an unmatched brace") from error


def _pattern(sentence: str) -> re.Pattern[str]:
    """Match what `say` makes of a sentence; a name that comes twice has the same value twice."""
    parts, seen = [], set[str]()
    for words, name, _, _ in Formatter().parse(sentence):
        parts.append(re.escape(words))
        if name is not None:
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>.+?)")
            seen.add(name)
    return re.compile("".join(parts), re.DOTALL)


def percent(probability: float) -> str:
    """Write a probability in [0, 1] as a reader expects it: '87 %', and never as certain: '<1 %', '>99 %'."""
    if probability < 0.01:
        return "<1 %"
    if probability > 0.99:
        return ">99 %"
    return f"{100 * probability:.0f} %"


def short_digest(model: ModelIdentity) -> str:
    """Return the first 12 hexadecimal digits of the weights digest, enough for a person to compare."""
    return model.weights_digest.removeprefix("sha256:")[:12]


def model_line(model: ModelIdentity, wording: Wording = ENGLISH) -> str:
    """Name the model in one line."""
    return wording.say("{model}, weights {digest}", model=f"{model.name} {model.version}", digest=short_digest(model))


def calibration_line(model: ModelIdentity, wording: Wording = ENGLISH) -> str:
    """Say whether a probability may be read as one, and where."""
    if model.calibrated:
        return wording.say(
            "The probabilities are calibrated on images like those the weights were trained on; "
            "elsewhere they may be off."
        )
    return wording.say("The probabilities are not calibrated.")


def training_line(model: ModelIdentity, wording: Wording = ENGLISH) -> str:
    """Say what the weights were trained on, in the words of the model's card."""
    return wording.say("The weights were trained on: {data}.", data=model.training_data.strip().rstrip("."))
