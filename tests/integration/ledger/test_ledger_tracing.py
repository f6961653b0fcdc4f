"""Spans are made of what the ledger settles, told once it is committed, and none is made where none is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.traces import Arriving, Span, TraceContext, arriving
from tests.support.fakes import START, make_instance
from tests.support.studies import LEASE_S, OWNER, only_revision


@dataclass
class Told:
    """Keeps spans."""

    spans: list[Span] = field(default_factory=list)
    is_on: bool = True

    def tell(self, span: Span) -> None:
        self.spans.append(span)


@pytest.fixture
def told(ledger: SqlLedger) -> Told:
    told = Told()
    ledger.trace_by(told)
    return told


def test_the_first_steps_are_of_the_study_s_own_trace(ledger: SqlLedger, told: Told) -> None:
    association = TraceContext.new()
    with arriving(Arriving(association, START - timedelta(seconds=1))):
        ledger.arrivals.record(make_instance())
    ledger.arrivals.close_quiet(START + timedelta(seconds=5), 0)
    ledger.analyses.lease(START + timedelta(seconds=7), OWNER, LEASE_S)

    whole = TraceContext.read(only_revision(ledger).traceparent)
    assert whole is not None
    assert [(one.name, (one.ended_at - one.started_at).total_seconds()) for one in told.spans] == [
        ("C-STORE", 1),
        ("closing", 5),
        ("queue", 2),
    ]
    assert {one.parent for one in told.spans} == {whole}
    assert [one.links for one in told.spans] == [(association,), (), ()]
    assert len({one.context.span_id for one in told.spans}) == 3


def test_another_study_and_another_revision_have_other_traces(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance())
    ledger.arrivals.close_quiet(START, 0)
    ledger.analyses.lease(START, OWNER, LEASE_S)
    late = make_instance(sop_instance_uid="1.2.3.99", sha256="99" * 32)
    ledger.arrivals.record(replace(late, received_at=START + timedelta(seconds=9)))

    traces = [one.traceparent for one in ledger.studies.find()]

    assert len(traces) == 2
    assert None not in [TraceContext.read(one) for one in traces]
    assert len(set(traces)) == 2


def test_what_is_rolled_back_is_not_told(ledger: SqlLedger, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.arrivals.record(make_instance())

    def fails(*_: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("patchclip_node.adapters.ledger.receiving.trace_arrival", fails)
    with pytest.raises(RuntimeError):
        ledger.arrivals.record(make_instance(sop_instance_uid="1.2.3.98", sha256="98" * 32))
    assert told.spans == []


def test_where_nobody_wants_spans_none_is_made(ledger: SqlLedger, told: Told) -> None:
    told.is_on = False
    with arriving(Arriving(TraceContext.new(), START)):
        ledger.arrivals.record(make_instance())
    ledger.arrivals.close_quiet(START + timedelta(seconds=5), 0)

    assert told.spans == []
