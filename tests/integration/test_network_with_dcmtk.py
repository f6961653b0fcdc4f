from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from patchclip_node.domain.errors import PeerError
from patchclip_node.domain.records import Arrival
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scp.storage_scp import Endpoint, StorageScp
from patchclip_node.scu.sender import DicomResultSender
from tests.peers import dcmtk
from tests.peers.archive import COMPREHENSIVE_SR
from tests.peers.radiographs import as_jpeg_2000, data_set_bytes, radiograph, write
from tests.support.scp import OPEN, room

pytestmark = pytest.mark.peer("dcmtk")


class Folder:
    """Keeps what is received under its SOP Instance UID."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def receive(self, path: Path, *, expected_sop_instance_uid: str, **_: str) -> Arrival:
        path.rename(self.path / expected_sop_instance_uid)
        return Arrival.OPENED_STUDY


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "kept")


@pytest.fixture
def scp(tmp_path: Path, folder: Folder) -> Iterator[StorageScp]:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    with StorageScp(folder, room(incoming), Endpoint("PATCHCLIP", "127.0.0.1", 0), OPEN) as scp:
        yield scp


def test_echoscu_succeeds(scp: StorageScp) -> None:
    assert dcmtk.echoscu(scp.port).returncode == 0


def test_storescu_delivers_many_files_over_one_association(scp: StorageScp, folder: Folder, tmp_path: Path) -> None:
    sent = [write(radiograph(rows=300, columns=200), tmp_path / f"{number}.dcm") for number in range(5)]

    finished = dcmtk.storescu(scp.port, *sent)

    assert finished.returncode == 0, finished.stderr
    for path in sent:
        assert data_set_bytes(folder.path / dcmread(path).SOPInstanceUID) == data_set_bytes(path)


@pytest.mark.parametrize(
    ("tool", "options", "proposal", "syntax"),
    [
        ("dcmcjpeg", ("+e1",), "-xs", JPEGLosslessSV1),
        ("dcmcjpls", (), "-xt", JPEGLSLossless),
        ("dcmcrle", (), "-xr", RLELossless),
    ],
)
def test_what_dcmtk_compressed_is_kept_as_it_came(
    *, scp: StorageScp, folder: Folder, tmp_path: Path, tool: str, options: tuple[str, ...], proposal: str, syntax: str
) -> None:
    plain = write(radiograph(), tmp_path / "plain.dcm")
    sent = dcmtk.compressed_with(tool, options, plain, tmp_path / "compressed.dcm")

    finished = dcmtk.storescu(scp.port, sent, options=(proposal,))

    assert finished.returncode == 0, finished.stderr
    (kept,) = folder.path.iterdir()
    assert dcmread(kept).file_meta.TransferSyntaxUID == syntax
    assert data_set_bytes(kept) == data_set_bytes(sent)


@pytest.mark.parametrize(
    ("tool", "options", "proposal", "syntax"),
    [
        ("dcmcjpeg", ("+e1",), "-xs", JPEGLosslessSV1),
        ("dcmcjpeg", ("+eb",), "-xy", JPEGBaseline8Bit),
        ("dcmcjpeg", ("+ee",), "-xx", JPEGExtended12Bit),
        ("dcmcjpls", (), "-xt", JPEGLSLossless),
        ("dcmcjpls", ("+en",), "-xu", JPEGLSNearLossless),
        ("dcmcrle", (), "-xr", RLELossless),
    ],
)
def test_what_the_sender_holds_arrives_where_one_context_offers_it_beside_uncompressed(
    *, scp: StorageScp, folder: Folder, tmp_path: Path, tool: str, options: tuple[str, ...], proposal: str, syntax: str
) -> None:
    plain = write(radiograph(), tmp_path / "plain.dcm")
    sent = dcmtk.compressed_with(tool, options, plain, tmp_path / "compressed.dcm")

    finished = dcmtk.storescu(scp.port, sent, options=(proposal, "+C"))

    assert finished.returncode == 0, finished.stderr
    (kept,) = folder.path.iterdir()
    assert dcmread(kept).file_meta.TransferSyntaxUID == syntax
    assert data_set_bytes(kept) == data_set_bytes(sent)


def test_jpeg_2000_is_kept_as_it_came(scp: StorageScp, folder: Folder, tmp_path: Path) -> None:
    sent = write(as_jpeg_2000(radiograph()), tmp_path / "j2k.dcm")

    finished = dcmtk.storescu(scp.port, sent, options=("-xv",))

    assert finished.returncode == 0, finished.stderr
    assert data_set_bytes(next(folder.path.iterdir())) == data_set_bytes(sent)


def test_storescu_is_told_that_a_class_is_not_accepted(scp: StorageScp, folder: Folder, tmp_path: Path) -> None:
    sent = write(radiograph(sop_class_uid=CTImageStorage), tmp_path / "ct.dcm")

    finished = dcmtk.storescu(scp.port, sent)

    assert finished.returncode != 0
    assert "No presentation context" in finished.stderr + finished.stdout
    assert list(folder.path.iterdir()) == []


def test_storescp_gets_the_bytes_that_were_built(tmp_path: Path) -> None:
    path = write(radiograph(sop_class_uid=COMPREHENSIVE_SR), tmp_path / "sr.dcm")

    with dcmtk.storescp(tmp_path / "archive") as archive:
        DicomResultSender("PATCHCLIP").echo(archive.destination)
        outcomes = DicomResultSender("PATCHCLIP").send(archive.destination, [path])

    assert outcomes[0].error is None
    assert data_set_bytes(archive.files()[0]) == data_set_bytes(path)


def test_storescp_that_takes_only_implicit_vr_gets_that(tmp_path: Path) -> None:
    path = write(radiograph(sop_class_uid=COMPREHENSIVE_SR), tmp_path / "sr.dcm")

    with dcmtk.storescp(tmp_path / "archive", "+xi") as archive:
        outcomes = DicomResultSender("PATCHCLIP").send(archive.destination, [path])

    assert outcomes[0].error is None
    assert dcmread(archive.files()[0]).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000Lossless])
def test_what_goes_unchanged_arrives_as_the_bytes_of_its_file(
    scp: StorageScp, folder: Folder, tmp_path: Path, syntax: str
) -> None:
    """Tools that encode again write the sequence's lengths otherwise."""
    dataset = as_jpeg_2000(radiograph()) if syntax == JPEG2000Lossless else radiograph()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.add_new(0xFFFCFFFC, "OB", bytes(128))
    dataset.RequestAttributesSequence = [Dataset()]
    dataset["RequestAttributesSequence"].is_undefined_length = True
    path = write(dataset, tmp_path / "image.dcm")
    place = Destination("edge", "PATCHCLIP", "127.0.0.1", scp.port, unchanged=True)

    (outcome,) = DicomResultSender("EDGE").send(place, [path])

    assert outcome.error is None
    assert data_set_bytes(next(folder.path.iterdir())) == data_set_bytes(path)


def test_what_goes_unchanged_goes_in_no_other_syntax(tmp_path: Path) -> None:
    path = write(radiograph(), tmp_path / "image.dcm")
    with dcmtk.storescp(tmp_path / "archive", "+xi") as archive:
        other = write(as_jpeg_2000(radiograph()), tmp_path / "other.dcm")
        place = replace(archive.destination, unchanged=True)
        with pytest.raises(PeerError, match="accepted the association but none"):
            DicomResultSender("EDGE").send(place, [path, other])
