"""Storage commitment over real associations: with archives that answer in each way, with Orthanc, and of us."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.bootstrap.receiver import build_receiver
from patchclip_node.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    encoded_report,
    encoded_request,
    read_report,
    read_request,
)
from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest, ObjectReference
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.errors import PeerError
from patchclip_node.domain.records import DeliveryRecord, DeliveryState, FinishedAnalysis
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import ResultKind
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scp.commitment import LOOK_EVERY_S
from patchclip_node.scp.storage_scp import StorageScp
from patchclip_node.scu.sender import DicomResultSender, Timeouts
from patchclip_node.settings import KnownCallerSettings, LimitSettings, read_settings
from tests.peers.archive import COMPREHENSIVE_SR, Archive
from tests.peers.orthanc import Orthanc, orthanc
from tests.peers.processes import free_port, wait_until
from tests.peers.radiographs import radiograph, write
from tests.support.fakes import START, FakeClock, MemorySpool, make_instance, make_ledger, make_result
from tests.support.lanes import lane
from tests.support.studies import LEASE_S, OWNER, POLICY, only_revision

SENDER = DicomResultSender("PATCHCLIP", Timeouts(connect_s=2, acse_s=5, response_s=5, report_s=5))
REQUEST = CommitmentRequest("2.25.77", (ObjectReference("1.2.840.10008.5.1.4.1.1.7", "1.2.3"),))
KEPT = CommitmentReport("2.25.77", REQUEST.objects, {})
LOST = CommitmentReport("2.25.77", (), {REQUEST.objects[0]: 0x0112})


@contextmanager
def archive_that_answers(status: int, report: CommitmentReport | None, asked: list[CommitmentRequest]) -> Iterator[int]:
    """Run an archive that answers N-ACTION so, and then reports over the same association; gives its port."""

    def act(event: evt.Event) -> tuple[int, None]:
        asked.append(read_request(event.action_information))
        if report is not None:
            threading.Thread(target=tell, args=(event.assoc, report)).start()
        return status, None

    def tell(association: Any, said: CommitmentReport) -> None:
        time.sleep(0.1)  # the response to N-ACTION goes first
        event_type, information = encoded_report(said)
        association.send_n_event_report(information, event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)

    ae = AE("ARCHIVE")
    ae.add_supported_context(PUSH_MODEL)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_ACTION, act)])
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def destination(port: int) -> Destination:
    return Destination("archive", "ARCHIVE", "127.0.0.1", port, confirm=Confirmation.COMMITMENT)


@pytest.mark.parametrize("said", [KEPT, LOST], ids=["kept", "lost"])
def test_a_report_over_the_association_that_asked_is_taken(said: CommitmentReport) -> None:
    asked: list[CommitmentRequest] = []
    reports: list[CommitmentReport] = []
    with archive_that_answers(0x0000, said, asked) as port:
        SENDER.request_commitment(destination(port), REQUEST, reports.append, lambda: bool(reports))

    assert asked == [REQUEST]
    assert [(one.transaction_uid, tuple(one.kept), one.failed) for one in reports] == [
        (said.transaction_uid, tuple(said.kept), said.failed)
    ]


def test_nothing_is_waited_for_once_all_is_settled_otherwise() -> None:
    with archive_that_answers(0x0000, None, []) as port:
        started = time.monotonic()
        SENDER.request_commitment(destination(port), REQUEST, lambda _: None, lambda: True)

    assert time.monotonic() - started < SENDER._timeouts.report_s


def test_an_archive_that_refuses_the_request_or_offers_none_is_named_with_what_to_do() -> None:
    with archive_that_answers(0x0213, None, []) as port, pytest.raises(PeerError, match="0x0213 when it was asked"):
        SENDER.request_commitment(destination(port), REQUEST, lambda _: None, lambda: True)
    with Archive() as archive:
        bare = replace(archive.destination, confirm=Confirmation.COMMITMENT)
        with pytest.raises(PeerError, match="offers no storage commitment: allow it there, or set confirm"):
            SENDER.request_commitment(bare, REQUEST, lambda _: None, lambda: True)
        with pytest.raises(PeerError, match="offers no storage commitment"):
            SENDER.check_confirmation(bare)


class Modality:
    """Sends images, asks for commitment and takes the reports, all on loopback."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.reports: list[tuple[int, CommitmentReport]] = []
        self._ae = AE("MODALITY")
        self._ae.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)

    def __enter__(self) -> Modality:
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, self._take)]
        self._server = self._ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        assert self._server is not None
        self.port = int(self._server.server_address[1])
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.shutdown()

    def _take(self, event: evt.Event) -> tuple[int, None]:
        self.reports.append((int(event.event_type or 0), read_report(event.event_information)))
        return 0x0000, None

    def ask(self, port: int, information: Dataset, action: int = 1) -> int | None:
        ae = AE("MODALITY")
        ae.add_requested_context(PUSH_MODEL)
        association = ae.associate("127.0.0.1", port, ae_title="PATCHCLIP")
        assert association.is_established
        status, _ = association.send_n_action(information, action, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        association.release()
        answered: int | None = status.get("Status")
        return answered

    def send(self, port: int, dataset: Dataset) -> None:
        ae = AE("MODALITY")
        ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        association = ae.associate("127.0.0.1", port, ae_title="PATCHCLIP")
        assert association.send_c_store(dataset).Status == 0x0000
        association.release()


@pytest.fixture
def modality() -> Iterator[Modality]:
    with Modality() as modality:
        yield modality


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    ledger = make_ledger(tmp_path)
    yield ledger
    ledger.close()


@contextmanager
def receiver(
    ledger: SqlLedger, spool: MemorySpool, *callers: KnownCallerSettings, port: int = 0, clock: FakeClock | None = None
) -> Iterator[StorageScp]:
    settings = read_settings(
        None,
        host="127.0.0.1",
        port=port or free_port(),
        limits=LimitSettings(min_free_bytes=0),
        known_callers=callers,
    )
    with build_receiver(settings, ledger, spool, clock or FakeClock()) as scp:
        yield scp


def reference(dataset: Dataset) -> ObjectReference:
    return ObjectReference(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))


