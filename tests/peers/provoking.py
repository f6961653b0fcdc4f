"""What makes a node answer each status that its statement of conformance names."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role
from pynetdicom.association import Association
from pynetdicom.dsutils import decode, encode

from patchclip_node.dicom.answers import Answers
from patchclip_node.dicom.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, encoded_report
from patchclip_node.domain.commitment import CommitmentReport, ObjectReference
from tests.peers.node import Node
from tests.peers.radiographs import radiograph
from tests.peers.recorder import VERIFICATION
from tests.support.scp import associate_request, command_set, p_data, received_pdu, request

CR = "1.2.840.10008.5.1.4.1.1.1"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"


def associate(node: Node, contexts: Sequence[tuple[str, str]], *ext_neg: Any, calling: str = "SENDER") -> Association:
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30
    wanted = [build_context(uid, [syntax]) for uid, syntax in contexts]
    association = ae.associate("127.0.0.1", node.port, contexts=wanted, ae_title="PATCHCLIP", ext_neg=list(ext_neg))
    association.dimse = Answers(association)
    return association


def raw_status(node: Node, uid: str, *messages: bytes, calling: str = "SENDER") -> int:
    """Send the PDUs of one message in a context for `uid`; return the status that is answered."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as peer:
        peer.sendall(associate_request(uid, calling))
        assert received_pdu(peer)[0] == 0x02
        peer.sendall(b"".join(messages))
        pdu = received_pdu(peer)
        assert pdu[0] == 0x04, pdu[:6]
        length = struct.unpack(">L", pdu[6:10])[0]
        peer.sendall(struct.pack(">BBLL", 0x07, 0, 4, 0))
    return int(_command(pdu[12 : 10 + length]).Status)


def _command(fragment: bytes) -> Dataset:
    return decode(BytesIO(fragment), True, True)


def encoded(dataset: Dataset) -> bytes:
    bare = Dataset()
    bare.update(dataset)
    content = encode(bare, is_implicit_vr=False, is_little_endian=True)
    assert content is not None
    return content


def stored(node: Node, dataset: Dataset, data: bytes | None = None, *, sop_instance_uid: str = "1.2.3.4") -> int:
    uid = str(dataset.SOPClassUID)
    command = request(0x0001, uid, sop_instance_uid=sop_instance_uid)
    content = encoded(dataset) if data is None else data
    pieces = [content[start : start + 60_000] for start in range(0, len(content), 60_000)]
    fragments = [p_data(1, 0x02 if number == len(pieces) else 0x00, piece) for number, piece in enumerate(pieces, 1)]
    return raw_status(node, uid, p_data(1, 0x03, command), *fragments)


def store_good(node: Node) -> int:
    dataset = radiograph(rows=16, columns=16)
    return stored(node, dataset, sop_instance_uid=str(dataset.SOPInstanceUID))


def store_too_large(node: Node) -> int:
    dataset = radiograph(rows=600, columns=300)
    return stored(node, dataset, sop_instance_uid=str(dataset.SOPInstanceUID))


def store_of_an_unknown_study(node: Node) -> int:
    dataset = radiograph(rows=16, columns=16, sop_class_uid=COMPREHENSIVE_SR)
    return stored(node, dataset, sop_instance_uid=str(dataset.SOPInstanceUID))


def action(calling: str, number: int = 1, *, empty: bool = False) -> Callable[[Node], int]:
    def ask(node: Node) -> int:
        information = Dataset()
        information.TransactionUID = "2.25.77"
        if not empty:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CR, "1.2.3"
            information.ReferencedSOPSequence = [item]
        return _asked(node, information, calling, number)

    return ask


def _asked(node: Node, information: Dataset, calling: str, number: int) -> int:
    association = associate(node, [(PUSH_MODEL, ExplicitVRLittleEndian)], calling=calling)
    status, _ = association.send_n_action(information, number, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    association.release()
    return int(status.Status)


def report(transaction_uid: str) -> Callable[[Node], int]:
    def tell(node: Node) -> int:
        told = CommitmentReport("2.25.7", [ObjectReference(CR, "1.2.3")], {})
        event_type, information = encoded_report(told)
        information.TransactionUID = transaction_uid
        role = build_role(PUSH_MODEL, scp_role=True)
        association = associate(node, [(PUSH_MODEL, ExplicitVRLittleEndian)], role)
        status, _ = association.send_n_event_report(information, event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        association.release()
        return int(status.Status)

    return tell


def raw(uid: str, field: int, *, named: str = "", data: bytes = b"") -> Callable[[Node], int]:
    def send(node: Node) -> int:
        command = request(field, named or uid, has_data_set=bool(data))
        if field == 0x0130:  # N-ACTION names a requested class and instance (PS3.7 10.3.5)
            class_uid = (named or uid).encode() + b"\0" * (len(named or uid) % 2)
            command = command_set(
                (0x0003, class_uid),
                (0x0100, struct.pack("<H", field)),
                (0x0110, struct.pack("<H", 1)),
                (0x0800, struct.pack("<H", 0x0101)),
                (0x1001, b"1.2.3.4\0"),
                (0x1008, struct.pack("<H", 1)),
            )
        messages = [p_data(1, 0x03, command)] + ([p_data(1, 0x02, data)] if data else [])
        return raw_status(node, uid, *messages)

    return send


PROVOKED: dict[tuple[str, int], Callable[[Node], int]] = {
    ("C-ECHO", 0x0000): raw(VERIFICATION, 0x0030),
    ("C-ECHO", 0x0212): raw(VERIFICATION, 0x0030, data=b"\0" * 8),
    ("C-ECHO", 0x0122): raw(VERIFICATION, 0x0030, named=CR),
    ("C-ECHO", 0x0211): raw(VERIFICATION, 0x0020),
    ("C-STORE", 0x0000): store_good,
    ("C-STORE", 0xA700): store_too_large,
    ("C-STORE", 0xA900): lambda node: stored(node, radiograph(rows=16, columns=16)),
    ("C-STORE", 0xC000): lambda node: stored(node, radiograph(rows=16, columns=16), b"\x08\0\x05\0??nonsense" * 9),
    ("C-STORE", 0x0122): store_of_an_unknown_study,
    ("C-STORE", 0x0211): raw(CR, 0x0020),
    ("N-ACTION", 0x0000): action("RECORDER"),
    ("N-ACTION", 0x0115): action("RECORDER", empty=True),
    ("N-ACTION", 0x0123): action("RECORDER", 2),
    ("N-ACTION", 0x0124): action("STRANGER"),
    ("N-ACTION", 0x0122): raw(PUSH_MODEL, 0x0130, named=CR),
    ("N-ACTION", 0x0211): raw(PUSH_MODEL, 0x0140),
    ("N-EVENT-REPORT", 0x0000): report("2.25.4242"),
    ("N-EVENT-REPORT", 0x0115): report("1"),
    ("N-EVENT-REPORT", 0x0122): raw(PUSH_MODEL, 0x0100, named=CR),
    ("N-EVENT-REPORT", 0x0211): raw(PUSH_MODEL, 0x0110),
}
"""(service, status) -> what makes the node answer so; returns what it answered."""
