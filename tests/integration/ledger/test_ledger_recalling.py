"""Withdrawn results are never sent again, whatever was under way; who may have them is owed a note."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import RecalledError
from patchclip_node.domain.recalls import RecallReason, RecallRequest, RecallScope
from patchclip_node.domain.records import DeliveryState, FinishedAnalysis, NewResult, OwedNote
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.variants import NoteKind
from tests.support.fakes import START, make_instance, make_result
from tests.support.studies import (
    DESTINATION,
    LEASE_S,
    OTHER_DESTINATION,
    OWNER,
    bring_to,
    newest_revision,
)

DIGEST = "sha256:" + "a" * 64
OF_STUDY = RecallRequest(RecallScope.STUDY, "1.2.3", RecallReason.SAFETY, "left and right were swapped", "alice")
OF_MODEL = RecallRequest(RecallScope.MODEL, DIGEST, RecallReason.QUALITY, "the threshold was wrong", "alice")


def states(ledger: SqlLedger, study_id: int) -> list[DeliveryState]:
    return [one.state for one in ledger.studies.deliveries(study_id)]


def note(owed: OwedNote) -> NewResult:
    uid = f"{owed.study.study_instance_uid}.8.{owed.id}"
    return NewResult(NoteKind.REJECTION_NOTE, "rejection_note", "1.2", uid, f"{uid}.1", uid, 1, "0" * 64)


def send_notes(ledger: SqlLedger) -> list[OwedNote]:
    """Plan all owed notes and deliver them, and what else is due, as their lanes do."""
    owed = ledger.recalls.owed_notes(100)
    for one in owed:
        assert ledger.recalls.settle_note(one, note(one), START)
    deliver(ledger)
    return owed


def deliver(ledger: SqlLedger) -> list[str]:
    sent = []
    for name in (DESTINATION, OTHER_DESTINATION):
        while lease := ledger.deliveries.lease(START, OWNER, LEASE_S, [name]):
            for one in lease.deliveries:
                sent.append(one.result.result.sop_instance_uid)
                ledger.deliveries.confirm(one.id, OWNER, START)
    return sent


def analysed(ledger: SqlLedger, uid: str, digest: str = DIGEST, revision: int = 1, *, withdraws: bool = False) -> int:
    """Let another image of a study come, and analyse the study; returns the revision's row."""
    ledger.arrivals.record(make_instance(uid, revision))
    ledger.arrivals.close_quiet(START, 0)
    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None
    result = make_result(f"{uid}.9.{revision}")
    summary = '{"model":{"weights_digest":"' + digest + '"}}'
    uids = {DESTINATION: [result.sop_instance_uid]}
    finished = FinishedAnalysis([result], uids, {}, summary, digest, withdraws_earlier=withdraws)
    ledger.analyses.finish(leased.study.id, OWNER, START, finished)
    return leased.study.id


def test_a_recall_of_a_returned_study_owes_a_note_and_the_study_ends_when_it_has_arrived(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNED, results=2)
    (extent,) = {one.destinations for one in ledger.recalls.concerned(RecallScope.STUDY, "1.2.3")}

    recall = ledger.recalls.withdraw(OF_STUDY, START)

    assert extent == (DESTINATION,)
    assert states(ledger, study.id) == [DeliveryState.RECALLED] * 2
    assert {one.delivered_at for one in ledger.studies.deliveries(study.id)} == {START}
    assert newest_revision(ledger).state is StudyState.RETURNING
    assert {one.recall for one in ledger.studies.results(study.id)} == {recall}
    (owed,) = send_notes(ledger)
    assert (owed.destination, owed.recall, len(owed.results)) == (DESTINATION, recall, 2)
    assert newest_revision(ledger).state is StudyState.RETURNED
    events = ledger.studies.events(study.id)
    assert [one.detail for one in events if one.event is StudyEvent.RECALLED] == [recall.line]
    assert not ledger.recalls.owed_notes(100)
    assert not ledger.recalls.concerned(RecallScope.STUDY, "1.2.3")
    assert ledger.arrivals.issued("1.2.3.8.1")  # a note that the archive sends back is known, too


