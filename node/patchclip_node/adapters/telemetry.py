"""Spans by OpenTelemetry's SDK to a collector, over OTLP/HTTP. Needs the extra `telemetry`: importing it does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

from patchclip_node.domain.traces import Span, TraceContext
from patchclip_node.product import PRODUCT_VERSION

_SERVICE: Final = "patchclip-node"
_NANOSECONDS: Final = 1_000_000_000
_MICROSECONDS: Final = 1000


class OtlpTracer:
    """The port `Tracer`. Spans wait in memory, at most 2048, and go in batches from a thread of the SDK's.

    A collector that is down costs the spans that find no room, and a line in the log; nothing else.
    """

    def __init__(self, endpoint: str, timeout_s: float, facts: Mapping[str, str]) -> None:
        """`facts`: what all spans share, such as the process."""
        self._resource = Resource({"service.name": _SERVICE, "service.version": PRODUCT_VERSION, **facts})
        self._processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s))

    @property
    def is_on(self) -> bool:
        """See the port."""
        return True

    def tell(self, span: Span) -> None:
        """See the port."""
        self._processor.on_end(
            ReadableSpan(
                name=span.name,
                context=_context(span.context),
                parent=None if span.parent is None else _context(span.parent),
                resource=self._resource,
                attributes=dict(span.attributes),
                links=[Link(_context(one)) for one in span.links],
                kind=SpanKind.INTERNAL,
                start_time=_nanoseconds(span.started_at),
                end_time=_nanoseconds(span.ended_at),
            )
        )

    def close(self) -> None:
        """Send what waits, and end."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def _context(context: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=flags)


def _nanoseconds(moment: datetime) -> int:
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * _NANOSECONDS + moment.microsecond * _MICROSECONDS
