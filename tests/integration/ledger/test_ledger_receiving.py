from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.ledger.receiving import MADE_ELSEWHERE
from patchclip_node.domain.records import Arrival, Priority
from patchclip_node.domain.states import StudyEvent, StudyState
from tests.support.fakes import START, make_instance
from tests.support.studies import LEASE_S, OWNER, bring_to, newest_revision, only_revision, result_uids


def test_the_first_image_opens_a_study_that_shows_what_the_image_says(ledger: SqlLedger) -> None:
    instance = make_instance(patient_name="山田^太郎", priority=Priority.HIGH)

    arrival = ledger.arrivals.record(instance)

    study = only_revision(ledger)
    assert arrival is Arrival.OPENED_STUDY
    assert (study.revision, study.state, study.priority) == (1, StudyState.RECEIVING, Priority.HIGH)
    assert (study.patient_id, study.patient_name) == ("PAT-1", "山田^太郎")
    assert (study.accession_number, study.study_description) == ("A-1", "Chest")
    assert study.first_received_at == study.last_received_at == study.state_since == START
    assert (study.instance_count, study.attempts, study.lease_owner) == (1, 0, None)


def test_what_was_recorded_is_read_back_as_it_was(ledger: SqlLedger) -> None:
    instance = make_instance()

    ledger.arrivals.record(instance)

    (record,) = ledger.studies.instances("1.2.3")
    assert record.instance == instance
    assert (record.revision, record.own_result, record.image_reason) == (1, False, None)


def test_times_come_back_in_utc_whatever_zone_they_had(ledger: SqlLedger) -> None:
    tokyo = START.astimezone(timezone(timedelta(hours=9)))

    ledger.arrivals.record(make_instance(received_at=tokyo))

    (record,) = ledger.studies.instances("1.2.3")
    assert record.instance.received_at == START
    assert record.instance.received_at.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(ledger: SqlLedger) -> None:
    with pytest.raises(Exception, match="timezone-aware"):
        ledger.arrivals.close_quiet(START.replace(tzinfo=None), 1)


def test_another_image_joins_the_study_and_raises_its_priority(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(number=1, priority=Priority.ROUTINE))
    ledger.arrivals.record(make_instance(number=2, priority=Priority.STAT, received_at=START + timedelta(seconds=3)))

    arrival = ledger.arrivals.record(make_instance(number=3, priority=Priority.LOW))

    study = only_revision(ledger)
    assert arrival is Arrival.JOINED_STUDY
    assert (study.priority, study.instance_count) == (Priority.STAT, 3)
    assert (study.first_received_at, study.last_received_at) == (START, START + timedelta(seconds=3))


def test_what_the_first_image_left_empty_is_filled_by_a_later_one(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(number=1, patient_id="", patient_name=""))

    ledger.arrivals.record(make_instance(number=2, patient_id="PAT-2", patient_name="Doe^John"))

    study = only_revision(ledger)
    assert (study.patient_id, study.patient_name) == ("PAT-2", "Doe^John")


def test_images_of_two_patients_in_one_study_are_both_kept(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(number=1, patient_id="PAT-1"))

    ledger.arrivals.record(make_instance(number=2, patient_id="PAT-2"))

    assert [record.instance.header.patient_id for record in ledger.studies.instances("1.2.3")] == ["PAT-1", "PAT-2"]


def test_the_same_bytes_again_are_a_duplicate_and_change_nothing(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(sha256="a" * 64))
    before, events = only_revision(ledger), ledger.studies.events(1)

    arrival = ledger.arrivals.record(make_instance(sha256="a" * 64, received_at=START + timedelta(seconds=9)))

    assert arrival is Arrival.DUPLICATE
    assert (only_revision(ledger), ledger.studies.events(1)) == (before, events)
    assert len(ledger.studies.instances("1.2.3")) == 1


def test_a_duplicate_of_a_returned_study_opens_no_revision(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNED)
    (known,) = ledger.studies.instances("1.2.3")

    arrival = ledger.arrivals.record(make_instance(sha256=known.instance.sha256))

    assert arrival is Arrival.DUPLICATE
    assert only_revision(ledger).state is StudyState.RETURNED


