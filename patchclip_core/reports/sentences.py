"""Report text into sections, sentences, and what a sentence says is not there: rules, in plain sight.

The negation rules follow the idea of NegEx (Chapman et al., J Biomed Inform 2001): a cue opens a scope that ends at a
turning word, at a semicolon or at the end of the sentence.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from patchclip_core.reports.headings import report_headings

_ABBREVIATION: Final = re.compile(r"(?:\b(?:dr|drs|mr|mrs|ms|prof|vs|e\.g|i\.e|approx|no|fig|st)|\b[A-Za-z])\.$", re.I)
_LIST_NUMBER: Final = re.compile(r"^\s*(?:\(?\d{1,2}[.)]|[-*\u2022])\s+")
_SENTENCE_END: Final = re.compile(
    r"(?<=[a-z]{2}\.)(?=[A-Z][a-z])|"  # a blank was forgotten
    r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(]?[A-Z\u00c0-\u00de0-9_])|\n\s*\n|\n(?=\s*(?:\d{1,2}[.)]|[-*\u2022])\s)"
)
_HOLLOW: Final = re.compile(r"\b(?:X{2,}|none|n/?a|unavailable|not available)\b|_{2,}|[^A-Za-z]+", re.IGNORECASE)
_NORMAL: Final = re.compile(r"\bo\. ?B\b")
"""`ohne Befund`, the shortest of reports: two letters that say all."""

_SHOWN: Final = "seen|identified|present|visible|visuali[sz]ed|evident|apparent|noted|appreciated|demonstrated"
_BEFORE: Final = (
    r"no",
    r"not? (?:have|show|demonstrate|reveal|see|seen|any)",
    r"without(?: evidence of)?",
    r"absence of",
    r"absent",
    r"free of",
    r"clear of",
    r"negative for",
    r"neither",
    r"nor",
    r"denies",
    r"rules? out",
    r"(?:has|have) resolved",
    r"(?:is|are) not",
    r"never",
    r"resolution of",
    r"(?:does|do|did) not appear",
)
_AFTER: Final = (
    rf"(?:is|are|was|were) (?:not|no longer) (?:\w+ )?(?:{_SHOWN})",
    rf"not (?:{_SHOWN})",
    r"(?:is|are|was|were) (?:absent|excluded|ruled out)",
    r"(?:has|have) (?:\w+ )?(?:resolved|cleared)",
)
_FALSE_CUES: Final = (
    r"no (?:(?:significant|interval|substantial|appreciable|relevant|definite) )*(?:change|increase|decrease)",
    r"not (?:significantly |substantially |appreciably )?changed",
    r"not only",
    r"not (?:entirely |completely |definitely )?excluded?",
    r"cannot (?:\w+ )?(?:be )?(?:entirely |completely )?excluded?",
    r"without (?:\w+ )?change",
    r"no longer",
    r"without difficulty",
)
_TURNS: Final = re.compile(
    r"\b(?:but|however|although|though|except|apart from|aside from|other than|yet|which|secondary to|because of|"
    r"there (?:is|are)|with (?!out))|;|:",
    re.IGNORECASE,
)
_NEGATION: Final = re.compile(r"\b(?:" + "|".join(_BEFORE) + r")\b", re.IGNORECASE)
_TRAILING_NEGATION: Final = re.compile(r"\b(?:" + "|".join(_AFTER) + r")\b", re.IGNORECASE)
_FALSE: Final = re.compile(r"\b(?:" + "|".join(_FALSE_CUES) + r")\b", re.IGNORECASE)
_DOUBT_BEFORE: Final = (
    r"possibl[ey]|possibility of|probabl[ey]|likely|presumed|presumably|question|questionable|equivocal",
    r"suspect|suspected|suspicious for|suspicion (?:of|for)|concern(?:ing)? for|worrisome for",
    r"suggest(?:s|ing|ive)?(?: of)?",
    r"may (?:represent|reflect|be|indicate|suggest)|might|could (?:represent|reflect|be)|can represent",
    r"cannot (?:\w+ )?(?:be )?(?:entirely |completely )?(?:exclude|rule out)|not (?:entirely |completely )?exclude",
    r"difficult to (?:\w+ )?exclude|differential|versus|vs|rule out|r/o|consider|consideration of|if",
    r"evaluat(?:e|ion) (?:for|of)|correlat(?:e|ion) (?:\w+ )?for|to identify|may obscure|could obscure",
    r"history of|previously|prior",  # of another time: it says nothing sure of this image
)
_DOUBT_AFTER: Final = (
    r"(?:is|are|was|were) (?:\w+ )?(?:possible|probable|likely|suspected|questionable|considered|questioned)",
    r"(?:cannot|can not|could not|may not) (?:\w+ )?be (?:\w+ )?(?:excluded|ruled out)",
    r"(?:is|are|was|were) not (?:\w+ )?(?:excluded|ruled out)",
    r"(?:would|could|may|might) be (?:a )?consider(?:ed|ation)|(?:is|remains) a consideration",
    r"(?:is |are )?difficult to (?:\w+ )?exclude",
    r"versus|vs",
)
_DOUBT: Final = re.compile(r"\b(?:" + "|".join(_DOUBT_BEFORE) + r")\b", re.IGNORECASE)
_TRAILING_DOUBT: Final = re.compile(r"\b(?:" + "|".join(_DOUBT_AFTER) + r")\b", re.IGNORECASE)
_CLAUSE_START: Final = re.compile(r"[,;:]|\b(?:but|however|although|while)\b", re.IGNORECASE)

_DATE: Final = re.compile(
    # Any year: de-identified sets move their dates by centuries.
    r"\b(?:\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2})|\d{4}[/.-]\d{1,2}[/.-]\d{1,2}|"
    r"(?:\d{1,2}[ -])?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)[a-z]*[ .-]+(?:\d{1,2},? )?\d{4})\b"
)
_NAME: Final = re.compile(r"\b(?:Dr|Drs|Mr|Mrs|Ms|Prof)\.? [A-Z][A-Za-z'-]+(?: [A-Z][A-Za-z'-]+)?")
_NUMBER: Final = re.compile(r"\b\d+(?:\.\d+){4,}\b|\d{6,}")


@dataclass(frozen=True, slots=True)
class Sections:
    """What a report says of the image, in the order of its parts."""

    findings: str
    impression: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and the parts of it that it says are not there: (start, end) character offsets."""

    text: str
    negated: tuple[tuple[int, int], ...]

    @property
    def is_negative(self) -> bool:
        """Whether anything in it is negated."""
        return bool(self.negated)

    def negates(self, term: str) -> bool | None:
        """Tell whether each mention of a term is negated; None where the term is not in the sentence."""
        mentions = list(re.finditer(rf"\b{re.escape(term)}", self.text, re.IGNORECASE))
        if not mentions:
            return None
        return all(any(start <= mention.start() < end for start, end in self.negated) for mention in mentions)


