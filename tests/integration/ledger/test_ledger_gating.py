"""Held results: nothing of them is sent before a person, or the end of their hold, says so."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.audit import events
from patchclip_node.domain.records import DeliveryState, FinishedAnalysis, StudyRecord
from patchclip_node.domain.release import AtTimeOut, Held
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.variants import ResultKind
from tests.support.fakes import START, make_instance, make_result
from tests.support.studies import DESTINATION, LEASE_S, OTHER_DESTINATION, OWNER, newest_revision

BY = events.person("alice")
BOTH = (DESTINATION, OTHER_DESTINATION)
UID = "1.2.3"
HELD = Held("held by the route all")
LATER = START + timedelta(hours=25)


def analysed(
    ledger: SqlLedger, *held: str, hold: Held = HELD, kept: str = "", number: int = 1, withdraws: bool = False
) -> StudyRecord:
    """Let an image arrive and be analysed, for two destinations."""
    ledger.arrivals.record(make_instance(UID, number, received_at=START))
    ledger.arrivals.close_quiet(START, 0)
    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None
    result = make_result(f"{UID}.9.{leased.study.revision}", ResultKind.SR)
    finished = FinishedAnalysis(
        [result],
        {name: [result.sop_instance_uid] for name in BOTH},
        {},
        "{}",
        withdraws_earlier=withdraws,
        held=dict.fromkeys(held, hold),
        kept=kept,
    )
    ledger.analyses.finish(leased.study.id, OWNER, START, finished)
    return newest_revision(ledger)


def states(ledger: SqlLedger, study: StudyRecord) -> dict[str, DeliveryState]:
    return {one.destination: one.state for one in ledger.studies.deliveries(study.id)}


def deliver(ledger: SqlLedger) -> list[str]:
    """Send all that is due; returns where to."""
    sent = []
    for name in BOTH:
        while lease := ledger.deliveries.lease(LATER, OWNER, LEASE_S, [name]):
            for one in lease.deliveries:
                ledger.deliveries.confirm(one.id, OWNER, LATER)
                sent.append(name)
    return sent


def happened(ledger: SqlLedger, study: StudyRecord) -> list[StudyEvent]:
    return [one.event for one in ledger.studies.events(study.id)][3:]


def test_a_study_whose_results_are_all_held_waits_and_nothing_of_it_can_be_leased(ledger: SqlLedger) -> None:
    study = analysed(ledger, *BOTH)

    assert study.state is StudyState.HELD
    assert deliver(ledger) == []
    assert ledger.workload.due(LATER) == (0, 0)


def test_what_is_released_goes_and_the_study_ends_returned(ledger: SqlLedger) -> None:
    study = analysed(ledger, *BOTH)

    assert ledger.gates.release(UID, START, BY, "looks right").state is StudyState.RETURNING

    assert sorted(deliver(ledger)) == sorted(BOTH)
    assert newest_revision(ledger).state is StudyState.RETURNED
    released = next(one for one in ledger.studies.events(study.id) if one.event is StudyEvent.RELEASED)
    assert released.detail == f"released for {DESTINATION}, {OTHER_DESTINATION} by alice: looks right"


def test_what_is_refused_never_goes_and_the_study_ends_kept(ledger: SqlLedger) -> None:
    study = analysed(ledger, *BOTH)

    assert ledger.gates.refuse(UID, START, BY, "artefact").state is StudyState.KEPT

    assert deliver(ledger) == []
    assert {one.last_error for one in ledger.studies.deliveries(study.id)} == {
        f"refused for {DESTINATION}, {OTHER_DESTINATION} by alice: artefact"
    }
    with pytest.raises(KeyError):
        ledger.gates.release(UID, START, BY, "")


def test_a_destination_without_a_hold_gets_its_results_and_the_study_waits_for_the_other(ledger: SqlLedger) -> None:
    study = analysed(ledger, OTHER_DESTINATION)

    assert study.state is StudyState.ANALYSED
    assert deliver(ledger) == [DESTINATION]
    assert newest_revision(ledger).state is StudyState.HELD
    assert ledger.gates.refuse(UID, LATER, BY, "no").state is StudyState.RETURNED
    assert states(ledger, study) == {DESTINATION: DeliveryState.DELIVERED, OTHER_DESTINATION: DeliveryState.REFUSED}


def test_a_decision_may_be_for_one_destination(ledger: SqlLedger) -> None:
    study = analysed(ledger, *BOTH)

    ledger.gates.release(UID, START, BY, "", OTHER_DESTINATION)
    assert deliver(ledger) == [OTHER_DESTINATION]
    assert newest_revision(ledger).state is StudyState.HELD
    with pytest.raises(KeyError, match=OTHER_DESTINATION):
        ledger.gates.refuse(UID, START, BY, "", OTHER_DESTINATION)
    ledger.gates.release(UID, START, BY, "", DESTINATION)
    assert deliver(ledger) == [DESTINATION]
    assert happened(ledger, study) == [
        StudyEvent.ANALYSIS_FINISHED,
        StudyEvent.HELD_BACK,
        StudyEvent.RELEASED,
        StudyEvent.HELD_BACK,
        StudyEvent.RELEASED,
        StudyEvent.ALL_DELIVERED,
    ]


def test_a_shadow_study_is_kept_and_has_no_deliveries(ledger: SqlLedger) -> None:
    study = analysed(ledger, kept="the route shadow keeps results here")

    assert study.state is StudyState.KEPT
    assert states(ledger, study) == {}
    assert len(ledger.studies.results(study.id)) == 1
    with pytest.raises(KeyError):
        ledger.gates.release(UID, START, BY, "")
    assert ledger.requeueing.requeue(UID, START).revision == 2


@pytest.mark.parametrize(
    ("then", "state", "sent"),
    [
        (AtTimeOut.RELEASE, StudyState.RETURNED, 2),
        (AtTimeOut.DROP, StudyState.KEPT, 0),
        (AtTimeOut.KEEP, StudyState.HELD, 0),
    ],
)
def test_a_holds_time_ends_as_it_says_and_not_before(
    ledger: SqlLedger, then: AtTimeOut, state: StudyState, sent: int
) -> None:
    analysed(ledger, *BOTH, hold=Held("held", None if then is AtTimeOut.KEEP else 24.0, then))

    assert ledger.gates.time_out(START + timedelta(hours=23.9), BY) == []
    ledger.gates.time_out(START + timedelta(hours=24), BY)

    assert len(deliver(ledger)) == sent
    assert newest_revision(ledger).state is state


def test_earlier_results_are_withdrawn_when_the_later_ones_leave_and_not_while_they_are_held(
    ledger: SqlLedger,
) -> None:
    first = analysed(ledger)
    assert len(deliver(ledger)) == 2
    analysed(ledger, *BOTH, number=2, withdraws=True)

    assert ledger.recalls.owed_notes(10) == []
    assert newest_revision(ledger).state is StudyState.HELD
    ledger.gates.release(UID, LATER, BY, "", withdraws_earlier=True)

    assert {one.destination for one in ledger.recalls.owed_notes(10)} == set(BOTH)
    assert all(one.recall is not None for one in ledger.studies.results(first.id))


def test_what_is_held_of_an_earlier_revision_is_replaced_by_a_later_one(ledger: SqlLedger) -> None:
    first = analysed(ledger, *BOTH)
    second = analysed(ledger, *BOTH, number=2)

    assert set(states(ledger, first).values()) == {DeliveryState.REFUSED}
    assert ledger.studies.revisions(UID)[0].state is StudyState.KEPT
    assert ledger.gates.release(UID, START, BY, "").id == second.id
    assert len(deliver(ledger)) == 2


def test_a_decision_on_an_unknown_study_names_it(ledger: SqlLedger) -> None:
    with pytest.raises(KeyError, match=r"9\.9"):
        ledger.gates.release("9.9", START, BY, "")


def test_a_held_study_is_not_purged(ledger: SqlLedger) -> None:
    analysed(ledger, *BOTH)

    assert not ledger.retention.forget(UID, [], LATER)


def test_each_decision_is_told_to_the_audit_trail_with_who_and_why(ledger: SqlLedger) -> None:
    analysed(ledger, *BOTH)
    ledger.gates.release(UID, START, BY, "fine", DESTINATION)
    ledger.gates.refuse(UID, START, BY, "blurred", OTHER_DESTINATION)

    told = [one.event for one in ledger.audit.pending(0)]
    acts = [(dict(part.details).get("act"), event.actors[0].name) for event in told for part in event.objects]
    assert (f"released for {DESTINATION} by alice: fine", "alice") in acts
    assert (f"refused for {OTHER_DESTINATION} by alice: blurred", "alice") in acts
