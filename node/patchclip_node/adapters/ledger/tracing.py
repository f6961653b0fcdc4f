"""Spans of a study's way, made in the writing transaction of what ended them, and told once it is committed.

A study revision keeps the `traceparent` of its whole way, so that spans of all processes and hosts are of one trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, select

from patchclip_node.adapters.ledger.schema import studies
from patchclip_node.domain.records import ReceivedInstance
from patchclip_node.domain.steps import Step
from patchclip_node.domain.traces import Arriving, Span, TraceContext

SPANS: Final = "patchclip_spans"
"""Execution option of a writing transaction: the list that takes its spans; None where none are told."""

_NAMES: Final[Mapping[Step, str]] = {Step.RECEIVE: "closing", Step.WAIT: "queue", Step.WHOLE: "study"}
"""Of those steps whose span has another name."""


def trace_steps(
    connection: Connection, study_id: int, ended_at: datetime, times: Mapping[Step, float], destination: str = ""
) -> None:
    """Make a span of each step, which are in the order of the way and end where the next one begins."""
    spans: list[Span] | None = connection.get_execution_options().get(SPANS)
    if spans is None or (whole := _trace_of(connection, study_id)) is None:
        return
    row = connection.execute(select(studies.c.revision, studies.c.instance_count).where(studies.c.id == study_id)).one()
    facts: dict[str, str | int] = {"patchclip.revision": row.revision, "patchclip.images": row.instance_count}
    if destination:
        facts["patchclip.destination"] = destination
    begin = ended_at - timedelta(seconds=sum(times.values()))
    for step, seconds in times.items():
        end = begin + timedelta(seconds=seconds)
        is_whole = step is Step.WHOLE
        context, parent = (whole, None) if is_whole else (whole.child(), whole)
        spans.append(Span(_NAMES.get(step, step.value), context, begin, end, parent, attributes=facts))
        begin = end


def trace_arrival(connection: Connection, study_id: int, instance: ReceivedInstance, came: Arriving | None) -> None:
    """Make a span of an instance that came over the network, with a link to the association that brought it."""
    spans: list[Span] | None = connection.get_execution_options().get(SPANS)
    if spans is None or came is None or (whole := _trace_of(connection, study_id)) is None:
        return
    facts: dict[str, Any] = {"patchclip.size_bytes": instance.size_bytes}
    ended_at = instance.received_at
    began_at = min(came.began_at, ended_at)
    spans.append(Span("C-STORE", whole.child(), began_at, ended_at, whole, (came.association,), facts))


def _trace_of(connection: Connection, study_id: int) -> TraceContext | None:
    kept = connection.execute(select(studies.c.traceparent).where(studies.c.id == study_id)).scalar_one_or_none()
    return None if kept is None else TraceContext.read(kept)
