"""The main job with real peers: DCMTK sends, the node analyses, DCMTK and Orthanc hold what came back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from patchclip_core.checkpoints.checkpoint import read_card
from patchclip_node.domain.states import StudyState
from tests.peers import dcmtk
from tests.peers.archive import COMPREHENSIVE_SR, KEY_OBJECTS, SEGMENTATION
from tests.peers.dcmtk import Storescp
from tests.peers.node import Node, new_node
from tests.peers.orthanc import Orthanc, orthanc
from tests.peers.processes import wait_until
from tests.peers.radiographs import as_jpeg_2000, radiograph, write
from tests.support.bright_onnx import write_bright_onnx

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("orthanc")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("main_path")


@pytest.fixture(scope="module")
def storescp(folder: Path) -> Iterator[Storescp]:
    with dcmtk.storescp(folder / "storescp") as running:
        yield running


@pytest.fixture(scope="module")
def archive(folder: Path) -> Iterator[Orthanc]:
    with orthanc(folder / "orthanc") as running:
        yield running


@pytest.fixture(scope="module")
def node(folder: Path, storescp: Storescp, archive: Orthanc) -> Iterator[Node]:
    node = new_node(folder / "node", [storescp.destination, archive.destination], receivers=None)
    with node.running():
        yield node


@pytest.fixture(scope="module")
def onnx_node(folder: Path, storescp: Storescp, archive: Orthanc) -> Iterator[Node]:
    """A node whose model was exported: it marks the same pixels, by a graph that ONNX Runtime computes."""
    model = write_bright_onnx(folder / "bright_onnx")
    destinations = [storescp.destination, archive.destination]
    node = new_node(folder / "onnx_node", destinations, model=str(model), receivers=None)
    with node.running():
        yield node


def held_by(storescp: Storescp, study_instance_uid: str) -> dict[str, Dataset]:
    """SOP Class UID -> the object that storescp holds of a study."""
    datasets = [dcmread(path) for path in storescp.files()]
    return {str(one.SOPClassUID): one for one in datasets if one.StudyInstanceUID == study_instance_uid}


def test_echoscu_is_answered(node: Node) -> None:
    assert dcmtk.echoscu(node.port).returncode == 0


def test_embedded_mode_needs_no_server(node: Node) -> None:
    assert node.settings.ledger_url is None
    assert node.settings.broker_url is None


def test_who_sends_listens_for_the_worker(node: Node) -> None:
    wait_until(lambda: "ready:" in node.log, "all processes are ready", 60)
    os.close(os.open(node.settings.results_bell, os.O_WRONLY | os.O_NONBLOCK))  # fails where no one listens


def plain(dataset: Dataset, path: Path) -> Path:
    return write(dataset, path)


def jpeg_lossless(dataset: Dataset, path: Path) -> Path:
    return dcmtk.compressed_with("dcmcjpeg", ("+e1",), write(dataset, path.with_suffix(".plain")), path)


def jpeg_ls(dataset: Dataset, path: Path) -> Path:
    return dcmtk.compressed_with("dcmcjpls", (), write(dataset, path.with_suffix(".plain")), path)


def jpeg_2000(dataset: Dataset, path: Path) -> Path:
    return write(as_jpeg_2000(dataset), path)


@pytest.mark.parametrize(
    ("encode", "proposal", "of"),
    [
        (plain, "-xe", "node"),
        (jpeg_lossless, "-xs", "node"),
        (jpeg_ls, "-xt", "node"),
        (jpeg_2000, "-xv", "node"),
        (plain, "-xe", "onnx_node"),
    ],
)
def test_a_finding_comes_back_as_report_and_segmentation(
    *,
    request: pytest.FixtureRequest,
    storescp: Storescp,
    archive: Orthanc,
    tmp_path: Path,
    encode: Callable[[Dataset, Path], Path],
    proposal: str,
    of: str,
) -> None:
    node: Node = request.getfixturevalue(of)
    dataset = radiograph(bright=True)
    uid = dataset.StudyInstanceUID

    sent = dcmtk.storescu(node.port, encode(dataset, tmp_path / "sent.dcm"), options=(proposal,))
    study = node.wait_for_end_of([uid])[uid]

    assert sent.returncode == 0, sent.stderr
    assert study.state is StudyState.RETURNED, (study.error, study.reason)
    held = held_by(storescp, uid)
    assert sorted(archive.sop_classes(uid).values()) == sorted(held) == [SEGMENTATION, COMPREHENSIVE_SR]
    assert held[SEGMENTATION].ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == (
        dataset.SOPInstanceUID
    )
    for result in held.values():
        assert (result.PatientID, result.PatientName) == (dataset.PatientID, dataset.PatientName)
    assert node.results_of(uid) == {str(result.SOPInstanceUID) for result in held.values()}
    assert read_card(Path(node.settings.model)).weights_digest in str(held[COMPREHENSIVE_SR])
    assert ("onnxruntime" in node.mapped_files()) == (of == "onnx_node")
    assert "libtorch" not in node.mapped_files()


def test_a_study_without_findings_comes_back_as_report_alone(
    node: Node, storescp: Storescp, archive: Orthanc, tmp_path: Path
) -> None:
    dataset = radiograph()
    uid = dataset.StudyInstanceUID

    dcmtk.storescu(node.port, write(dataset, tmp_path / "dark.dcm"))
    study = node.wait_for_end_of([uid])[uid]

    assert study.state is StudyState.RETURNED, (study.error, study.reason)
    assert list(held_by(storescp, uid)) == list(archive.sop_classes(uid).values()) == [COMPREHENSIVE_SR]


def test_a_study_that_comes_back_with_its_results_starts_nothing_and_is_taken(
    node: Node, storescp: Storescp, tmp_path: Path
) -> None:
    """A PACS that sends the whole study again must neither cause a loop nor be refused."""
    dataset = radiograph(bright=True)
    image = write(dataset, tmp_path / "first.dcm")
    uid = str(dataset.StudyInstanceUID)
    dcmtk.storescu(node.port, image)
    node.wait_for_end_of([uid])
    results = [path for path in storescp.files() if dcmread(path).StudyInstanceUID == uid]
    spooled = {path for path in (node.settings.spool_dir / "instances").rglob("*") if path.is_file()}

    sent = dcmtk.storescu(node.port, image, *results, options=("--required",))

    assert sent.returncode == 0, sent.stderr
    assert len(results) == 2
    with node.ledger() as ledger:
        own = [record.own_result for record in ledger.studies.instances(uid)]
        assert own == [False, True, True]
        assert [study.state for study in ledger.studies.revisions(uid)] == [StudyState.RETURNED]
    assert {path for path in (node.settings.spool_dir / "instances").rglob("*") if path.is_file()} == spooled


def test_a_late_image_opens_a_revision_that_names_and_withdraws_the_first(
    node: Node, storescp: Storescp, tmp_path: Path
) -> None:
    uid = str(generate_uid(None))
    dcmtk.storescu(node.port, write(radiograph(study_instance_uid=uid), tmp_path / "first.dcm"))
    node.wait_for_end_of([uid])
    first = node.results_of(uid)

    dcmtk.storescu(node.port, write(radiograph(study_instance_uid=uid, bright=True), tmp_path / "late.dcm"))
    wait_until(lambda: len([one for one in node.studies() if one.study_instance_uid == uid]) == 2, "a revision opens")
    study = node.wait_for_end_of([uid])[uid]

    assert (study.revision, study.state) == (2, StudyState.RETURNED)
    assert len(node.results_of(uid) - first) == 2 + 2  # and a note for each destination
    reports = [dcmread(path) for path in storescp.files()]
    late = next(
        one
        for one in reports
        if one.StudyInstanceUID == uid and one.SOPClassUID == COMPREHENSIVE_SR and one.SOPInstanceUID not in first
    )
    notes = [one for one in reports if one.StudyInstanceUID == uid and one.SOPClassUID == KEY_OBJECTS]
    (withdrawn,) = [one.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence for one in notes]
    uids = {str(item.ReferencedSOPInstanceUID) for series in withdrawn for item in series.ReferencedSOPSequence}
    assert uids == first
    named = late.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID in first


def test_no_patient_name_is_logged(node: Node, tmp_path: Path) -> None:
    dataset = radiograph(patient_name="Unmistakable^Name")

    dcmtk.storescu(node.port, write(dataset, tmp_path / "named.dcm"))
    node.wait_for_end_of([dataset.StudyInstanceUID])

    assert dataset.StudyInstanceUID in node.log
    assert "Unmistakable" not in node.log
