"""A trace's place in words, and what is on its way in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from patchclip_node.domain.traces import Arriving, TraceContext, arriving, what_arrives


def test_a_context_is_what_its_traceparent_says() -> None:
    one = TraceContext.new()

    assert TraceContext.read(one.traceparent) == one
    assert one.traceparent == f"00-{one.trace_id}-{one.span_id}-01"
    assert (one.child().trace_id, len(one.child().span_id)) == (one.trace_id, 16)
    assert one.child() != one.child()


@pytest.mark.parametrize("text", ["", "00-abc-def-01", "01-" + "a" * 32 + "-" + "b" * 16 + "-01", "x" * 55])
def test_what_is_not_a_traceparent_is_none(text: str) -> None:
    assert TraceContext.read(text) is None


def test_nothing_arrives_but_in_the_context_of_its_arrival() -> None:
    instance = Arriving(TraceContext.new(), datetime(2026, 1, 2, tzinfo=UTC))

    with arriving(instance):
        assert what_arrives() is instance
    assert what_arrives() is None