def test_the_same_uid_with_other_bytes_is_a_new_image_of_the_same_number(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(sha256="a" * 64))

    arrival = ledger.arrivals.record(make_instance(sha256="b" * 64))

    assert arrival is Arrival.JOINED_STUDY
    assert only_revision(ledger).instance_count == 1
    assert [record.instance.sha256[0] for record in ledger.studies.instances("1.2.3")] == ["a", "b"]


def test_an_image_for_a_closed_study_that_nobody_has_looked_at_opens_it_again(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RECEIVED)

    arrival = ledger.arrivals.record(make_instance(number=2))

    assert arrival is Arrival.JOINED_STUDY
    assert only_revision(ledger).state is StudyState.RECEIVING


@pytest.mark.parametrize(
    "state",
    [StudyState.ANALYSING, StudyState.ANALYSED, StudyState.RETURNING, *sorted({"RETURNED", "REJECTED", "FAILED"})],
)
def test_a_late_image_opens_the_next_revision_and_leaves_the_first_one_alone(ledger: SqlLedger, state: str) -> None:
    first = bring_to(ledger, StudyState(state))

    arrival = ledger.arrivals.record(make_instance(number=2, received_at=START + timedelta(minutes=5)))

    before, opened = ledger.studies.revisions("1.2.3")
    assert arrival is Arrival.OPENED_REVISION
    assert before == first
    assert (opened.revision, opened.state, opened.instance_count) == (2, StudyState.RECEIVING, 2)
    assert opened.first_received_at == START + timedelta(minutes=5)
    assert [record.revision for record in ledger.studies.instances("1.2.3")] == [1, 2]


def test_an_issued_result_that_comes_back_is_recorded_and_starts_nothing(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNED)
    (issued,) = result_uids(study)

    arrival = ledger.arrivals.record(make_instance(sop_instance_uid=issued, has_file=False))

    assert arrival is Arrival.OWN_RESULT
    assert only_revision(ledger) == study
    assert [(record.own_result, record.revision) for record in ledger.studies.instances("1.2.3")] == [
        (False, 1),
        (True, 0),
    ]


def test_what_this_ledger_issued_is_known(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.ANALYSED)

    assert [ledger.arrivals.issued(uid) for uid in (*result_uids(study), "1.2.3.1.1")] == [True, False]


def test_an_own_result_is_recorded_even_where_the_study_is_unknown(ledger: SqlLedger) -> None:
    arrival = ledger.arrivals.record(make_instance(has_file=False))

    assert arrival is Arrival.OWN_RESULT
    assert ledger.studies.revisions("1.2.3") == []
    assert [record.own_result for record in ledger.studies.instances("1.2.3")] == [True]


def test_an_own_result_does_not_keep_a_study_open(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance())

    ledger.arrivals.record(make_instance(number=2, has_file=False, received_at=START + timedelta(seconds=50)))

    assert only_revision(ledger).last_received_at == START
    assert only_revision(ledger).instance_count == 1


def test_an_own_result_has_one_row_however_often_and_with_whatever_bytes_it_comes(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(has_file=False))

    assert [ledger.arrivals.record(make_instance(has_file=False)) for _ in range(2)] == [Arrival.DUPLICATE] * 2
    assert len(ledger.studies.instances("1.2.3")) == 1


@pytest.mark.parametrize("state", [StudyState.RECEIVING, StudyState.RECEIVED, StudyState.RETURNED])
def test_a_picture_that_another_node_made_is_listed_and_changes_no_study(ledger: SqlLedger, state: StudyState) -> None:
    study = bring_to(ledger, state)

    assert ledger.arrivals.record(make_instance(number=2, issued_by_product=True)) is Arrival.OWN_RESULT

    assert only_revision(ledger) == study
    picture = ledger.studies.instances("1.2.3")[1]
    assert (picture.own_result, picture.image_reason) == (True, MADE_ELSEWHERE)
    assert picture.instance.spool_key is not None


