"""Command sets, read and written without pydicom: what it reads of them is the same."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.dsutils import create_file_meta, decode
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table

from patchclip_node.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from patchclip_node.scp.commands import encoded_response, read_command
from patchclip_node.scp.messages import encoded_file_header
from tests.support.scp import command_set, request

DX = "1.2.840.10008.5.1.4.1.1.1.1"


@pytest.mark.parametrize("uid", ["1.2.3.4", "1.2.3.45"])
def test_a_request_is_read_as_pydicom_reads_it(uid: str) -> None:
    encoded = request(0x0001, DX, message_id=513, sop_instance_uid=uid)

    command = read_command(encoded)

    expected = decode(BytesIO(encoded), True, True)
    assert (command.field, command.message_id) == (expected.CommandField, expected.MessageID) == (1, 513)
    assert command.affected_sop_class_uid == expected.AffectedSOPClassUID
    assert command.affected_sop_instance_uid == expected.AffectedSOPInstanceUID == uid
    assert command.has_data_set
    assert not command.is_response


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\0" * 7,
        request(0x0001, DX)[:-3],
        command_set((0x0002, DX.encode()), (0x0110, b"\1\0"), (0x0800, b"\0\0")),
        command_set((0x0100, b"\1"), (0x0110, b"\1\0"), (0x0800, b"\0\0")),
        command_set((0x0100, b"\1\0"), (0x0110, b"\1\0")),
        command_set((0x0100, b"\1\0"), (0x0110, b"\1\0"), (0x0800, b"\0\0"), (0x1000, b"1." * 33)),
        command_set((0x0100, b"\1\0"), (0x0110, b"\1\0"), (0x0800, b"\0\0"), (0x1000, b"\xff\xfe")),
        struct.pack("<HHL", 0x0008, 0x0018, 2) + b"1 ",
        struct.pack("<HHL", 0x0000, 0x0100, 0xFFFFFFFF) + b"\1\0",
    ],
)
def test_what_is_not_a_request_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"command set|UID|ascii"):
        read_command(damaged)


@pytest.mark.parametrize("uid", ["1.2.3.4", "1.2.3.45"])
@pytest.mark.parametrize(("status", "comment"), [(0x0000, ""), (0xA700, "no room"), (0xC000, "Müller\\Ü" * 20)])
def test_pydicom_reads_the_response_to_a_c_store(uid: str, status: int, comment: str) -> None:
    encoded = encoded_response(read_command(request(0x0001, DX, message_id=7, sop_instance_uid=uid)), status, comment)

    answer = decode(BytesIO(encoded), True, True)

    assert answer.CommandGroupLength == len(encoded) - 12
    assert (answer.CommandField, answer.MessageIDBeingRespondedTo, answer.Status) == (0x8001, 7, status)
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (DX, uid)
    assert answer.CommandDataSetType == 0x0101
    assert len(answer.get("ErrorComment", "")) == min(64, len(comment))
    assert [element.tag for element in answer] == sorted(element.tag for element in answer)


def test_a_response_to_another_request_names_no_instance() -> None:
    answer = decode(BytesIO(encoded_response(read_command(request(0x0030, Verification)), 0x0211)), True, True)

    assert answer.CommandField == 0x8030
    assert "AffectedSOPInstanceUID" not in answer


@pytest.mark.parametrize("uid", ["1.2.3.4", "1.2.3.45"])
def test_the_file_meta_information_is_what_pynetdicom_would_write(uid: str) -> None:
    meta = dcmread(BytesIO(encoded_file_header(DX, uid, ExplicitVRLittleEndian)), force=True).file_meta

    expected = create_file_meta(
        sop_class_uid=DX,  # type: ignore[arg-type]  # a text does
        sop_instance_uid=uid,  # type: ignore[arg-type]
        transfer_syntax=ExplicitVRLittleEndian,
        implementation_uid=IMPLEMENTATION_CLASS_UID,  # type: ignore[arg-type]
        implementation_version=IMPLEMENTATION_VERSION_NAME,
    )
    for keyword in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID"):
        assert meta[keyword].value == expected[keyword].value
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.FileMetaInformationGroupLength == len(encoded_file_header(DX, uid, ExplicitVRLittleEndian)) - 144
