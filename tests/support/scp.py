"""A storage SCP for a test, and peers that talk to it: well-behaved ones by pynetdicom, others byte by byte."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydicom import Dataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from patchclip_node.dicom.answers import Answers
from patchclip_node.domain.records import Arrival
from patchclip_node.scp.incoming import IncomingRoom
from patchclip_node.scp.places import PlacePolicy
from patchclip_node.scp.storage_scp import Admission

OPEN = Admission(
    calling_ae_titles=(),
    accept_any_called_ae_title=True,
    places=PlacePolicy(total=20, per_address=20, kept_for_known=0),
    max_instance_bytes=512 * 1024**2,
)
"""Everybody may send."""


def room(folder: Path, free_bytes: int = 1024**4) -> IncomingRoom:
    return IncomingRoom(folder, lambda: free_bytes)


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


_associations: list[Association] = []


def close_associations() -> None:
    """Close what `associate` opened; pynetdicom leaves the socket of a rejected or aborted association open."""
    while _associations:
        transport = _associations.pop().dul.socket
        if transport is not None and transport.socket is not None:
            transport.socket.close()


class Listening(Protocol):
    """What has a port: an SCP of the test, or a whole node."""

    @property
    def port(self) -> int: ...


def associate(scp: Listening, *contexts: tuple[str, str], calling: str = "SENDER", called: str = "NODE") -> Association:
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    wanted = [build_context(abstract, [syntax]) for abstract, syntax in contexts]
    association = ae.associate("127.0.0.1", scp.port, contexts=wanted, ae_title=called)
    association.dimse = Answers(association)
    _associations.append(association)
    return association


def store(scp: Listening, dataset: Dataset) -> Dataset:
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


def p_data(context_id: int, control: int, fragment: bytes) -> bytes:
    """P-DATA-TF with one presentation data value (PS3.8 9.3.5)."""
    value = struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment
    return struct.pack(">BBL", 0x04, 0, len(value)) + value


def command_set(*elements: tuple[int, bytes]) -> bytes:
    """A command set of (element number, value) in Implicit VR Little Endian, with its group length (PS3.7 6.3.1)."""
    body = b"".join(struct.pack("<HHL", 0x0000, number, len(value)) + value for number, value in elements)
    return struct.pack("<HHLL", 0x0000, 0x0000, 4, len(body)) + body


def request(
    field: int,
    sop_class_uid: str,
    has_data_set: bool = True,
    message_id: int = 1,
    sop_instance_uid: str = "1.2.3.4",
) -> bytes:
    """The command set of a request of any kind: C-STORE-RQ (PS3.7 table 9.3-1) has field 0x0001."""
    uid, instance = sop_class_uid.encode(), sop_instance_uid.encode()
    return command_set(
        (0x0002, uid + b"\0" * (len(uid) % 2)),
        (0x0100, struct.pack("<H", field)),
        (0x0110, struct.pack("<H", message_id)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", 0x0000 if has_data_set else 0x0101)),
        (0x1000, instance + b"\0" * (len(instance) % 2)),
    )


def store_command() -> bytes:
    """A C-STORE-RQ for a digital X-ray."""
    return request(0x0001, DigitalXRayImageStorageForPresentation)


def associate_request(abstract_syntax: str, calling: str = "SENDER") -> bytes:
    """An A-ASSOCIATE-RQ with one context, number 1, in Explicit VR Little Endian (PS3.8 9.3.2)."""

    def item(kind: int, content: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(content)) + content

    context = struct.pack(">BBBB", 1, 0, 0, 0)
    context += item(0x30, abstract_syntax.encode()) + item(0x40, ExplicitVRLittleEndian.encode())
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")
    content = struct.pack(">HH", 1, 0) + b"NODE".ljust(16) + calling.encode().ljust(16) + b"\0" * 32
    content += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + item(0x50, user)
    return struct.pack(">BBL", 0x01, 0, len(content)) + content


def received_pdu(peer: socket.socket) -> bytes:
    header = peer.recv(6, socket.MSG_WAITALL)
    return header + peer.recv(struct.unpack(">L", header[2:])[0], socket.MSG_WAITALL)


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
