"""Whatever goes wrong is settled in the ledger: tried again, failed with its error, or dropped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import pytest

from patchclip_core.errors import DecoderTimeoutError
from patchclip_node.domain.errors import LedgerUnavailableError, SpoolUnavailableError, StorageFullError
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.spool import StoredFile
from patchclip_node.services.analyse.room import LEAST_BYTES
from patchclip_node.services.analyse.service import ROOM_AGAIN
from tests.support.bench import PACS, Bench
from tests.support.studies import LEASE_S, OWNER


@pytest.mark.parametrize(
    "trouble", [DecoderTimeoutError("decoding took longer than 60 s"), OSError(5, "Input/output error"), MemoryError()]
)
def test_trouble_that_may_pass_postpones_the_study(bench: Bench, trouble: Exception) -> None:
    bench.decoder.trouble = trouble
    bench.arrive()

    bench.run_one()

    study = bench.study()
    assert study.state is StudyState.RECEIVED
    assert study.not_before is not None
    assert (study.not_before - bench.clock.now()).total_seconds() == 10
    bench.decoder.trouble = None
    assert bench.run_one() is False
    bench.clock.advance(10)
    assert bench.finished == []
    assert bench.run_one() is True
    assert bench.study().state is StudyState.ANALYSED
    assert bench.finished == [StudyState.ANALYSED], "who sends is called when the ledger has the results"


def test_after_its_attempts_a_study_fails_and_keeps_the_error(bench: Bench) -> None:
    bench.decoder.trouble = DecoderTimeoutError("decoding took longer than 60 s")
    bench.arrive()

    for _ in range(bench.attempts):
        assert bench.run_one() is True
        bench.clock.advance(3600)

    assert bench.study().state is StudyState.FAILED
    assert bench.study().error == "given up after attempt 3 of 3: DecoderTimeoutError: decoding took longer than 60 s"
    assert bench.run_one() is False


def test_a_study_that_kills_its_worker_is_not_tried_for_ever(bench: Bench) -> None:
    bench.arrive()
    for _ in range(bench.attempts):
        assert bench.ledger.analyses.lease(bench.clock.now(), "dead", LEASE_S) is not None
        bench.ledger.leases.expire(bench.clock.now(), ["dead"])

    bench.run_one()

    assert bench.study().state is StudyState.FAILED
    assert "given up after attempt 3 of 3" in (bench.study().error or "")
    assert bench.analyzer.batch_sizes == []


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_disk_that_fills_up_meanwhile_postpones_and_leaves_nothing_half_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    bench.arrive()
    before, write, left = set(bench.spool.files), bench.spool.write, [writes]

    def full(chunks: Iterable[bytes]) -> StoredFile:
        left[0] -= 1
        if left[0] < 0:
            raise StorageFullError("no room in the spool")
        return write(chunks)

    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "write", full)
        bench.run_one()

    assert (bench.study().state, bench.study().attempts) == (StudyState.RECEIVED, 0)
    assert set(bench.spool.files) == before
    assert bench.ledger.studies.results(bench.study().id) == []
    bench.clock.advance(ROOM_AGAIN.total_seconds())
    assert bench.run_one()
    assert bench.study().state is StudyState.ANALYSED


def test_a_full_disk_is_no_attempt_however_long_it_lasts(bench: Bench) -> None:
    bench.destinations = (PACS.model_copy(update={"profile": "ohif"}),)  # a picture, which needs more than the least
    bench.arrive()
    room, bench.spool.room_bytes = bench.spool.room_bytes, LEAST_BYTES
    for attempt in range(3 * bench.attempts):
        assert bench.run_one() is True
        bench.clock.advance(ROOM_AGAIN.total_seconds())
        study = bench.study()
        assert (study.state, study.attempts, study.error) == (StudyState.RECEIVED, 0, "no room in the memory spool")
        assert attempt or bench.analyzer.batch_sizes == []

    bench.spool.room_bytes = room

    assert bench.run_one() is True
    assert (bench.study().state, bench.study().error) == (StudyState.ANALYSED, None)
    assert bench.analyzer.batch_sizes == [1]


def test_on_a_disk_without_any_room_no_study_is_even_leased(bench: Bench) -> None:
    bench.arrive()
    before = bench.study()
    bench.spool.room_bytes = LEAST_BYTES - 1

    assert bench.run_one() is False

    assert bench.study() == before


def test_a_store_that_is_away_is_no_attempt_and_takes_no_lease(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.arrive()

    def away(_: object) -> NoReturn:
        raise SpoolUnavailableError("the store does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(bench.spool, "local_path", away)
        assert bench.run_one() is True
        study = bench.study()
        assert (study.state, study.attempts, study.error) == (StudyState.RECEIVED, 0, "the store does not answer")
        bench.clock.advance(ROOM_AGAIN.total_seconds())
        patched.setattr(bench.spool, "reserved", away)
        assert bench.run_one() is False
        assert bench.study() == study

    assert bench.run_one() is True
    assert bench.study().state is StudyState.ANALYSED


def test_a_defect_fails_the_study_at_once_with_its_error(bench: Bench) -> None:
    bench.analyzer.trouble = ZeroDivisionError("division by zero")
    bench.arrive()

    bench.run_one()

    assert bench.study().state is StudyState.FAILED
    assert bench.study().error == "ZeroDivisionError: division by zero"


def test_a_lost_lease_drops_the_work_and_its_files(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.arrive()
    before = set(bench.spool.files)
    analyse = bench.analyzer.analyze_batch

    def slowly(radiographs: object) -> object:
        bench.ledger.leases.expire(bench.clock.now(), [OWNER])
        return analyse(radiographs)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(bench.analyzer, "analyze_batch", slowly)

    assert bench.run_one() is True

    assert bench.study().state is StudyState.RECEIVED
    assert set(bench.spool.files) == before


def test_a_ledger_that_goes_away_leaves_the_study_to_the_sweep(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.arrive()

    def down(*args: object) -> None:
        raise LedgerUnavailableError("the ledger does not answer")

    with monkeypatch.context() as patched:
        for method in ("finish", "postpone"):
            patched.setattr(bench.ledger.analyses, method, down)
        assert bench.run_one() is True

    assert bench.study().state is StudyState.ANALYSING
    bench.ledger.leases.expire(bench.clock.advance(LEASE_S + 1))
    assert bench.run_one() is True
    assert bench.study().state is StudyState.ANALYSED
