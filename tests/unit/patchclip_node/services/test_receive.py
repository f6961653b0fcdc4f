from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.dicom.storage import RESULT_SOP_CLASSES, SECONDARY_CAPTURE
from patchclip_node.domain.errors import (
    DatasetMismatchError,
    ForeignResultError,
    InstanceTooLargeError,
    LedgerCommitUnknownError,
    LedgerUnavailableError,
    StorageFullError,
    UnreadableInstanceError,
)
from patchclip_node.domain.records import Arrival, InstanceHeader
from patchclip_node.domain.states import StudyState
from patchclip_node.services.receive import ReceiveService
from patchclip_node.services.urgency import UrgencyQuota
from tests.support.fakes import FakeClock, MemorySpool, make_instance
from tests.support.studies import bring_to, result_uids

HEADER = make_instance(patient_id="SECRET-ID", patient_name="Secret^Name").header


@pytest.fixture
def service(spool: MemorySpool, ledger: SqlLedger, clock: FakeClock) -> ReceiveService:
    return ReceiveService(
        spool, ledger.arrivals, clock, lambda _: HEADER, max_instance_bytes=100, urgency=UrgencyQuota(1)
    )


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


def as_class(sop_class_uid: str, *, issued_by_product: bool, sop_instance_uid: str = "1.2.3.9") -> InstanceHeader:
    header = make_instance(sop_instance_uid=sop_instance_uid, issued_by_product=issued_by_product).header
    return replace(header, sop_class_uid=sop_class_uid)


@pytest.mark.parametrize("state", [StudyState.RECEIVED, StudyState.RETURNED])
@pytest.mark.parametrize("sop_class_uid", [SECONDARY_CAPTURE, *RESULT_SOP_CLASSES])
def test_what_this_node_issued_comes_back_quietly_and_leaves_no_file(
    spool: MemorySpool,
    ledger: SqlLedger,
    clock: FakeClock,
    incoming: Callable[[bytes], Path],
    sop_class_uid: str,
    state: StudyState,
) -> None:
    returned = bring_to(ledger, StudyState.RETURNED, "1.2.4")
    study = bring_to(ledger, state)
    (uid,) = result_uids(returned)
    header = as_class(sop_class_uid, issued_by_product=False, sop_instance_uid=uid)  # a PACS may rewrite equipment
    service = ReceiveService(spool, ledger.arrivals, clock, lambda _: header, 100, UrgencyQuota(1))

    arrivals = [receive(service, incoming(content), header.sop_class_uid, uid) for content in (b"result", b"coerced")]

    assert arrivals == [Arrival.OWN_RESULT, Arrival.DUPLICATE]
    assert (spool.files, list(spool.incoming_dir().iterdir())) == ({}, [])
    assert ledger.studies.revisions("1.2.3") == [study]
    assert [one.own_result for one in ledger.studies.instances("1.2.3")] == [False, True]


@pytest.mark.parametrize("sop_class_uid", list(RESULT_SOP_CLASSES))
def test_what_another_node_of_this_product_made_is_taken_back_too(
    spool: MemorySpool,
    ledger: SqlLedger,
    clock: FakeClock,
    incoming: Callable[[bytes], Path],
    sop_class_uid: str,
) -> None:
    header = as_class(sop_class_uid, issued_by_product=True)
    service = ReceiveService(spool, ledger.arrivals, clock, lambda _: header, 100, UrgencyQuota(1))

    assert receive(service, incoming(b"report"), sop_class_uid, header.sop_instance_uid) is Arrival.OWN_RESULT
    assert spool.files == {}
    assert ledger.studies.revisions("1.2.3") == []


@pytest.mark.parametrize("sop_class_uid", list(RESULT_SOP_CLASSES))
def test_an_object_of_a_reader_is_refused_where_its_study_is_not_here_and_leaves_nothing(
    spool: MemorySpool,
    ledger: SqlLedger,
    clock: FakeClock,
    incoming: Callable[[bytes], Path],
    sop_class_uid: str,
) -> None:
    header = as_class(sop_class_uid, issued_by_product=False)
    service = ReceiveService(spool, ledger.arrivals, clock, lambda _: header, 100, UrgencyQuota(1))

    with pytest.raises(ForeignResultError, match="this study is not here"):
        receive(service, incoming(b"report"), sop_class_uid, header.sop_instance_uid)

    assert (spool.files, list(spool.incoming_dir().iterdir())) == ({}, [])
    assert ledger.studies.instances("1.2.3") == []


def test_a_picture_that_only_claims_to_be_a_result_is_kept_and_seen(
    spool: MemorySpool, ledger: SqlLedger, clock: FakeClock, incoming: Callable[[bytes], Path]
) -> None:
    header = as_class(SECONDARY_CAPTURE, issued_by_product=True)
    service = ReceiveService(spool, ledger.arrivals, clock, lambda _: header, 100, UrgencyQuota(1))

    assert receive(service, incoming(b"picture"), SECONDARY_CAPTURE, header.sop_instance_uid) is Arrival.OPENED_STUDY
    assert list(spool.files.values()) == [b"picture"]


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
        receive(ReceiveService(spool, ledger.arrivals, clock, read_header, 100, UrgencyQuota(1)), path)

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
