"""Texts without what tells a patient: names, IDs, accession numbers and UIDs become marks that say nothing outside."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

MARK: Final = "[patient]"

_DOTTED: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+){2,}(?![\w])")
_WRITTEN: Final = re.compile(r"""[^\s"'=,;:()\[\]{}<>]+""")
_WORD: Final = re.compile(r"[^\W_]+")
_LONGEST_VERSION: Final = 16
_STANDARD: Final = "1.2.840.10008."
"""The root of UIDs that DICOM itself gives (PS3.6 annex A): SOP classes and transfer syntaxes tell no patient."""


class Scrubber:
    """Takes out what `identifiers` of the ledger say of patients, and every UID that is not of the standard.

    A UID becomes the same mark everywhere in what one scrubber has scrubbed, so that lines of one study can be told
    together; nothing leads back, since its key is forgotten. Words of names go wherever they stand, in either case.
    """

    def __init__(self, names: Iterable[str], others: Iterable[str]) -> None:
        """names: Patient's Names. others: Patient IDs, accession numbers and UIDs, each taken out as a whole."""
        self._key = secrets.token_bytes(32)
        self._words = {word.casefold() for name in names for word in _WORD.findall(name)}
        wholes = {other.strip() for other in others} - {""}
        self._wholes = {one.casefold() for one in wholes if _WRITTEN.fullmatch(one)}
        pieces = sorted(wholes - {one for one in wholes if one.casefold() in self._wholes}, key=len, reverse=True)
        self._pieces = [re.compile(re.escape(one), re.IGNORECASE) for one in pieces]

    def scrubbed(self, text: str) -> str:
        """Return a text without them."""
        for piece in self._pieces:
            text = piece.sub(MARK, text)
        text = _WRITTEN.sub(lambda found: self._whole(found.group()), text)
        text = _DOTTED.sub(lambda found: self._uid(found.group()), text)
        return _WORD.sub(lambda found: MARK if found.group().casefold() in self._words else found.group(), text)

    def _whole(self, written: str) -> str:
        bare = written.rstrip(".")
        return written.replace(bare, self._mark(bare)) if bare.casefold() in self._wholes else written

    def _mark(self, known: str) -> str:
        return self._pseudonym(known) if re.fullmatch(r"\d+(\.\d+)+", known) else MARK

    def _uid(self, dotted: str) -> str:
        if dotted.startswith(_STANDARD) or _is_address(dotted) or _is_version(dotted):
            return dotted
        return self._pseudonym(dotted)

    def _pseudonym(self, uid: str) -> str:
        return f"[uid {hashlib.blake2b(uid.encode(), key=self._key, digest_size=4).hexdigest()}]"


def _is_version(dotted: str) -> bool:
    """A UID of three parts has a long one: it derives from a UUID (PS3.5 B.2)."""
    return dotted.count(".") == 2 and len(dotted) <= _LONGEST_VERSION


def _is_address(dotted: str) -> bool:
    try:
        ip_address(dotted)
    except ValueError:
        return False
    return True