def test_what_is_being_sent_ends_as_recalled_and_its_note_waits_for_that(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNING)
    (sending,) = ledger.studies.deliveries(study.id)

    ledger.recalls.withdraw(OF_STUDY, START)

    assert states(ledger, study.id) == [DeliveryState.SENDING]
    assert not ledger.recalls.owed_notes(100)
    ledger.deliveries.confirm(sending.id, OWNER, START)
    assert states(ledger, study.id) == [DeliveryState.RECALLED]
    assert newest_revision(ledger).state is StudyState.RETURNING
    assert len(send_notes(ledger)) == 1
    assert newest_revision(ledger).state is StudyState.RETURNED


ENDS: dict[str, Callable[[SqlLedger, int], object]] = {
    "postponed": lambda ledger, id_: ledger.deliveries.postpone(id_, OWNER, START, "busy", START),
    "failed": lambda ledger, id_: ledger.deliveries.fail(id_, OWNER, START, "refused"),
    "in conflict": lambda ledger, id_: ledger.deliveries.hold(id_, OWNER, START, "another patient"),
    "awaiting commitment": lambda ledger, id_: ledger.deliveries.await_commitment([id_], OWNER, START, "2.25.1", START),
    "taken back": lambda ledger, _: ledger.leases.expire(START, [OWNER]),
}


@pytest.mark.parametrize("how", ENDS)
def test_however_a_sending_ends_a_recalled_result_does_not_go_again(how: str, ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNING)
    (sending,) = ledger.studies.deliveries(study.id)
    ledger.recalls.withdraw(OF_STUDY, START)

    ENDS[how](ledger, sending.id)

    assert states(ledger, study.id) == [DeliveryState.RECALLED]
    assert deliver(ledger) == []
    assert len(send_notes(ledger)) == 1


def test_what_was_never_sent_needs_no_note(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.ANALYSED)

    ledger.recalls.withdraw(OF_STUDY, START)

    assert states(ledger, study.id) == [DeliveryState.RECALLED]
    assert not ledger.recalls.owed_notes(100)
    assert newest_revision(ledger).state is StudyState.RETURNED
    assert deliver(ledger) == []


def test_a_destination_that_is_asked_again_for_what_it_had_is_told_as_well(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNED)
    ledger.requeueing.resend("1.2.3", START)

    ledger.recalls.withdraw(OF_STUDY, START)

    assert deliver(ledger) == []
    assert [one.destination for one in ledger.recalls.owed_notes(100)] == [DESTINATION]


def test_each_destination_is_told_by_a_note(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.PARTLY_RETURNED)

    ledger.recalls.withdraw(OF_STUDY, START)

    assert {one.destination for one in send_notes(ledger)} == {DESTINATION, OTHER_DESTINATION}
    assert newest_revision(ledger).state is StudyState.RETURNED


def test_withdrawn_results_are_not_sent_again_but_analysed_again(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNED)
    ledger.recalls.withdraw(OF_STUDY, START)
    send_notes(ledger)

    with pytest.raises(RecalledError, match=r"recalled \(safety\) by alice on .*: left and right were swapped"):
        ledger.requeueing.resend("1.2.3", START)
    again = ledger.requeueing.requeue("1.2.3", START)

    assert (again.revision, again.state) == (2, StudyState.RECEIVED)
    assert deliver(ledger) == []
    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None
    assert leased.predecessors == ()


def test_results_that_are_not_withdrawn_go_on(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNED, results=2)
    first, second = ledger.studies.results(study.id)

    ledger.recalls.withdraw(OF_STUDY, START, [first.result.sop_instance_uid])
    send_notes(ledger)
    ledger.requeueing.resend("1.2.3", START)

    assert second.result.sop_instance_uid in (sent := deliver(ledger))
    assert first.result.sop_instance_uid not in sent


