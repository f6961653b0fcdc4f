"""What a C-STORE response means for us (PS3.4 table B.2-1, PS3.7 annex C)."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Answer(Enum):
    """What to do after a response."""

    STORED = auto()
    TRY_AGAIN = auto()
    REFUSED = auto()


_DUPLICATE_SOP_INSTANCE: Final = 0x0111
"""The peer has it already, as after a connection that broke between its storing and its answer."""

_REFUSALS: Final = {
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0115: "invalid argument value",
    0x0117: "invalid SOP instance UID",
    0x0119: "class-instance conflict",
    0x0120: "missing attribute",
    0x0121: "missing attribute value",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
}
"""General failures (PS3.7 annex C) that the same bytes would meet again."""


def answer(status: int) -> Answer:
    """Say what a status means.

    Success (0000), a warning (Bxxx, and the general 0001, 0107, 0116) and "duplicate SOP instance" (0111): the peer has
    the object. A9xx (data set does not match SOP class), Cxxx (cannot understand) and refusals for the class or the
    sender: the same bytes will not get in. All else, A7xx (out of resources) above all, may pass.
    """
    if status in {0x0000, 0x0001, 0x0107, 0x0116, _DUPLICATE_SOP_INSTANCE} or status >> 12 == 0xB:
        return Answer.STORED
    if status in _REFUSALS or status >> 8 == 0xA9 or status >> 12 == 0xC:
        return Answer.REFUSED
    return Answer.TRY_AGAIN


def meaning(status: int) -> str:
    """Return words for a failure status."""
    if status in _REFUSALS:
        return _REFUSALS[status]
    if status >> 8 == 0xA7:
        return "out of resources"
    if status >> 8 == 0xA9:
        return "data set does not match SOP class"
    if status >> 12 == 0xC:
        return "cannot understand"
    return "processing failure"
