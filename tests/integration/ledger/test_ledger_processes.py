"""Several processes and threads on one ledger."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.records import Arrival, FinishedAnalysis, ReceivedInstance
from patchclip_node.domain.states import StudyEvent, StudyState
from tests.support.fakes import START, make_instance, make_result

PROCESSES = 4
STUDIES = 24


def lease_everything(url: str, owner: str) -> list[str]:
    """Analyse until nothing is due; returns the studies, in order."""
    ledger = SqlLedger(url)
    studies = []
    while (leased := ledger.analyses.lease(START, owner, 60)) is not None:
        uid = leased.study.study_instance_uid
        studies.append(uid)
        ledger.analyses.finish(
            leased.study.id,
            owner,
            START,
            FinishedAnalysis([make_result(f"{uid}.9")], {"pacs": [f"{uid}.9"], "research": [f"{uid}.9"]}, {}, "{}"),
        )
    ledger.close()
    return studies


def deliver_everything(url: str, owner: str) -> list[tuple[str, str]]:
    """Deliver until nothing is due; returns the studies and destinations, in order."""
    ledger = SqlLedger(url)
    sent = []
    while ledger.workload.due(START)[1]:
        for name in ("pacs", "research"):
            lease = ledger.deliveries.lease(START, owner, 60, [name])
            if lease is None:  # nothing is due there, or another process sends there
                continue
            sent.append((lease.study.study_instance_uid, lease.destination))
            for delivery in lease.deliveries:
                ledger.deliveries.confirm(delivery.id, owner, START)
    ledger.close()
    return sent


def record_all(url: str, instances: list[ReceivedInstance]) -> list[Arrival]:
    """Record one after the other."""
    ledger = SqlLedger(url)
    arrivals = [ledger.arrivals.record(instance) for instance in instances]
    ledger.close()
    return arrivals


def test_processes_that_lease_at_once_get_each_study_exactly_once(ledger: SqlLedger, ledger_url: str) -> None:
    wanted = [f"1.{number}" for number in range(STUDIES)]
    for uid in wanted:
        ledger.arrivals.record(make_instance(uid))
    ledger.arrivals.close_quiet(START, 0)
    owners = [f"host:{number}:1#1" for number in range(PROCESSES)]

    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as processes:
        analysed = list(processes.map(lease_everything, [ledger_url] * PROCESSES, owners))
        sent = list(processes.map(deliver_everything, [ledger_url] * PROCESSES, owners))

    assert sorted(uid for one in analysed for uid in one) == sorted(wanted)
    assert Counter(pair for one in sent for pair in one) == Counter(
        (uid, destination) for uid in wanted for destination in ("pacs", "research")
    )
    assert ledger.workload.counts().studies_by_state[StudyState.RETURNED] == STUDIES
    for uid in wanted:
        (study,) = ledger.studies.revisions(uid)
        counted = Counter(event.event for event in ledger.studies.events(study.id))
        assert set(counted.values()) == {1}
        assert StudyEvent.ALL_DELIVERED in counted


def test_processes_that_record_images_of_one_study_at_once_make_one_revision(
    ledger: SqlLedger, ledger_url: str
) -> None:
    shared = [make_instance(number=number) for number in range(20)]

    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as processes:
        batches = [shared[start:] + shared[:start] for start in (0, 5, 10, 15)]
        fresh = [[_with_own_spool_key(instance) for instance in batch] for batch in batches]
        arrivals = [one for batch in processes.map(record_all, [ledger_url] * PROCESSES, fresh) for one in batch]

    counted = Counter(arrivals)
    assert counted == {Arrival.OPENED_STUDY: 1, Arrival.JOINED_STUDY: 19, Arrival.DUPLICATE: 60}
    (study,) = ledger.studies.revisions("1.2.3")
    assert study.instance_count == len(ledger.studies.instances("1.2.3")) == len(ledger.studies.events(study.id)) == 20


def test_threads_that_record_at_once_lose_nothing(ledger: SqlLedger) -> None:
    instances = [make_instance(f"1.{number % 4}", number) for number in range(64)]

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(ledger.arrivals.record, instances))

    assert ledger.workload.counts().instances == 64
    assert sum(study.instance_count for study in ledger.studies.find()) == 64


def _with_own_spool_key(instance: ReceivedInstance) -> ReceivedInstance:
    """Give another copy of the same bytes, as a second C-STORE brings it."""
    header = instance.header
    number = int(header.sop_instance_uid.rpartition(".")[2])
    return make_instance(header.study_instance_uid, number, sha256=instance.sha256)
