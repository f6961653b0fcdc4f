from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import (
    DatasetMismatchError,
    InstanceTooLargeError,
    LedgerCommitUnknownError,
    LedgerUnavailableError,
    StorageFullError,
    UnreadableInstanceError,
)
from patchclip_node.domain.records import Arrival, InstanceHeader
from patchclip_node.services.receive import ReceiveService
from tests.support.fakes import FakeClock, MemorySpool, make_instance

HEADER = make_instance(patient_id="SECRET-ID", patient_name="Secret^Name").header


@pytest.fixture
def service(spool: MemorySpool, ledger: SqlLedger, clock: FakeClock) -> ReceiveService:
    return ReceiveService(spool, ledger.arrivals, clock, lambda _: HEADER, max_instance_bytes=100)


@pytest.fixture
def incoming(spool: MemorySpool) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = spool.incoming_dir() / "new"
        path.write_bytes(content)
        return path

    return write


def receive(
    service: ReceiveService,
    path: Path,
    sop_class_uid: str = HEADER.sop_class_uid,
    sop_instance_uid: str = HEADER.sop_instance_uid,
) -> Arrival:
    return service.receive(path, "MODALITY", "PATCHCLIP", "10.0.0.1", sop_class_uid, sop_instance_uid)


def test_a_received_instance_is_in_the_spool_and_in_the_ledger(
    service: ReceiveService, spool: MemorySpool, ledger: SqlLedger, clock: FakeClock, incoming: Callable[[bytes], Path]
) -> None:
    path = incoming(b"bytes as they came")

    arrival = receive(service, path)

    assert arrival is Arrival.OPENED_STUDY
    assert not path.exists()
    (record,) = ledger.studies.instances(HEADER.study_instance_uid)
    assert spool.files == {record.instance.spool_key: b"bytes as they came"}
    assert record.instance.header == HEADER
    assert record.instance.received_at == clock.now()
    assert (record.instance.calling_ae_title, record.instance.called_ae_title) == ("MODALITY", "PATCHCLIP")
    assert record.instance.peer_address == "10.0.0.1"


def test_a_duplicate_is_acknowledged_and_leaves_one_file(
    service: ReceiveService, spool: MemorySpool, ledger: SqlLedger, incoming: Callable[[bytes], Path]
) -> None:
    receive(service, incoming(b"same"))
    kept = dict(spool.files)

    arrival = receive(service, incoming(b"same"))

    assert arrival is Arrival.DUPLICATE
    assert spool.files == kept
    assert ledger.studies.instances(HEADER.study_instance_uid)[0].instance.spool_key in kept


def test_an_own_result_is_acknowledged_and_kept(
    spool: MemorySpool, ledger: SqlLedger, clock: FakeClock, incoming: Callable[[bytes], Path]
) -> None:
    header = make_instance(issued_by_product=True).header
    service = ReceiveService(spool, ledger.arrivals, clock, lambda _: header, 100)

    arrival = receive(service, incoming(b"result"))

    assert arrival is Arrival.OWN_RESULT
    assert len(spool.files) == 1
    assert ledger.studies.revisions(header.study_instance_uid) == []


@pytest.mark.parametrize(
    ("sop_class_uid", "sop_instance_uid", "words"),
    [
        ("1.2.840.10008.5.1.4.1.1.7", HEADER.sop_instance_uid, "SOP Class UID"),
        (HEADER.sop_class_uid, "1.2.3.999", "SOP Instance UID"),
    ],
)
def test_another_instance_than_was_announced_is_refused(
    service: ReceiveService,
    spool: MemorySpool,
    incoming: Callable[[bytes], Path],
    sop_class_uid: str,
    sop_instance_uid: str,
    words: str,
) -> None:
    path = incoming(b"bytes")

    with pytest.raises(DatasetMismatchError, match=words):
        receive(service, path, sop_class_uid, sop_instance_uid)

    assert not path.exists()
    assert spool.files == {}


def test_an_instance_at_the_limit_is_taken_and_a_larger_one_is_not(
    service: ReceiveService, spool: MemorySpool, incoming: Callable[[bytes], Path]
) -> None:
    receive(service, incoming(b"x" * 100))

    with pytest.raises(InstanceTooLargeError, match="101 bytes"):
        receive(service, incoming(b"x" * 101))

    assert [len(content) for content in spool.files.values()] == [100]


def test_what_cannot_be_read_is_refused_and_gone(
    spool: MemorySpool, ledger: SqlLedger, clock: FakeClock, incoming: Callable[[bytes], Path]
) -> None:
    def read_header(_: Path) -> InstanceHeader:
        raise UnreadableInstanceError("no SOP Class UID")

    path = incoming(b"not DICOM")

    with pytest.raises(UnreadableInstanceError):
        receive(ReceiveService(spool, ledger.arrivals, clock, read_header, 100), path)

    assert not path.exists()
    assert spool.files == {}


def test_a_full_spool_is_told_and_nothing_is_recorded(
    service: ReceiveService, spool: MemorySpool, ledger: SqlLedger, incoming: Callable[[bytes], Path]
) -> None:
    spool.room_bytes = 3
    path = incoming(b"too much")

    with pytest.raises(StorageFullError):
        receive(service, path)

    assert not path.exists()
    assert ledger.studies.instances(HEADER.study_instance_uid) == []


def test_when_the_ledger_does_not_answer_no_file_stays_behind(
    service: ReceiveService,
    spool: MemorySpool,
    ledger: SqlLedger,
    incoming: Callable[[bytes], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def down(_: object) -> Arrival:
        raise LedgerUnavailableError("down")

    monkeypatch.setattr(ledger.arrivals, "record", down)

    with pytest.raises(LedgerUnavailableError):
        receive(service, incoming(b"bytes"))

    assert spool.files == {}


def test_when_the_commit_may_have_happened_the_file_stays_and_sending_again_is_safe(
    service: ReceiveService,
    spool: MemorySpool,
    ledger: SqlLedger,
    incoming: Callable[[bytes], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = ledger.arrivals.record

    def lost_after_commit(instance: object) -> Arrival:
        record(instance)  # type: ignore[arg-type]  # as wide as monkeypatch
        raise LedgerCommitUnknownError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(ledger.arrivals, "record", lost_after_commit)
        with pytest.raises(LedgerCommitUnknownError):
            receive(service, incoming(b"bytes"))

    arrival = receive(service, incoming(b"bytes"))

    assert arrival is Arrival.DUPLICATE
    (known,) = ledger.studies.instances(HEADER.study_instance_uid)
    assert spool.files == {known.instance.spool_key: b"bytes"}


def test_the_log_tells_what_came_and_names_no_patient(
    service: ReceiveService, incoming: Callable[[bytes], Path]
) -> None:
    with capture_logs() as logs:
        receive(service, incoming(b"bytes"))

    (entry,) = logs
    assert entry["event"] == "instance_received"
    assert entry["arrival"] == "opened study"
    assert entry["sop_instance_uid"] == HEADER.sop_instance_uid
    assert entry["size_bytes"] == 5
    assert "secret" not in str(entry).lower()
