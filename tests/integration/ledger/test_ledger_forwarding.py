"""An edge receiver's ledger: what came is planned as it came, the most urgent first, and nothing twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.recalls import RecallScope
from patchclip_node.domain.records import Arrival, DeliveryLease, DeliveryState, Priority
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.variants import ForwardedKind
from patchclip_node.services.forward import ForwardService
from patchclip_node.settings import read_settings
from tests.support.fakes import START, FakeClock, make_instance
from tests.support.studies import LEASE_S, OWNER, newest_revision


def forward(ledger: SqlLedger, *destinations: str) -> tuple[int, list[int]]:
    """Do a step of the service; returns how many studies went on, and whether lanes were called."""
    called: list[int] = []
    clock = FakeClock(START + timedelta(seconds=10))
    service = ForwardService(
        ledger.arrivals, ledger.forwards, clock, destinations or ("central",), 5, 600, lambda: called.append(1)
    )
    return service.run_once(), called


def leased(ledger: SqlLedger, name: str = "central") -> DeliveryLease:
    lease = ledger.deliveries.lease(START + timedelta(seconds=10), OWNER, LEASE_S, [name])
    assert lease is not None
    return lease


def deliver(ledger: SqlLedger, name: str = "central") -> DeliveryLease:
    lease = leased(ledger, name)
    for one in lease.deliveries:
        ledger.deliveries.confirm(one.id, OWNER, START + timedelta(seconds=10))
    return lease


def test_images_of_a_closed_study_go_to_each_destination_as_they_came(ledger: SqlLedger) -> None:
    images = [make_instance(number=number) for number in (1, 2)]
    for one in images:
        ledger.arrivals.record(one)

    assert forward(ledger, "central", "second") == (1, [1])
    assert forward(ledger, "central", "second") == (0, [])
    first = deliver(ledger)
    assert newest_revision(ledger).state is StudyState.RETURNING
    deliver(ledger, "second")

    sent = [one.result.result for one in first.deliveries]
    assert [one.spool_key for one in sent] == [one.spool_key for one in images]
    assert {one.kind for one in sent} == {ForwardedKind.IMAGE}
    study = newest_revision(ledger)
    assert study.state is StudyState.RETURNED
    assert StudyEvent.FORWARDED in [one.event for one in ledger.studies.events(study.id)]


def test_what_is_urgent_goes_first(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance("1"))
    ledger.arrivals.record(make_instance("2", priority=Priority.STAT, received_at=START + timedelta(seconds=1)))

    assert forward(ledger) == (2, [1])
    assert [deliver(ledger).study.study_instance_uid for _ in range(2)] == ["2", "1"]


def test_a_late_image_and_a_correction_go_alone_and_a_repetition_not_at_all(ledger: SqlLedger) -> None:
    first = make_instance(sha256="1" * 64)
    corrected = make_instance(sha256="2" * 64)
    for one in (first, corrected):
        ledger.arrivals.record(one)
    forward(ledger)
    assert [one.result.result.sha256 for one in deliver(ledger).deliveries] == ["1" * 64, "2" * 64]

    late = make_instance(number=2)
    assert ledger.arrivals.record(make_instance(sha256="1" * 64)) is Arrival.DUPLICATE
    assert ledger.arrivals.record(late) is Arrival.OPENED_REVISION
    forward(ledger)

    assert [one.result.result.spool_key for one in deliver(ledger).deliveries] == [late.spool_key]
    again = ledger.requeueing.requeue("1.2.3", START)
    assert forward(ledger) == (1, [1])
    assert newest_revision(ledger).revision == again.revision
    assert newest_revision(ledger).state is StudyState.RETURNED


def test_an_image_that_went_on_is_no_result_to_recall_or_to_know_again(ledger: SqlLedger) -> None:
    image = make_instance()
    ledger.arrivals.record(image)
    forward(ledger)
    deliver(ledger)

    assert not ledger.arrivals.issued(image.header.sop_instance_uid)
    assert ledger.recalls.concerned(RecallScope.STUDY, "1.2.3") == []
    assert ledger.retention.forget("1.2.3", (), START)
    assert ledger.retention.leftovers(9) == [image.spool_key]
    assert ledger.recalls.concerned(RecallScope.STUDY, "1.2.3") == []


def test_no_time_ends_what_an_edge_has_acknowledged() -> None:
    place = {"name": "central", "ae_title": "CENTRAL", "host": "192.0.2.1", "port": 104}
    edge = read_settings(None, forward=True, destinations=[place])

    assert not edge.delivery_policy.gives_up(START, START + timedelta(days=9999))
    assert edge.retention_policy.undelivered_days is None
    assert edge.retention_policy.returned_days == edge.retention.returned_days


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"destinations": ()}, "name under destinations"),
        ({"profile": "ohif"}, "no profile or objects"),
        ({"objects": ("sr",)}, "no profile or objects"),
        ({"routes": ({"name": "all"},)}, "set them at the node that analyses"),
        ({"alerts": {"canary": {}}}, "set it at the node that analyses"),
    ],
)
def test_what_an_edge_cannot_do_is_an_error(given: dict[str, object], words: str) -> None:
    place = {"name": "central", "ae_title": "CENTRAL", "host": "192.0.2.1", "port": 104}
    of_place = {key: given[key] for key in ("profile", "objects") if key in given}
    values = {"destinations": (place | of_place,)} | {key: given[key] for key in given if key not in of_place}

    with pytest.raises(ConfigurationError, match=words):
        read_settings(None, forward=True, **values)


def test_one_that_is_refused_for_good_waits_for_a_person(ledger: SqlLedger) -> None:
    ledger.arrivals.record(make_instance())
    forward(ledger)
    (delivery,) = leased(ledger).deliveries
    ledger.deliveries.fail(delivery.id, OWNER, START, "central does not accept it")
    assert newest_revision(ledger).state is StudyState.FAILED

    ledger.requeueing.requeue("1.2.3", START)

    assert newest_revision(ledger).state is StudyState.RETURNING
    assert leased(ledger).deliveries[0].state is DeliveryState.SENDING
