"""Whether a report is in English, by its small words: the rules that read it know no other language."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(r"[^\W\d_]+")

_OF_ENGLISH: Final = """
a an and are as at been compared evidence for from has have heart in is it lungs lung no normal not of on or
seen stable the there this to unchanged was were which with within without
"""
_OF_OTHERS: Final = """
als auf bei beidseits beidseitig bds das dem den der des die ein eine einem einen eines es frei für im ist
kein keine keinen keinem keiner links linksseitig lunge lungen mit nach nachweis nicht ohne rechts rechtsseitig
sich sind und unauffällig vom von zeigt zum zur ausgeschlossen befund herz hinweis verdacht anhalt erguss

absence au aucun aucune aux avec ce cette dans de droit droite du elle en est et gauche il la le les ne non
pas par pour sans sont sur un une poumon poumons pulmonaire pulmonaires clair claires normale

el los las sin con del izquierdo derecho gli senza della nel sem com uma het een geen van niet
"""
"""Of German; French; Spanish, Italian, Portuguese and Dutch; none that reports in English use."""

_ENGLISH: Final = frozenset(_OF_ENGLISH.split())
_OTHERS: Final = frozenset(_OF_OTHERS.split())


def is_english(text: str) -> bool:
    """Tell whether a text is English as far as its small words say; one without any of them is taken for English.

    A word with another letter than those of ASCII counts as foreign.
    """
    words = [word.casefold() for word in _WORDS.findall(text)]
    foreign = sum(word in _OTHERS or not word.isascii() for word in words)
    return foreign <= sum(word in _ENGLISH for word in words) / 2
