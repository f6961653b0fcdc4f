from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    SecondaryCaptureImageStorage,
)
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from patchclip_node.domain.errors import PeerError
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.sender import DicomResultSender, Timeouts
from patchclip_node.scu.statuses import Answer, answer, meaning
from tests.peers.archive import COMPREHENSIVE_SR, SEGMENTATION, Archive
from tests.peers.radiographs import data_set_bytes, radiograph, write

PATIENCE_S = 60.0


@pytest.fixture
def sender() -> DicomResultSender:
    return DicomResultSender("NODE", Timeouts(connect_s=1, acse_s=1, response_s=1))


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]  # bound and not listening: connections are refused


def result(path: Path, sop_class_uid: str = COMPREHENSIVE_SR, syntax: str = ExplicitVRLittleEndian) -> Path:
    dataset = radiograph(rows=64, columns=64, sop_class_uid=sop_class_uid)
    if UID(syntax).is_compressed:
        del dataset.PixelData
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return write(dataset, path)


def test_files_go_out_over_one_association_byte_for_byte(sender: DicomResultSender, tmp_path: Path) -> None:
    paths = [result(tmp_path / "sr.dcm"), result(tmp_path / "seg.dcm", SEGMENTATION)]

    with Archive() as archive:
        outcomes = sender.send(archive.destination, paths)

    assert [(outcome.path, outcome.error) for outcome in outcomes] == [(path, None) for path in paths]
    assert archive.encoded == [data_set_bytes(path) for path in paths]


@pytest.mark.parametrize("announced", [0, 8, 9, 4095, 16383, 16384, 65535, 2**32 - 1])
def test_fragments_are_even_whatever_maximum_the_peer_announces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: int
) -> None:
    sender = DicomResultSender("NODE", Timeouts(response_s=PATIENCE_S))  # thousands of PDUs, where 8 is announced
    lengths: list[int] = []
    take = DIMSEServiceProvider.receive_primitive

    def noting(provider: DIMSEServiceProvider, primitive: P_DATA) -> None:
        if provider.assoc.is_acceptor:
            lengths.extend(len(value) - 1 for _, value in primitive.presentation_data_value_list)
        take(provider, primitive)

    monkeypatch.setattr(DIMSEServiceProvider, "receive_primitive", noting)
    path = result(tmp_path / "sr.dcm")
    with Archive(max_pdu_bytes=announced) as archive:
        outcomes = sender.send(archive.destination, [path])

    assert [outcome.error for outcome in outcomes] == [None]
    assert archive.encoded == [data_set_bytes(path)]
    assert sum(lengths) > path.stat().st_size // 2
    assert [length % 2 for length in lengths] == [0] * len(lengths)


def test_a_peer_that_knows_only_implicit_vr_gets_the_object_in_it(sender: DicomResultSender, tmp_path: Path) -> None:
    path = result(tmp_path / "sr.dcm")

    with Archive(syntaxes=[ImplicitVRLittleEndian]) as archive:
        outcome = sender.send(archive.destination, [path])[0]

    assert outcome.error is None
    assert archive.received[0].file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert archive.received[0].PatientName == "Test^Radiograph"


def test_a_refused_presentation_context_is_permanent_for_its_file_only(
    sender: DicomResultSender, tmp_path: Path
) -> None:
    paths = [result(tmp_path / "sr.dcm"), result(tmp_path / "seg.dcm", SEGMENTATION)]

    with Archive(sop_classes=[COMPREHENSIVE_SR]) as archive:
        stored, refused = sender.send(archive.destination, paths)

    assert stored.error is None
    assert refused.permanent
    assert refused.error is not None
    assert "does not accept Segmentation Storage as Explicit VR Little Endian: enable it there" in refused.error


def test_a_destination_that_falls_back_tells_refused_classes_apart_although_it_takes_pictures_alone(
    sender: DicomResultSender, tmp_path: Path
) -> None:
    paths = [result(tmp_path / "sr.dcm"), result(tmp_path / "seg.dcm", SEGMENTATION)]

    with Archive(sop_classes=[SecondaryCaptureImageStorage]) as archive:
        outcomes = sender.send(replace(archive.destination, fallback=ResultVariant(ResultKind.SC)), paths)
        (stored,) = sender.send(archive.destination, [result(tmp_path / "sc.dcm", SecondaryCaptureImageStorage)])

    assert all(outcome.class_refused and outcome.permanent for outcome in outcomes)
    assert (stored.error, stored.class_refused) == (None, False)


def test_a_compressed_object_is_offered_in_its_own_syntax_only(sender: DicomResultSender, tmp_path: Path) -> None:
    path = result(tmp_path / "seg.dcm", SEGMENTATION, JPEG2000Lossless)
    plain = result(tmp_path / "sr.dcm")

    with Archive() as archive:
        outcome, _ = sender.send(archive.destination, [path, plain])

    assert outcome.permanent
    assert "JPEG 2000" in str(outcome.error)


