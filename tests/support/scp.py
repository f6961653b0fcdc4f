"""A storage SCP for a test, and peers that talk to it: well-behaved ones by pynetdicom, others byte by byte."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
)
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from patchclip_node.domain.records import Arrival
from patchclip_node.scp.storage_scp import Admission, StorageScp

OPEN = Admission(
    calling_ae_titles=(), accept_any_called_ae_title=True, max_associations=20, max_instance_bytes=512 * 1024**2
)
"""Everybody may send."""


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
