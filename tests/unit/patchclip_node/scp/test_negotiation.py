"""What the SCP accepts and whom it lets in."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

from patchclip_node.dicom.storage import READERS_SOP_CLASSES, STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from patchclip_node.scp.places import PlacePolicy
from patchclip_node.scp.storage_scp import StorageScp
from patchclip_node.scp.upper_layer import MAX_PDU_BYTES
from tests.support.scp import associate, associate_request, received_pdu


def test_an_echo_is_answered_with_success(start: Callable[..., StorageScp]) -> None:
    association = associate(start(), (Verification, ImplicitVRLittleEndian))

    status = association.send_c_echo().Status
    association.release()

    assert status == 0x0000


@pytest.mark.parametrize("sop_class_uid", [*STORAGE_SOP_CLASSES, *READERS_SOP_CLASSES])
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
        ("1.2.840.10008.5.1.4.1.1.88.11", ExplicitVRLittleEndian),  # Basic Text SR
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
    scp = start(places=PlacePolicy(total=1, per_address=1, kept_for_known=0))
    first = associate(scp, (Verification, ImplicitVRLittleEndian))

    with socket.create_connection(("127.0.0.1", scp.port)) as second:
        second.sendall(associate_request(Verification))
        answer = received_pdu(second)

    # A-ASSOCIATE-RJ: for now, by the service provider, local limit exceeded (PS3.8 9.3.4). Read as it comes: where the
    # connection ends at once after it, pynetdicom's requestor now and then takes a rejection for an abort.
    assert (answer[0], *answer[7:]) == (0x03, 2, 3, 2)
    assert first.send_c_echo().Status == 0x0000
    first.release()


def test_the_announced_pdu_length_is_the_larger_one(start: Callable[..., StorageScp]) -> None:
    association = associate(start(), (Verification, ImplicitVRLittleEndian))

    announced = association.acceptor.maximum_length
    association.release()

    assert announced == MAX_PDU_BYTES