@pytest.mark.parametrize(
    ("status", "error", "permanent"),
    [
        (0x0000, None, False),
        (0xB000, None, False),
        (0xB007, None, False),
        (0xA700, "answered 0xA700 (out of resources)", False),
        (0xA900, "answered 0xA900 (data set does not match SOP class)", True),
        (0xC123, "answered 0xC123 (cannot understand)", True),
        (0x0110, "answered 0x0110 (processing failure)", False),
        (0x0124, "answered 0x0124 (not authorised)", True),
    ],
)
def test_each_status_says_whether_trying_again_may_help(
    *, sender: DicomResultSender, tmp_path: Path, status: int, error: str | None, permanent: bool
) -> None:
    path = result(tmp_path / "sr.dcm")

    with Archive(answer=lambda _: status) as archive:
        outcome = sender.send(archive.destination, [path])[0]

    assert outcome.permanent is permanent
    assert (outcome.error is None) if error is None else (error in str(outcome.error))


def test_a_duplicate_counts_as_stored_since_the_peer_has_it() -> None:
    assert answer(0x0111) is Answer.STORED


def test_unknown_failures_are_tried_again() -> None:
    assert (answer(0x0999), meaning(0x0999)) == (Answer.TRY_AGAIN, "processing failure")


class _LateWaiter(Queue[Any]):
    """Who waits for a message gets to it later than whoever only looks: the other thread had the processor."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if block:
            time.sleep(0.1)
        return super().get(block, timeout)


class _NeverPausing(threading.Event):
    """A checkpoint that pynetdicom's own thread passes although it is to pause: it lost the processor after a look."""

    def wait(self, timeout: float | None = None) -> bool:
        time.sleep(0.03)
        return True


def test_an_answer_reaches_the_sender_although_pynetdicoms_own_thread_looks_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = DicomResultSender("NODE", Timeouts(connect_s=5, acse_s=5, response_s=5))
    connected = sender._associations.open

    def raced(*given: Any) -> Association:
        association = connected(*given)
        association.dimse.msg_queue = _LateWaiter()
        association._reactor_checkpoint, before = _NeverPausing(), association._reactor_checkpoint
        before.set()
        return association

    monkeypatch.setattr(sender._associations, "open", raced)
    with Archive() as archive:
        outcomes = sender.send(archive.destination, [result(tmp_path / "sr.dcm"), result(tmp_path / "second.dcm")])
        sender.echo(archive.destination)

    assert [outcome.error for outcome in outcomes] == [None, None]


def test_a_peer_that_gives_no_answer_is_tried_again(sender: DicomResultSender, tmp_path: Path) -> None:
    paths = [result(tmp_path / "first.dcm"), result(tmp_path / "second.dcm")]

    def stall(dataset: Dataset) -> int:
        time.sleep(1.5)
        return 0x0000

    with Archive(answer=stall) as archive:
        first, second = sender.send(archive.destination, paths)

    assert "gave no answer within 1 s" in str(first.error)
    assert "ended the association before this object was sent" in str(second.error)
    assert not first.permanent
    assert not second.permanent


def test_a_file_that_is_no_dicom_does_not_keep_the_others_back(sender: DicomResultSender, tmp_path: Path) -> None:
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"nothing")
    good = result(tmp_path / "sr.dcm")

    with Archive() as archive:
        first, second = sender.send(archive.destination, [broken, good])

    assert first.permanent
    assert "can't be read" in str(first.error)
    assert second.error is None


def test_nothing_to_send_needs_no_association(sender: DicomResultSender, closed_port: int) -> None:
    assert sender.send(Destination("pacs", "PACS", "127.0.0.1", closed_port), []) == []


def test_a_refused_connection_is_told_as_such(sender: DicomResultSender, closed_port: int, tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"pacs \(PACS at 127\.0\.0\.1:\d+\) refused the connection: nothing listens"):
        sender.send(Destination("pacs", "PACS", "127.0.0.1", closed_port), [result(tmp_path / "sr.dcm")])


def test_a_peer_that_does_not_know_us_is_told_apart_from_one_that_has_another_title(
    sender: DicomResultSender,
) -> None:
    stranger = pytest.raises(PeerError, match="does not know our AE title 'NODE': register it there")
    other_title = pytest.raises(PeerError, match="does not answer to the AE title 'PACS': correct ae_title here")

    with Archive(calling_ae_titles=["SOMEBODY"]) as archive, stranger:
        sender.echo(archive.destination)
    with Archive() as archive, other_title:
        sender.echo(Destination("pacs", "PACS", archive.destination.host, archive.destination.port))


def test_a_listener_that_does_not_speak_dicom_is_recognised(sender: DicomResultSender) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        with pytest.raises(PeerError, match=r"did not answer our association request: is this the DICOM port\?"):
            sender.echo(Destination("pacs", "PACS", "127.0.0.1", port))


def test_a_host_name_without_address_is_named(sender: DicomResultSender, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)

    with pytest.raises(PeerError, match=r"host name 'pacs\.invalid' of destination pacs can't be resolved"):
        sender.echo(Destination("pacs", "PACS", "pacs.invalid", 104))


def test_a_peer_that_takes_none_of_the_classes_is_told_as_such(sender: DicomResultSender, tmp_path: Path) -> None:
    with Archive(sop_classes=[]) as archive, pytest.raises(PeerError, match="none of the objects' SOP classes"):
        sender.send(archive.destination, [result(tmp_path / "sr.dcm")])


def test_an_echo_that_works_says_nothing(sender: DicomResultSender) -> None:
    with Archive() as archive:
        sender.echo(archive.destination)
