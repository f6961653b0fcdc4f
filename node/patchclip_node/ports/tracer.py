"""Where finished spans go; nowhere, unless the settings name a collector."""

from __future__ import annotations

from typing import Final, Protocol

from patchclip_node.domain.traces import Span


class Tracer(Protocol):
    """Takes spans. Neither call raises or waits for a network."""

    @property
    def is_on(self) -> bool:
        """Tell whether spans are worth making."""
        ...

    def tell(self, span: Span) -> None:
        """Take a finished span."""
        ...


class _NoTracer:
    @property
    def is_on(self) -> bool:
        return False

    def tell(self, span: Span) -> None:
        """Take it nowhere."""


NO_TRACER: Final[Tracer] = _NoTracer()
"""What does nothing."""