def test_a_picture_that_another_node_made_opens_a_study_rather_than_be_out_of_sight(ledger: SqlLedger) -> None:
    assert ledger.arrivals.record(make_instance(issued_by_product=True)) is Arrival.OPENED_STUDY

    assert only_revision(ledger).instance_count == 1


def test_who_sent_lately_is_known_each_once(ledger: SqlLedger) -> None:
    senders = [("OLD", "10.0.0.9"), ("PACS", "10.0.0.1"), ("PACS", "10.0.0.1"), ("PACS", "10.0.0.2")]
    for number, (title, address) in enumerate(senders):
        instance = replace(make_instance(number=number), calling_ae_title=title, peer_address=address)
        ledger.arrivals.record(instance)

    assert sorted(ledger.arrivals.recent_senders(3)) == [("PACS", "10.0.0.1"), ("PACS", "10.0.0.2")]


def test_text_that_no_database_can_keep_is_kept_as_far_as_it_can_be(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(patient_name="Doe\x00^J\udcffane", patient_id="🫁"))

    study = only_revision(ledger)
    assert study.patient_name == "Doe\ufffd^J\ufffdane"
    assert study.patient_id == "🫁"


def test_only_studies_that_were_quiet_long_enough_are_closed(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance("1.1", received_at=START))
    ledger.arrivals.record(make_instance("1.2", received_at=START + timedelta(seconds=1)))

    closed = ledger.arrivals.close_quiet(START + timedelta(seconds=5), 5)

    assert [(study.study_instance_uid, study.state) for study in closed] == [("1.1", StudyState.RECEIVED)]
    assert only_revision(ledger, "1.2").state is StudyState.RECEIVING
    assert [event.event for event in ledger.studies.events(closed[0].id)] == [
        StudyEvent.INSTANCE_ARRIVED,
        StudyEvent.WENT_QUIET,
    ]


def test_a_closed_study_is_closed_once(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RECEIVED)

    assert ledger.arrivals.close_quiet(START + timedelta(hours=1), 5) == []


def test_an_image_for_a_study_whose_worker_died_reopens_it(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.ANALYSING)
    ledger.leases.expire(START + timedelta(seconds=LEASE_S))

    ledger.arrivals.record(make_instance(number=2))
    ledger.arrivals.close_quiet(START, 0)

    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None
    assert [record.instance.header.sop_instance_uid for record in leased.instances] == ["1.2.3.1.1", "1.2.3.1.2"]
    assert newest_revision(ledger).revision == 1


def test_a_study_that_never_goes_quiet_is_closed_all_the_same(ledger: SqlLedger) -> None:
    for second in range(0, 11, 2):
        ledger.arrivals.record(make_instance(number=second, received_at=START + timedelta(seconds=second)))
        assert ledger.arrivals.close_quiet(START + timedelta(seconds=second), 5, 11) == []
    now = START + timedelta(seconds=11)

    closed = ledger.arrivals.close_quiet(now, 5, 11)

    assert [(study.state, study.instance_count) for study in closed] == [(StudyState.RECEIVED, 6)]
    assert ledger.analyses.lease(now, OWNER, LEASE_S) is not None
    assert ledger.arrivals.record(make_instance(number=12, received_at=now)) is Arrival.OPENED_REVISION
    assert ledger.arrivals.close_quiet(now + timedelta(seconds=4), 5, 11) == []


def test_an_open_study_that_nobody_leases_cannot_be_kept_open_by_its_sender(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(received_at=START))
    later = START + timedelta(seconds=11)
    assert len(ledger.arrivals.close_quiet(later, 5, 11)) == 1

    ledger.arrivals.record(make_instance(number=2, received_at=later))

    assert [study.state for study in ledger.arrivals.close_quiet(later, 5, 11)] == [StudyState.RECEIVED]


def test_a_correction_describes_the_study_and_counts_as_no_new_image(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance(patient_name="Do^Jane"))
    ledger.arrivals.record(make_instance(number=2, patient_name="Other^Spelling"))
    ledger.arrivals.record(make_instance(patient_name="Doe^Jane"))

    study = only_revision(ledger)

    assert (study.patient_name, study.instance_count) == ("Doe^Jane", 2)
