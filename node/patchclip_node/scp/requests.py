"""A-ASSOCIATE-RQs that were read before: a sender asks with the same bytes each time, and reading them is slow.

pynetdicom takes some 8 ms of a processor for a request with 128 presentation contexts, which is what many senders
propose. That is as long as receiving an image of a few megabytes takes.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE

_LARGEST_BYTES: Final = 32 * 1024
"""A longer request is read each time: what is remembered takes ten times the room of its bytes."""
_REMEMBERED: Final = 32
"""Senders that propose differently; the one that was silent for longest is forgotten first."""


@dataclass(frozen=True)
class ReadRequest:
    """A request as pynetdicom's state machine takes it (PS3.8 9.2, AE-6)."""

    pdu: A_ASSOCIATE_RQ

    @property
    def protocol_version(self) -> int:
        """The versions of the upper layer protocol that the peer speaks, as bits (PS3.8 9.3.2)."""
        return int(self.pdu.protocol_version)

    def to_primitive(self) -> A_ASSOCIATE:
        """Return what is asked. An answer may be noted on it; the contexts and items that it names stay as they are."""
        return copy(self._primitive)

    @cached_property
    def _primitive(self) -> A_ASSOCIATE:
        return self.pdu.to_primitive()


def read_request(encoded: bytes) -> ReadRequest:
    """Read an A-ASSOCIATE-RQ. Raises whatever pynetdicom raises where it is none."""
    return _remembered(encoded) if len(encoded) <= _LARGEST_BYTES else _read(encoded)


def _read(encoded: bytes) -> ReadRequest:
    pdu = A_ASSOCIATE_RQ()
    pdu.decode(encoded)
    return ReadRequest(pdu)


_remembered = lru_cache(_REMEMBERED)(_read)