def test_we_commit_to_what_is_in_the_ledger_and_whose_file_is_there_and_to_nothing_else(
    ledger: SqlLedger, modality: Modality, tmp_path: Path
) -> None:
    spool = MemorySpool(tmp_path / "spool")
    kept, lost = (radiograph(rows=16, columns=16) for _ in range(2))
    never = ObjectReference(str(kept.SOPClassUID), "1.2.3.4")
    other_class = replace(reference(kept), sop_class_uid="1.2.840.10008.5.1.4.1.1.7")
    caller = KnownCallerSettings(ae_title="MODALITY", address="127.0.0.1", port=modality.port)
    with receiver(ledger, spool, caller) as scp:
        for dataset in (kept, lost):
            modality.send(scp.port, dataset)
        ((_, key),) = ledger.arrivals.held(str(lost.SOPInstanceUID))
        spool.delete(key)
        wanted = (reference(kept), reference(lost), never, other_class)
        assert modality.ask(scp.port, encoded_request(CommitmentRequest("2.25.1", wanted))) == 0x0000
        wait_until(lambda: bool(modality.reports), "the report has come")
        assert modality.ask(scp.port, encoded_request(CommitmentRequest("2.25.2", wanted[:1]))) == 0x0000
        wait_until(lambda: len(modality.reports) == 2, "and the second one")

    (first_type, first), (second_type, second) = modality.reports
    assert (first_type, first.transaction_uid, list(first.kept)) == (2, "2.25.1", [reference(kept)])
    assert first.failed == {reference(lost): 0x0112, never: 0x0112, other_class: 0x0119}
    assert (second_type, list(second.kept), second.failed) == (1, [reference(kept)], {})


def test_a_report_that_cannot_be_told_goes_again_also_from_a_receiver_that_was_started_again(
    ledger: SqlLedger, tmp_path: Path
) -> None:
    port, clock, spool = free_port(), FakeClock(), MemorySpool(tmp_path / "spool")
    caller = KnownCallerSettings(ae_title="MODALITY", address="127.0.0.1", port=port)
    with receiver(ledger, spool, caller, clock=clock) as scp:
        assert Modality().ask(scp.port, encoded_request(REQUEST)) == 0x0000  # no peer listens for the report
        wait_until(lambda: ledger.owed_reports.owed()[0].last_error is not None, "the report could not be told")
    with Modality(port) as modality, receiver(ledger, spool, caller, clock=clock):
        time.sleep(2 * LOOK_EVERY_S)
        assert modality.reports == []
        clock.advance(read_settings(None).work_policy.backoff_s)
        wait_until(lambda: bool(modality.reports), "the report comes by itself")

    assert [(kind, one.transaction_uid) for kind, one in modality.reports] == [(2, REQUEST.transaction_uid)]
    assert ledger.owed_reports.owed() == []


