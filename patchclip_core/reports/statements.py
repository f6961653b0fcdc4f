"""What sentences of a report state of findings: which, there or not there, on which side; rules, in plain sight.

Stage 1 asks whether two sentences say the same. They do where their statements are the same, whatever their words; a
sentence without a statement says the same only as one with the same words. How much, how sure and whether more or less
than before are not part of a statement: one image cannot tell the last, and words such as `small` mean little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from patchclip_core.reports.names import KNOWN, NO_FINDING
from patchclip_core.reports.sentences import Sentence

Side = Literal["", "left", "right", "both"]

ABNORMALITY: Final = "abnormality"
"""What a sentence denies that calls the whole image normal."""

_SYNONYMS: Final = {
    "lung opacity": "opacity|opacification|airspace opacity|air-space opacity|airspace disease|air space disease",
    "ground glass opacity": "ground-glass opacity|ground glass opacification|ground-glass opacification|ggo",
    "infiltration": "infiltrate",
    "pleural effusion": "effusion|pleural fluid|hydrothorax|blunting of the costophrenic angle",
    "pulmonary edema": "edema|oedema|pulmonary oedema",
    "cardiomegaly": "enlarged heart|enlarged cardiac silhouette|heart is enlarged|cardiac enlargement",
    "atelectasis": "atelectases|atelectatic",
    "pneumothorax": "pneumothoraces",
    "covid-19": "covid|covid19",
    "copd": "chronic obstructive pulmonary disease",
    "rib fracture": "fracture of a rib|fractured rib",
    "hernia": "hiatal hernia|hiatus hernia",
}
_NOT_FINDINGS: Final = {"left lung", "right lung", "airways", "cardiac shadow", "other lesion", "other diseases"}
_DENIALS: Final = {
    "cardiomegaly": r"(?:heart|cardiac)(?: size| silhouette)? (?:is |was |appears )?"
    r"(?:normal|not enlarged|unremarkable)|normal (?:size of the heart|heart(?: size)?|cardiac (?:size|silhouette))",
    "lung opacity": r"lungs (?:(?:are|were|appear|remain) )?(?:grossly )?clear|clear lungs",
    "pleural effusion": r"costophrenic angles (?:are|were|remain) (?:sharp|clear)",
    ABNORMALITY: r"no (?:acute |significant |active )?(?:cardiopulmonary |pulmonary |chest )?"
    r"(?:findings?|disease|abnormalit(?:y|ies)|process)\b(?! boxed)|no abnormality boxed|"
    r"(?:chest|cxr|radiograph|x-ray|film)(?: \w+)?(?::| is| was| appears)? (?:normal|unremarkable)|"
    r"normal (?:chest|cxr|radiograph|x-ray|film|study)|^normal\.?$",
}
"""What a sentence denies without a word of negation."""

_LEFT, _RIGHT, _BOTH = (
    re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    for words in (
        r"left(?! untreated)|lll|lul",
        "right|rll|rul|rml",
        r"bilateral|bilaterally|both (?:\w+ )?(?:lungs?|lobes|zones|fields|sides|bases|hemithoraces|costophrenic)",
    )
)
_PLACE: Final = re.compile(
    r"\b(?:left|right|central|bilateral|upper|mid|middle|lower|basal|basilar|apical|apex|base|bases|hilar|perihilar|"
    r"zones?|lobes?|fields?)\b",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """A finding is there, or is not. finding: the plain name that data sets have for it. side: empty where not said."""

    finding: str
    present: bool
    side: Side = ""


Meaning = frozenset[Statement | str]
"""What a text says: its statements, and the plain words of each of its sentences that has none."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A finding that a sentence names, or denies without naming it. start: where, a character offset."""

    finding: str
    start: int
    present: bool


def mentions_of(sentence: Sentence) -> Iterator[Mention]:
    """Yield what a sentence says of findings: first what it denies without a word of negation."""
    denied = []
    for finding, pattern in _DENIED.items():
        for match in pattern.finditer(sentence.text):
            denied.append(match.span())
            yield Mention(finding, match.start(), present=False)
    for mention in _MENTION.finditer(sentence.text):
        start = mention.start()
        if not any(first <= start < end for first, end in denied):
            negated = any(first <= start < end for first, end in sentence.negated)
            yield Mention(_FINDING_OF[str(mention.lastgroup)], start, present=not negated)


def statements_of(sentence: Sentence) -> frozenset[Statement]:
    """Return what a sentence states. A finding that it both states and denies counts as stated."""
    side = _side_of(sentence.text)
    found: dict[str, bool] = {}
    for mention in mentions_of(sentence):
        found[mention.finding] = found.get(mention.finding, False) or mention.present
    return frozenset(Statement(finding, present, side) for finding, present in found.items())


def meaning_of(sentences: Iterable[Sentence]) -> Meaning:
    """Return what sentences say together."""
    said: set[Statement | str] = set()
    for sentence in sentences:
        said |= statements_of(sentence) or {plain_words(sentence.text)}
    return frozenset(said)


def implied_by(meaning: Meaning) -> Meaning:
    """Return a meaning and what follows from it: an effusion on the left is an effusion; none at all is none there."""
    implied = set(meaning)
    for said in meaning:
        if isinstance(said, Statement):
            implied |= {Statement(said.finding, said.present, side) for side in _FOLLOWS[said.present][said.side]}
    return frozenset(implied)


def names_a_place(text: str) -> bool:
    """Tell whether a text says where in the chest something is."""
    return _PLACE.search(text) is not None


def plain_words(text: str) -> str:
    """Return a text as it is compared: its words in lower case, without punctuation."""
    return " ".join(_WORDS.findall(text.casefold()))


_FOLLOWS: Final[dict[bool, dict[Side, tuple[Side, ...]]]] = {
    True: {"": (), "left": ("",), "right": ("",), "both": ("", "left", "right")},
    False: {"": ("left", "right", "both"), "left": ("both",), "right": ("both",), "both": ()},
}


def _side_of(text: str) -> Side:
    left, right = bool(_LEFT.search(text)), bool(_RIGHT.search(text))
    if _BOTH.search(text) or (left and right):
        return "both"
    return "left" if left else "right" if right else ""


def _forms() -> dict[str, str]:
    """Form of a name -> the name."""
    forms = {name: name for name in KNOWN - NO_FINDING - _NOT_FINDINGS}
    for name, synonyms in _SYNONYMS.items():
        forms |= dict.fromkeys((name, *synonyms.split("|")), name)
    return forms


def _plural(form: str) -> str:
    escaped = re.escape(form).replace(r"\ ", r"\s+")
    if form.endswith("y"):
        return escaped[:-1] + "(?:y|ies)"
    return escaped + "(?:e?s)?"


_BY_LENGTH: Final = sorted(_forms().items(), key=lambda item: (-len(item[0]), item[0]))
_FINDING_OF: Final = {f"f{number}": name for number, (_, name) in enumerate(_BY_LENGTH)}
_MENTION: Final = re.compile(
    r"\b(?:" + "|".join(f"(?P<f{number}>{_plural(form)})" for number, (form, _) in enumerate(_BY_LENGTH)) + r")\b",
    re.IGNORECASE,
)
_DENIED: Final = {finding: re.compile(pattern, re.IGNORECASE) for finding, pattern in _DENIALS.items()}
