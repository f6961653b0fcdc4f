from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

from patchclip_node.dicom.storage import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from patchclip_node.domain.errors import (
    LedgerUnavailableError,
    RejectedError,
    StorageFullError,
    UnreadableInstanceError,
)
from patchclip_node.domain.records import Arrival
from patchclip_node.scp.storage_scp import StorageScp
from patchclip_node.scp.upper_layer import MAX_ANNOUNCED_PDU_BYTES, MAX_PDU_BYTES
from tests.peers.radiographs import data_set_bytes, radiograph, write


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class KeepingReceiver:
    """Keeps what it gets in a folder, or fails as it is told."""

    folder: Path
    failure: Exception | None = None
    calls: list[dict[str, str]] = field(default_factory=list)
    pause: threading.Event = field(default_factory=_set_event)
    files: list[Path] = field(default_factory=list)

    def receive(self, path: Path, **facts: str) -> Arrival:
        self.calls.append(facts)
        self.pause.wait(10)
        if self.failure is not None:
            raise self.failure
        self.files.append(path.rename(self.folder / f"{len(self.files)}.dcm"))
        return Arrival.OPENED_STUDY


@pytest.fixture
def receiver(tmp_path: Path) -> KeepingReceiver:
    folder = tmp_path / "kept"
    folder.mkdir()
    return KeepingReceiver(folder)


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def start(receiver: KeepingReceiver, incoming: Path) -> Iterator[Callable[..., StorageScp]]:
    running: list[StorageScp] = []

    def begin(**settings: Any) -> StorageScp:
        scp = StorageScp(receiver, incoming, ae_title="NODE", host="127.0.0.1", port=0, **settings)
        scp.start()
        running.append(scp)
        return scp

    yield begin
    for scp in running:
        scp.stop(grace_s=0)
    while _associations:
        close(_associations.pop())


_associations: list[Association] = []


def close(association: Association) -> None:
    """pynetdicom leaves the socket of a rejected or aborted association open."""
    transport = association.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.close()


def associate(
    scp: StorageScp, *contexts: tuple[str, str], calling: str = "SENDER", called: str = "NODE"
) -> Association:
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    wanted = [build_context(abstract, [syntax]) for abstract, syntax in contexts]
    association = ae.associate("127.0.0.1", scp.port, contexts=wanted, ae_title=called)
    _associations.append(association)
    return association


def store(scp: StorageScp, dataset: Dataset) -> Dataset:
    association = associate(scp, (dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID))
    assert association.is_established
    try:
        return association.send_c_store(dataset)
    finally:
        association.release()


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.01)


def test_an_echo_is_answered_with_success(start: Callable[..., StorageScp]) -> None:
    association = associate(start(), (Verification, ImplicitVRLittleEndian))

    status = association.send_c_echo().Status
    association.release()

    assert status == 0x0000


def test_the_received_data_set_is_kept_byte_for_byte(
    start: Callable[..., StorageScp], receiver: KeepingReceiver, incoming: Path, tmp_path: Path
) -> None:
    dataset = radiograph(rows=700, columns=500)
    sent = write(dataset, tmp_path / "sent.dcm")

    response = store(start(), dataset)

    assert response.Status == 0x0000
    assert data_set_bytes(receiver.files[0]) == data_set_bytes(sent)
    kept = dcmread(receiver.files[0])
    assert kept.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert kept.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert list(incoming.iterdir()) == []


def test_the_receiver_learns_who_sent_what(start: Callable[..., StorageScp], receiver: KeepingReceiver) -> None:
    dataset = radiograph()

    store(start(), dataset)

    assert receiver.calls == [
        {
            "calling_ae_title": "SENDER",
            "called_ae_title": "NODE",
            "peer_address": "127.0.0.1",
            "expected_sop_class_uid": dataset.SOPClassUID,
            "expected_sop_instance_uid": dataset.SOPInstanceUID,
        }
    ]


