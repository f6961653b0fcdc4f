from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.policy import RetentionPolicy
from patchclip_node.domain.states import StudyState
from patchclip_node.services.retain import RetentionService
from tests.support.analysis import FakeDecoder
from tests.support.bench import Bench, summary_of
from tests.support.fakes import START, FakeClock, MemorySpool
from tests.support.studies import bring_to

DAY_S = 86_400.0


@pytest.fixture
def service(ledger: SqlLedger, spool: MemorySpool, clock: FakeClock) -> RetentionService:
    return RetentionService(ledger.retention, ledger.studies, spool, clock, RetentionPolicy(7, 90, 365))


@pytest.mark.parametrize(
    ("state", "days"),
    [
        (StudyState.RETURNED, 7),
        (StudyState.REJECTED, 7),
        (StudyState.PARTLY_RETURNED, 90),
        (StudyState.FAILED, 90),
        (StudyState.RETURNING, None),
        (StudyState.RECEIVING, None),
    ],
)
def test_each_state_has_its_time(
    service: RetentionService, ledger: SqlLedger, clock: FakeClock, state: StudyState, days: float | None
) -> None:
    bring_to(ledger, state)

    clock.advance((days or 3650) * DAY_S - 1)
    assert service.run_once() == 0
    clock.advance(1)

    assert service.run_once() == int(days is not None)
    assert len(ledger.studies.find()) == int(days is None)


def test_without_a_time_nothing_goes(ledger: SqlLedger, spool: MemorySpool, clock: FakeClock) -> None:
    bring_to(ledger, StudyState.RETURNED, "1.1")
    bring_to(ledger, StudyState.FAILED, "1.2")
    service = RetentionService(ledger.retention, ledger.studies, spool, clock, RetentionPolicy(None, None, None))
    clock.advance(3650 * DAY_S)

    assert service.run_once() == 0
    assert len(ledger.studies.find()) == 2


def test_images_results_and_pictures_leave_the_spool_with_the_study(
    ledger: SqlLedger, spool: MemorySpool, clock: FakeClock, tmp_path: Path, service: RetentionService
) -> None:
    bench = Bench(tmp_path, ledger, spool, FakeDecoder(), clock=clock, destinations=())
    bench.arrive()
    bench.run_one()
    (image,) = summary_of(bench.study()).images
    assert bench.study().state is StudyState.RETURNED
    assert image.maps_key in spool.files
    clock.advance(7 * DAY_S)

    assert service.run_once() == 1

    assert spool.files == {}
    assert ledger.retention.leftovers(10) == []


def test_files_that_a_killed_process_left_go_with_the_next_run(
    ledger: SqlLedger, spool: MemorySpool, service: RetentionService
) -> None:
    left = spool.write([b"image"]).key
    bring_to(ledger, StudyState.RETURNED)
    ledger.retention.forget("1.2.3", [left], START)  # and the process is gone before it deletes

    assert service.run_once() == 0

    assert left not in spool.files
    assert ledger.retention.leftovers(10) == []