def test_a_model_is_withdrawn_from_all_of_its_studies_and_makes_nothing_any_more(ledger: SqlLedger) -> None:
    for uid in ("1.1", "1.2"):
        analysed(ledger, uid)
    analysed(ledger, "1.3", digest="sha256:" + "b" * 64)
    deliver(ledger)
    ledger.arrivals.record(make_instance("1.4"))
    ledger.arrivals.close_quiet(START, 0)
    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None

    recall = ledger.recalls.withdraw(OF_MODEL, START)

    assert {one.study.study_instance_uid for one in ledger.recalls.owed_notes(100)} == {"1.1", "1.2"}
    assert ledger.recalls.of_model(DIGEST) == recall
    assert ledger.recalls.of_model("sha256:" + "b" * 64) is None
    late = FinishedAnalysis([make_result("1.4.9")], {DESTINATION: ["1.4.9"]}, {}, "{}", DIGEST)
    with pytest.raises(RecalledError, match="the threshold was wrong"):
        ledger.analyses.finish(leased.study.id, OWNER, START, late)
    assert newest_revision(ledger, "1.4").state is StudyState.ANALYSING


@pytest.mark.parametrize("digest", ["sha256:%", "sha256:" + "_" * 64])
def test_a_digest_is_taken_as_it_is_written(digest: str, ledger: SqlLedger) -> None:
    analysed(ledger, "1.1")

    assert ledger.recalls.concerned(RecallScope.MODEL, digest) == []


def test_a_later_revision_withdraws_what_the_earlier_one_returned(ledger: SqlLedger) -> None:
    first = analysed(ledger, "1.2.3")
    deliver(ledger)

    second = analysed(ledger, "1.2.3", revision=2, withdraws=True)

    (owed,) = ledger.recalls.owed_notes(100)
    assert (owed.study.id, owed.carrier_id) == (first, second)
    assert (owed.recall.request.reason, owed.recall.request.by) == (RecallReason.QUALITY, "this node")
    assert "revision 2" in owed.recall.request.words
    assert states(ledger, first) == [DeliveryState.RECALLED]
    deliver(ledger)
    assert newest_revision(ledger).state is StudyState.RETURNING  # the note is owed
    send_notes(ledger)
    assert [one.state for one in ledger.studies.revisions("1.2.3")] == [StudyState.RETURNED] * 2
    assert states(ledger, second) == [DeliveryState.DELIVERED] * 2


def test_what_a_later_revision_replaces_before_it_was_sent_is_never_sent(ledger: SqlLedger) -> None:
    analysed(ledger, "1.2.3")

    analysed(ledger, "1.2.3", revision=2, withdraws=True)

    assert deliver(ledger) == ["1.2.3.9.2"]
    assert not ledger.recalls.owed_notes(100)
    assert [one.state for one in ledger.studies.revisions("1.2.3")] == [StudyState.RETURNED] * 2


@pytest.mark.parametrize("how", [*ENDS, "delivered"])
def test_a_revision_that_is_replaced_while_it_is_sent_ends_with_the_sending(how: str, ledger: SqlLedger) -> None:
    first = analysed(ledger, "1.2.3")
    lease = ledger.deliveries.lease(START, OWNER, LEASE_S, [DESTINATION])
    assert lease is not None
    (sending,) = lease.deliveries
    analysed(ledger, "1.2.3", revision=2, withdraws=True)

    ends = ENDS | {"delivered": lambda ledger, id_: ledger.deliveries.confirm(id_, OWNER, START)}
    ends[how](ledger, sending.id)

    assert states(ledger, first) == [DeliveryState.RECALLED]
    assert ledger.studies.revisions("1.2.3")[0].state is StudyState.RETURNED
    assert len(send_notes(ledger)) == 1
    assert ledger.studies.revisions("1.2.3")[1].state is StudyState.RETURNED


def test_earlier_results_stay_where_they_are_kept(ledger: SqlLedger) -> None:
    first = analysed(ledger, "1.2.3")
    deliver(ledger)

    analysed(ledger, "1.2.3", revision=2)

    assert states(ledger, first) == [DeliveryState.DELIVERED]
    assert not ledger.recalls.owed_notes(100)