def sections(report: str) -> Sections:
    """Return findings and impression of a report; question, comparison, technique and the like are left behind.

    What follows the question on a later line is under no heading, if it begins as findings do. Text under no
    heading counts as findings where no heading announces any: without titles (`CHEST, SINGLE AP VIEW.`) and without
    sentences that ask (`rule out`, `64-year-old`, a question mark). `headings` has the rules.
    """
    headings = report_headings()
    said: dict[str, list[str]] = defaultdict(list)
    for part in headings.parts(report):
        said[part.kind].append(part.text)
    findings = _joined(said["findings"])
    if not says_something(findings) or headings.is_titles_alone(findings):
        findings = _joined([headings.unheaded_findings(text) for text in said["none"]])
    return Sections(findings, _joined(said["impression"]))


def sentences(text: str) -> tuple[Sentence, ...]:
    """Return the sentences of a section, numbers of lists removed, each with what it negates."""
    found: list[str] = []
    for piece in _SENTENCE_END.split(text):
        plain = " ".join(_LIST_NUMBER.sub("", piece).split())
        if not plain or plain == ".":
            continue
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] = f"{found[-1]} {plain}"
        else:
            found.append(plain)
    return tuple(Sentence(sentence, _negated(sentence)) for sentence in found if says_something(sentence))


def says_something(text: str) -> bool:
    """Tell whether a text has a word that is not a blank of de-identification (`XXXX`, `___`) or `none`."""
    return _NORMAL.search(text) is not None or any(len(word) > 1 for word in _HOLLOW.sub(" ", text).split())


def kept_of(report: str) -> str:
    """Return what a prepared set keeps of a report: findings and impression under headings, without identifiers.

    `sections` reads it as it reads the report. Empty where neither has words.
    """
    found = sections(report)
    parts = (("FINDINGS", found.findings), ("IMPRESSION", found.impression))
    return "\n".join(f"{heading}: {without_identifiers(said)}" for heading, said in parts if says_something(said))


def without_identifiers(text: str) -> str:
    """Replace dates, titled names, UIDs and long numbers in a report by `___`. It is a net, not a guarantee."""
    for pattern in (_NAME, _DATE, _NUMBER):
        text = pattern.sub("___", text)
    return text


def doubted(sentence: str) -> tuple[tuple[int, int], ...]:
    """Return the parts of a sentence that it is not sure of, all of it if it asks: (start, end) character offsets."""
    if sentence.rstrip().endswith("?"):
        return ((0, len(sentence)),)
    spans = []
    for cue in _DOUBT.finditer(sentence):
        turn = _TURNS.search(sentence, cue.end())
        spans.append((cue.end(), turn.start() if turn else len(sentence)))
    for cue in _TRAILING_DOUBT.finditer(sentence):
        starts = [match.end() for match in _CLAUSE_START.finditer(sentence, 0, cue.start())]
        spans.append((starts[-1] if starts else 0, cue.start()))
    return tuple(sorted((start, end) for start, end in spans if end > start))


def _negated(sentence: str) -> tuple[tuple[int, int], ...]:
    false = [match.span() for match in _FALSE.finditer(sentence)]
    spans = []
    for cue in _NEGATION.finditer(sentence):
        if any(start <= cue.start() < end for start, end in false):
            continue
        turn = _TURNS.search(sentence, cue.end())
        spans.append((cue.end(), turn.start() if turn else len(sentence)))
    for cue in _TRAILING_NEGATION.finditer(sentence):
        if any(start < cue.end() and cue.start() < end for start, end in false):
            continue
        starts = [match.end() for match in _CLAUSE_START.finditer(sentence, 0, cue.start())]
        spans.append((starts[-1] if starts else 0, cue.start()))
    return tuple(sorted((start, end) for start, end in spans if end > start))


def _joined(parts: list[str]) -> str:
    return "\n".join(part.strip() for part in parts if part.strip())
