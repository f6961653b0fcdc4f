"""Traces: which span is part of what, as W3C Trace Context writes it, and spans as values."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_SAMPLED: Final = "01"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span's own place. trace_id: 32 hexadecimal digits. span_id: 16."""

    trace_id: str
    span_id: str

    @classmethod
    def new(cls) -> Self:
        """Return the first span of a trace that did not exist."""
        return cls(secrets.token_hex(16), secrets.token_hex(8))

    @classmethod
    def read(cls, traceparent: str) -> Self | None:
        """Read the header `traceparent` (W3C Trace Context 3.2); None where it is not one."""
        found = _TRACEPARENT.fullmatch(traceparent)
        return None if found is None else cls(found[1], found[2])

    @property
    def traceparent(self) -> str:
        """The same as a header, sampled."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED}"

    def child(self) -> TraceContext:
        """Return a further span of the same trace."""
        return TraceContext(self.trace_id, secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Span:
    """What took how long. parent: the span that it is part of. links: spans of other traces that it has to do with.

    attributes: numbers, AE titles, and names that the configuration gives; never what an image says.
    """

    name: str
    context: TraceContext
    started_at: datetime
    ended_at: datetime
    parent: TraceContext | None = None
    links: tuple[TraceContext, ...] = ()
    attributes: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arriving:
    """An instance on its way in. association: the span of the association that it came over."""

    association: TraceContext
    began_at: datetime


_arriving: ContextVar[Arriving | None] = ContextVar("arriving", default=None)


@contextmanager
def arriving(instance: Arriving) -> Iterator[None]:
    """Let whoever writes the instance down know how it came, for the time of the context."""
    token = _arriving.set(instance)
    try:
        yield
    finally:
        _arriving.reset(token)


def what_arrives() -> Arriving | None:
    """Return what is on its way in, in this thread; None where it did not come over the network."""
    return _arriving.get()