def test_a_note_is_planned_once_whoever_builds_it(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNED)
    ledger.recalls.withdraw(OF_STUDY, START)
    (mine,), (theirs,) = ledger.recalls.owed_notes(100), ledger.recalls.owed_notes(100)

    assert ledger.recalls.settle_note(mine, note(mine), START)
    assert not ledger.recalls.settle_note(theirs, note(theirs), START)

    assert states(ledger, study.id) == [DeliveryState.RECALLED, DeliveryState.PENDING]


def test_a_recall_outlasts_its_study(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNED)
    recall = ledger.recalls.withdraw(OF_STUDY, START)

    assert not ledger.retention.forget("1.2.3", [], START)  # its note is owed
    send_notes(ledger)

    assert ledger.retention.forget("1.2.3", [], START)
    assert ledger.recalls.all() == [recall]


def purged(ledger: SqlLedger, *uids: str) -> None:
    """Let these studies be analysed, returned and purged."""
    for uid in uids:
        analysed(ledger, uid)
    deliver(ledger)
    for uid in uids:
        assert ledger.retention.forget(uid, [], START)
        assert ledger.studies.revisions(uid) == []


IMAGE = make_instance("1.2.3").header.sop_instance_uid
OF_IMAGE = RecallRequest(RecallScope.IMAGE, IMAGE, RecallReason.SAFETY, "it is of another patient", "alice")


@pytest.mark.parametrize("asked", [OF_STUDY, OF_MODEL, OF_IMAGE], ids=["study", "model", "image"])
def test_what_was_sent_of_a_purged_study_is_withdrawn(ledger: SqlLedger, asked: RecallRequest) -> None:
    purged(ledger, "1.2.3", "1.2.4")
    of = ["1.2.3", "1.2.4"] if asked.scope is RecallScope.MODEL else ["1.2.3"]
    found = ledger.recalls.concerned(asked.scope, asked.subject)
    assert [(one.study_instance_uid, one.destinations) for one in found] == [(uid, (DESTINATION,)) for uid in of]

    ledger.recalls.withdraw(asked, START, [one.sop_instance_uid for one in found])

    owed = send_notes(ledger)
    assert [(one.study.study_instance_uid, one.destination) for one in owed] == [(uid, DESTINATION) for uid in of]
    told = [one.result.sop_instance_uid for note_ in owed for one in note_.results]
    assert told == [one.sop_instance_uid for one in found]
    assert {one.study.patient_id for one in owed} == {make_instance().header.patient_id}
    assert {newest_revision(ledger, uid).state for uid in of} == {StudyState.RETURNED}
    assert ledger.recalls.concerned(asked.scope, asked.subject) == []
    assert ledger.retention.forget("1.2.3", [], START)
    assert ledger.recalls.concerned(asked.scope, asked.subject) == []


def test_what_was_withdrawn_before_the_purge_is_not_withdrawn_again(ledger: SqlLedger) -> None:
    analysed(ledger, "1.2.3")
    deliver(ledger)
    ledger.recalls.withdraw(OF_STUDY, START)
    send_notes(ledger)
    assert ledger.retention.forget("1.2.3", [], START)

    assert ledger.recalls.concerned(RecallScope.STUDY, "1.2.3") == []


def test_an_image_that_comes_after_the_purge_opens_the_next_revision(ledger: SqlLedger) -> None:
    """UIDs of results derive from study and revision: under the same number they would be those of what was sent."""
    purged(ledger, "1.2.3")
    ledger.arrivals.record(make_instance("1.2.3", 2))
    assert newest_revision(ledger, "1.2.3").revision == 2

    ledger.recalls.withdraw(OF_STUDY, START)

    assert [one.revision for one in ledger.studies.revisions("1.2.3")] == [1, 2]
    assert newest_revision(ledger, "1.2.3").state is StudyState.RECEIVING


def test_what_is_kept_of_purged_studies_has_an_end(ledger: SqlLedger) -> None:
    purged(ledger, "1.2.3")

    ledger.retention.forget_purged(START - timedelta(seconds=1))
    assert ledger.recalls.concerned(RecallScope.STUDY, "1.2.3")
    ledger.retention.forget_purged(START)

    assert ledger.recalls.concerned(RecallScope.STUDY, "1.2.3") == []