@pytest.mark.parametrize("sop_class_uid", list(STORAGE_SOP_CLASSES))
def test_every_promised_class_is_accepted_in_every_promised_syntax(
    start: Callable[..., StorageScp], sop_class_uid: str
) -> None:
    promised = [(sop_class_uid, syntax) for syntax in TRANSFER_SYNTAXES]
    association = associate(start(), *promised)

    accepted = [(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in association.accepted_contexts]
    association.release()

    assert accepted == promised


@pytest.mark.parametrize(
    ("sop_class_uid", "transfer_syntax_uid"),
    [
        (CTImageStorage, ExplicitVRLittleEndian),
        ("1.2.840.10008.5.1.4.1.1.88.33", ExplicitVRLittleEndian),
        (DigitalXRayImageStorageForPresentation, DeflatedExplicitVRLittleEndian),
        (DigitalXRayImageStorageForPresentation, ExplicitVRBigEndian),
        (DigitalXRayImageStorageForPresentation, "1.2.840.10008.1.2.4.100"),
    ],
)
def test_everything_else_is_refused_at_negotiation(
    start: Callable[..., StorageScp], sop_class_uid: str, transfer_syntax_uid: str
) -> None:
    association = associate(start(), (sop_class_uid, transfer_syntax_uid), (Verification, ImplicitVRLittleEndian))

    accepted = {str(cx.abstract_syntax) for cx in association.accepted_contexts}
    association.release()

    assert accepted == {Verification}


def test_a_called_ae_title_that_is_not_ours_is_rejected_where_the_settings_say_so(
    start: Callable[..., StorageScp],
) -> None:
    scp = start(accept_any_called_ae_title=False)

    foreign = associate(scp, (Verification, ImplicitVRLittleEndian), called="OTHER")
    ours = associate(scp, (Verification, ImplicitVRLittleEndian), called="NODE")
    ours.release()

    assert foreign.is_rejected
    assert not ours.is_rejected


def test_only_the_listed_callers_may_associate(start: Callable[..., StorageScp]) -> None:
    scp = start(calling_ae_titles=("MODALITY1",))

    stranger = associate(scp, (Verification, ImplicitVRLittleEndian), calling="STRANGER")
    known = associate(scp, (Verification, ImplicitVRLittleEndian), calling="MODALITY1")
    known.release()

    assert stranger.is_rejected
    assert not known.is_rejected


def test_more_associations_than_allowed_are_rejected(start: Callable[..., StorageScp]) -> None:
    scp = start(max_associations=1)
    first = associate(scp, (Verification, ImplicitVRLittleEndian))

    second = associate(scp, (Verification, ImplicitVRLittleEndian))

    assert second.is_rejected
    assert first.send_c_echo().Status == 0x0000
    first.release()


@pytest.mark.parametrize(
    ("failure", "status", "comment"),
    [
        (StorageFullError("no room in the spool"), 0xA700, "no room in the spool"),
        (LedgerUnavailableError("the ledger does not answer"), 0xA700, "the ledger does not answer"),
        (OSError(5, "Input/output error"), 0xA700, "cannot store: Input/output error"),
        (UnreadableInstanceError("no Study Instance UID"), 0xC000, "no Study Instance UID"),
        (RejectedError("another instance than announced"), 0xA900, "another instance than announced"),
        (ZeroDivisionError("patient Smith"), 0xC000, "internal error, see the log of the node"),
    ],
)
def test_each_failure_has_its_status_and_the_peer_reads_why(
    *,
    start: Callable[..., StorageScp],
    receiver: KeepingReceiver,
    incoming: Path,
    failure: Exception,
    status: int,
    comment: str,
) -> None:
    receiver.failure = failure

    response = store(start(), radiograph())

    assert (response.Status, response.ErrorComment) == (status, comment)
    assert list(incoming.iterdir()) == []


def test_an_instance_above_the_limit_is_answered_with_out_of_resources_and_the_association_goes_on(
    start: Callable[..., StorageScp], receiver: KeepingReceiver, incoming: Path
) -> None:
    large, small = radiograph(rows=400, columns=400), radiograph(rows=32, columns=32)
    scp = start(max_instance_bytes=100_000)
    association = associate(scp, (large.SOPClassUID, ExplicitVRLittleEndian))

    refused = association.send_c_store(large)
    kept = association.send_c_store(small)
    association.release()

    assert (refused.Status, kept.Status) == (0xA700, 0x0000)
    assert "100000 bytes" in refused.ErrorComment
    assert len(receiver.files) == 1
    assert list(incoming.iterdir()) == []


def test_a_class_other_than_negotiated_is_not_supported(
    start: Callable[..., StorageScp], receiver: KeepingReceiver
) -> None:
    dataset = radiograph()
    association = associate(start(), (dataset.SOPClassUID, ExplicitVRLittleEndian))
    context = association.accepted_contexts[0]
    dataset.SOPClassUID = CTImageStorage
    association._get_valid_context = lambda *args, **kwargs: context  # type: ignore[method-assign]  # a careless peer

    status = association.send_c_store(dataset)
    association.abort()

    assert status.get("Status") != 0x0000
    assert receiver.calls == []


def test_a_sender_that_breaks_off_leaves_no_file(start: Callable[..., StorageScp], incoming: Path) -> None:
    scp = start()
    association = associate(scp, (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian))
    transport: Any = association.dul.socket
    transport.socket.sendall(p_data(1, 0x03, store_command()) + p_data(1, 0x00, b"\0" * 50_000))
    wait_until(lambda: len(list(incoming.iterdir())) == 1)

    transport.socket.shutdown(socket.SHUT_RDWR)

    wait_until(lambda: list(incoming.iterdir()) == [])


def test_a_pdu_that_announces_too_much_is_aborted_instead_of_buffered(start: Callable[..., StorageScp]) -> None:
    scp = start()
    before = psutil.Process().memory_info().rss

    with socket.create_connection(("127.0.0.1", scp.port), timeout=10) as peer:
        peer.sendall(struct.pack(">BBL", 0x01, 0, 300 * 1024**2))
        try:
            for _ in range(64):
                peer.sendall(b"\0" * 1024**2)
        except OSError:
            pass  # the node has closed the connection, as it should
        answer = received_until_end(peer)

    assert answer[:1] in {b"\x07", b""}  # A-ABORT, unless the reset of the connection overtook it
    assert psutil.Process().memory_info().rss - before < 32 * 1024**2


def test_the_abort_of_an_oversized_pdu_reaches_the_peer(start: Callable[..., StorageScp]) -> None:
    scp = start()

    with socket.create_connection(("127.0.0.1", scp.port), timeout=10) as peer:
        peer.sendall(struct.pack(">BBL", 0x01, 0, MAX_ANNOUNCED_PDU_BYTES + 1))
        answer = received_until_end(peer)

    assert answer[0] == 0x07


def test_an_endless_command_set_is_aborted(start: Callable[..., StorageScp]) -> None:
    association = associate(start(), (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian))
    transport: Any = association.dul.socket

    transport.socket.sendall(p_data(1, 0x01, b"\0" * 60_000) * 2)

    wait_until(lambda: association.is_aborted)


def test_nonsense_for_a_command_set_aborts_this_association_only(start: Callable[..., StorageScp]) -> None:
    scp = start()
    association = associate(scp, (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian))
    transport: Any = association.dul.socket

    transport.socket.sendall(p_data(1, 0x03, b"\xff" * 32))

    wait_until(lambda: association.is_aborted)
    assert store(scp, radiograph()).Status == 0x0000


def test_requests_without_waiting_for_responses_are_aborted(
    start: Callable[..., StorageScp], receiver: KeepingReceiver, incoming: Path
) -> None:
    receiver.pause.clear()
    association = associate(start(), (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian))
    transport: Any = association.dul.socket
    request = p_data(1, 0x03, store_command()) + p_data(1, 0x02, b"\0" * 1000)

    transport.socket.sendall(request * 4)

    wait_until(lambda: association.is_aborted)
    receiver.pause.set()
    wait_until(lambda: list(incoming.iterdir()) == [])


@pytest.mark.parametrize("beginning", [b"", b"\x01\x00\x00", struct.pack(">BBL", 0x01, 0, 5000) + b"\0" * 100])
def test_a_connection_that_stalls_is_closed(
    start: Callable[..., StorageScp], monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr("patchclip_node.scp.storage_scp.ACSE_TIMEOUT_S", 0.3)
    monkeypatch.setattr("patchclip_node.scp.storage_scp.NETWORK_TIMEOUT_S", 0.3)
    scp = start()

    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        peer.sendall(beginning)
        answer = received_until_end(peer)

    assert answer[:1] in {b"", b"\x07"}


def test_a_pdu_that_drips_in_does_not_hold_its_connection_for_ever(
    start: Callable[..., StorageScp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchclip_node.scp.storage_scp.NETWORK_TIMEOUT_S", 0.3)
    scp = start()

    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        peer.sendall(struct.pack(">BBL", 0x01, 0, 5000))
        with pytest.raises(ConnectionError):
            drip(peer, 100)


def test_a_connection_that_asks_for_nothing_and_closes_is_forgotten_at_once(start: Callable[..., StorageScp]) -> None:
    scp = start()

    with socket.create_connection(("127.0.0.1", scp.port), timeout=5):
        wait_until(lambda: scp.connections == 1)

    wait_until(lambda: scp.connections == 0, timeout_s=2)


def test_connections_far_above_the_limit_are_refused(start: Callable[..., StorageScp]) -> None:
    scp = start(max_associations=1)
    with ExitStack() as peers:
        for _ in range(17):
            peers.enter_context(socket.create_connection(("127.0.0.1", scp.port), timeout=5))
        wait_until(lambda: scp.connections == 17)

        one_more = peers.enter_context(socket.create_connection(("127.0.0.1", scp.port), timeout=5))

        assert received_until_end(one_more) == b""
        assert scp.connections == 17


def test_the_announced_pdu_length_is_the_larger_one(start: Callable[..., StorageScp]) -> None:
    association = associate(start(), (Verification, ImplicitVRLittleEndian))

    announced = association.acceptor.maximum_length
    association.release()

    assert announced == MAX_PDU_BYTES


def test_stopping_lets_an_association_under_way_end(
    start: Callable[..., StorageScp], receiver: KeepingReceiver
) -> None:
    scp = start()
    dataset = radiograph()
    association = associate(scp, (dataset.SOPClassUID, ExplicitVRLittleEndian))
    stopping = threading.Thread(target=scp.stop, args=(5.0,))

    stopping.start()
    response = association.send_c_store(dataset)
    association.release()
    stopping.join()

    assert response.Status == 0x0000
    assert len(receiver.files) == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", scp.port), timeout=1)


def test_stopping_closes_a_connection_that_has_asked_for_nothing(start: Callable[..., StorageScp]) -> None:
    scp = start()
    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        wait_until(lambda: scp.connections == 1)

        scp.stop(grace_s=0)

        assert received_until_end(peer) == b""


def p_data(context_id: int, control: int, fragment: bytes) -> bytes:
    """P-DATA-TF with one presentation data value (PS3.8 9.3.5)."""
    value = struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment
    return struct.pack(">BBL", 0x04, 0, len(value)) + value


def store_command() -> bytes:
    """A C-STORE-RQ command set (PS3.7 table 9.3-1) in Implicit VR Little Endian."""

    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHL", 0x0000, number, len(value)) + value

    body = (
        element(0x0002, DigitalXRayImageStorageForPresentation.encode() + b"\0")
        + element(0x0100, struct.pack("<H", 0x0001))
        + element(0x0110, struct.pack("<H", 1))
        + element(0x0700, struct.pack("<H", 0))
        + element(0x0800, struct.pack("<H", 0x0000))
        + element(0x1000, b"1.2.3.4\0")
    )
    return element(0x0000, struct.pack("<L", len(body))) + body


def drip(peer: socket.socket, count: int) -> None:
    for _ in range(count):
        peer.sendall(b"\0")
        time.sleep(0.02)


def received_until_end(peer: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := peer.recv(4096):
            received += chunk
    except ConnectionResetError:
        pass
    return received
