"""In which language a page speaks: the first of those that a browser asks for and that results are said in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from patchclip_core.values.definitions import conf_dir
from patchclip_core.values.wording import ENGLISH, Wording, load_wordings

_MOST_ASKED = 20


@dataclass(frozen=True, slots=True)
class Speech:
    """A language of the pages. results: what results say in it. pages: that, and what only pages say.

    They are apart since `repeat` finds sentences again in what is said: a page's few words would be found in many.
    """

    results: Wording
    pages: Wording

    def say(self, sentence: str, **values: object) -> str:
        """Say a sentence that the program knows."""
        return self.pages.say(sentence, **values)

    def repeat(self, said: str) -> str:
        """Say again what results said in English."""
        return self.results.repeat(said)


def load_speech() -> dict[str, Speech]:
    """Read all languages of the pages, by their tags; raises `WordingFileError`."""
    own = load_wordings(conf_dir() / "wording" / "pages")
    return {language: _speech(results, own.get(language, ENGLISH)) for language, results in load_wordings().items()}


def _speech(results: Wording, own: Wording) -> Speech:
    return Speech(results, Wording(results.language, results.name, {**results.sentences, **own.sentences}))


def chosen(accepted: str, known: Mapping[str, Speech]) -> Speech:
    """Return the language for an Accept-Language header (RFC 9110, 12.5.4); English where it names none that is known.

    A range counts by its language: de-CH is de.
    """
    for language in _asked(accepted):
        if language in known:
            return known[language]
    return known[ENGLISH.language]


def _asked(accepted: str) -> list[str]:
    """Return the languages of a header, what is wanted most first; what is not a range is left out."""
    weighted = []
    for part in accepted.split(",")[:_MOST_ASKED]:
        name, _, parameter = part.strip().partition(";")
        weight = _weight(parameter.strip())
        if name and weight > 0:
            weighted.append((weight, name.partition("-")[0].strip().lower()))
    return [language for _, language in sorted(weighted, key=lambda one: -one[0])]


def _weight(parameter: str) -> float:
    if not parameter:
        return 1.0
    try:
        return float(parameter.removeprefix("q="))
    except ValueError:
        return 0.0


__all__ = ["Speech", "chosen", "load_speech"]
