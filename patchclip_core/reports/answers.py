"""What a whole report says of each finding: there, not there, or not sure; what it does not mention has no answer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from patchclip_core.errors import ReportLanguageError
from patchclip_core.reports.language import is_english
from patchclip_core.reports.names import NO_FINDING, plain
from patchclip_core.reports.sentences import Sentence, doubted, sections, sentences
from patchclip_core.reports.statements import ABNORMALITY, mentions_of
from patchclip_core.values.answers import Answer

_ORDER: Final = (Answer.PRESENT, Answer.UNSURE, Answer.ABSENT)
"""What counts where a report says several: `No left effusion. Small right effusion.`"""
_NARROWED: Final = re.compile(r"\b(?:acute|active|significant|interval|new)\b", re.IGNORECASE)
"""What makes of `no abnormality` one of some kind alone."""


def answers_of(report: str, names: Mapping[str, frozenset[str]]) -> dict[str, Answer]:
    """Return what a report in English says, by finding.

    names: finding -> plain names that stand for it. A name of several findings is there for each of them, and denied
    for the one alone that has the fewest names: `no pneumonia` leaves an opacity open. What calls the whole image
    normal denies whatever the report does not mention; `no acute disease` does not: a large heart may be an old one.

    Raises `ReportLanguageError` where the report is not in English.
    """
    if not is_english(report):
        raise ReportLanguageError("the report is not in English; no other language can be read")
    parts = sections(report)
    said: dict[str, set[Answer]] = defaultdict(set)
    normal = False
    for sentence in sentences(f"{parts.findings}\n\n{parts.impression}"):
        for name, answer in _answers(sentence):
            normal |= name == ABNORMALITY and answer is Answer.ABSENT and not _NARROWED.search(sentence.text)
            for finding in _meant(name, answer, names):
                said[finding].add(answer)
    found = {finding: next(answer for answer in _ORDER if answer in answers) for finding, answers in said.items()}
    everything_else = (finding for finding, meant in names.items() if not meant & NO_FINDING) if normal else ()
    return dict.fromkeys(everything_else, Answer.ABSENT) | found


def _answers(sentence: Sentence) -> list[tuple[str, Answer]]:
    doubts = doubted(sentence.text)
    found = []
    for mention in mentions_of(sentence):
        answer = Answer.PRESENT if mention.present else Answer.ABSENT
        if mention.present and any(start <= mention.start < end for start, end in doubts):
            answer = Answer.UNSURE
        found.append((plain(mention.finding), answer))
    return found


def _meant(name: str, answer: Answer, names: Mapping[str, frozenset[str]]) -> list[str]:
    """Return the findings of which a word speaks."""
    meant = [finding for finding, known in names.items() if name in known]
    return sorted(meant, key=lambda finding: len(names[finding]))[:1] if answer is Answer.ABSENT else meant