@pytest.mark.parametrize(
    ("change", "action", "status"),
    [
        (lambda _: None, 2, 0x0123),
        (lambda dataset: delattr(dataset, "ReferencedSOPSequence"), 1, 0x0115),
        (lambda dataset: delattr(dataset, "TransactionUID"), 1, 0x0115),
        (lambda dataset: setattr(dataset, "ReferencedSOPSequence", [Dataset()]), 1, 0x0115),
        (lambda _: None, 1, 0x0124),
    ],
    ids=["another action", "no objects", "no transaction", "an empty item", "a caller whose port is not known"],
)
def test_a_request_that_cannot_be_answered_is_refused_and_says_so(
    ledger: SqlLedger,
    modality: Modality,
    tmp_path: Path,
    change: Callable[[Dataset], None],
    action: int,
    status: int,
) -> None:
    information = encoded_request(REQUEST)
    change(information)
    with receiver(ledger, MemorySpool(tmp_path / "spool")) as scp:
        assert modality.ask(scp.port, information, action) == status
    assert modality.reports == []


def test_a_report_to_us_that_is_not_understood_or_too_long_changes_nothing(ledger: SqlLedger, tmp_path: Path) -> None:
    many = [replace(REQUEST.objects[0], sop_instance_uid=f"1.2.{number}") for number in range(9000)]
    longest = CommitmentReport("2.25.1", many, {})
    with receiver(ledger, MemorySpool(tmp_path / "spool")) as scp:
        us = Destination("us", "PATCHCLIP", "127.0.0.1", scp.port)
        SENDER.report_commitment(us, KEPT)  # of a transaction that is not waited for
        with pytest.raises(PeerError):
            SENDER.report_commitment(us, replace(KEPT, transaction_uid="1"))
        with pytest.raises(PeerError):
            SENDER.report_commitment(us, longest)
        SENDER.report_commitment(us, KEPT)


@pytest.mark.peer("orthanc")
@pytest.mark.parametrize("loses_it", [False, True])
def test_orthanc_reports_over_an_association_of_its_own_and_the_study_is_returned_or_goes_again(
    ledger: SqlLedger, tmp_path: Path, loses_it: bool
) -> None:
    spool, clock, port = MemorySpool(tmp_path / "spool"), FakeClock(), free_port()
    dataset = radiograph(rows=16, columns=16, sop_class_uid=COMPREHENSIVE_SR)
    content = write(dataset, tmp_path / "report.dcm").read_bytes()
    result = make_result(str(dataset.SOPInstanceUID), ResultKind.SR, spool.write([content]).key)
    ledger.arrivals.record(make_instance())
    ledger.arrivals.close_quiet(START, 0)
    leased = ledger.analyses.lease(START, OWNER, LEASE_S)
    assert leased is not None
    promised = {"orthanc": [result.sop_instance_uid]}
    ledger.analyses.finish(leased.study.id, OWNER, START, FinishedAnalysis([result], promised, {}, "{}"))
    with (
        orthanc(tmp_path / "orthanc", node=("PATCHCLIP", port)) as archive,
        receiver(ledger, spool, port=port),
    ):
        commits = replace(archive.destination, confirm=Confirmation.COMMITMENT)
        SENDER.check_confirmation(commits)
        sender = Losing(archive) if loses_it else SENDER
        assert lane(commits, ledger, spool, sender, clock, POLICY).run_one(OWNER)
        wait_until(lambda: settled(ledger).state is not DeliveryState.SENT, "Orthanc has reported")

    if loses_it:
        assert settled(ledger).state is DeliveryState.PENDING
        assert "0x0112" in str(settled(ledger).last_error)
    else:
        assert settled(ledger).state is DeliveryState.DELIVERED
        assert only_revision(ledger).state is StudyState.RETURNED


def settled(ledger: SqlLedger) -> DeliveryRecord:
    (delivery,) = ledger.studies.deliveries(only_revision(ledger).id)
    return delivery


class Losing(DicomResultSender):
    """Sends, and lets the archive lose what it has before it is asked to commit to it."""

    def __init__(self, archive: Orthanc) -> None:
        super().__init__("PATCHCLIP", SENDER._timeouts)
        self._archive = archive

    def request_commitment(self, *args: Any, **kwargs: Any) -> None:
        self._archive.lose_all()
        super().request_commitment(*args, **kwargs)
