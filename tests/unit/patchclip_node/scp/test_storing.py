"""What a C-STORE keeps, and which status each failure has."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from patchclip_node.domain.errors import (
    ForeignResultError,
    LedgerUnavailableError,
    RejectedError,
    StorageFullError,
    UnreadableInstanceError,
)
from patchclip_node.scp.storage_scp import StorageScp
from tests.peers.radiographs import data_set_bytes, radiograph, write
from tests.support.scp import KeepingReceiver, associate, p_data, store, store_command, wait_until


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


def test_pdus_of_any_length_are_told_apart_however_they_come(
    start: Callable[..., StorageScp], receiver: KeepingReceiver
) -> None:
    association = associate(start(), (DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian))
    lengths = [1, 400_000, 2, 131_066, 131_066, 131_066, 70_000, 16_378, 16_378, 900_000, 3]
    fragments = [bytes([number]) * length for number, length in enumerate(lengths)]
    pdus = [p_data(1, 0x00, fragment) for fragment in fragments[:-1]] + [p_data(1, 0x02, fragments[-1])]
    stream = p_data(1, 0x03, store_command()) + b"".join(pdus)

    transport: Any = association.dul.socket
    for start_at in range(0, len(stream), 99_991):
        transport.socket.sendall(stream[start_at : start_at + 99_991])
    wait_until(lambda: len(receiver.files) == 1)

    assert receiver.files[0].read_bytes().endswith(b"".join(fragments))


def test_the_receiver_learns_who_sent_what(start: Callable[..., StorageScp], receiver: KeepingReceiver) -> None:
    dataset = radiograph()

    store(start(), dataset)

    assert receiver.calls == [
        {
            "sha256": hashlib.sha256(receiver.files[0].read_bytes()).hexdigest(),
            "calling_ae_title": "SENDER",
            "called_ae_title": "NODE",
            "peer_address": "127.0.0.1",
            "expected_sop_class_uid": dataset.SOPClassUID,
            "expected_sop_instance_uid": dataset.SOPInstanceUID,
        }
    ]


@pytest.mark.parametrize(
    ("failure", "status", "comment"),
    [
        (
            ForeignResultError("this node stores no Segmentation Storage"),
            0x0122,
            "this node stores no Segmentation Storage",
        ),
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
