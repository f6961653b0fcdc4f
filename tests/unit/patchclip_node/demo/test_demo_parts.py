"""The parts of the demo: its archive, what it sends, how it judges what came back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
import yaml
from pynetdicom import AE, evt

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.demo.archive import Archive, ReturnedObject
from patchclip_node.demo.node import write_config
from patchclip_node.demo.outcome import has_ended, outcome_of
from patchclip_node.demo.studies import SentStudy, collect_studies
from patchclip_node.domain.errors import ConfigurationError, PeerError
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.sender import DicomResultSender
from patchclip_node.settings import read_settings
from tests.peers.archive import Archive as Receiver
from tests.peers.radiographs import as_jpeg_2000, radiograph, write
from tests.support.analysis import radiograph_file
from tests.support.fakes import make_ledger
from tests.support.studies import bring_to

DX = "1.2.840.10008.5.1.4.1.1.1.1"
STUDY = SentStudy("1.2.3", "Doe^Jane", (Path("one.dcm"),))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    ledger = make_ledger(tmp_path)
    yield ledger
    ledger.close()


def returned(sop_instance_uid: str, study_instance_uid: str = "1.2.3") -> ReturnedObject:
    return ReturnedObject(Path("001-sr.dcm"), "SR", study_instance_uid, sop_instance_uid, 10)


def test_the_archive_sends_each_file_in_its_own_transfer_syntax(tmp_path: Path) -> None:
    plain = write(radiograph(), tmp_path / "plain.dcm")
    packed = write(as_jpeg_2000(radiograph()), tmp_path / "packed.dcm")
    syntaxes = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90")
    with Receiver(sop_classes=(DX,), syntaxes=syntaxes) as node, Archive(tmp_path / "returned") as archive:
        sent = list(archive.send([plain, packed], "ARCHIVE", node.destination.port))

        assert [why for _, why in sent] == [None, None]
        assert [item.file_meta.TransferSyntaxUID for item in node.received] == list(syntaxes)


def test_the_archive_sends_a_file_without_file_meta_information(tmp_path: Path) -> None:
    dataset = radiograph()
    bare = tmp_path / "bare.dcm"
    del dataset.file_meta
    dataset.save_as(bare, implicit_vr=True, little_endian=True)
    with (
        Receiver(sop_classes=(DX,), syntaxes=("1.2.840.10008.1.2",)) as node,
        Archive(tmp_path / "returned") as archive,
    ):
        sent = list(archive.send([bare], "ARCHIVE", node.destination.port))

        assert sent == [(bare, None)]
        assert node.sop_instance_uids == [dataset.SOPInstanceUID]


def test_the_archive_says_why_an_image_was_refused(tmp_path: Path) -> None:
    path = write(radiograph(), tmp_path / "image.dcm")
    with (
        Receiver(sop_classes=(DX,), answer=lambda _: 0xA700) as node,
        Archive(tmp_path / "returned") as archive,
    ):
        ((_, why),) = archive.send([path], "ARCHIVE", node.destination.port)

    assert why is not None
    assert "0xA700" in why


def test_the_archive_says_when_the_node_rejects_it(tmp_path: Path) -> None:
    path = write(radiograph(), tmp_path / "image.dcm")
    with (
        Receiver(sop_classes=(DX,), calling_ae_titles=["ELSE"]) as node,
        Archive(tmp_path / "returned") as archive,
        pytest.raises(PeerError, match="does not accept an association of ARCHIVE"),
    ):
        list(archive.send([path], "ARCHIVE", node.destination.port))


def test_the_archive_keeps_each_object_that_comes_back_once(tmp_path: Path) -> None:
    report = pydicom.Dataset()
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.9"
    report.StudyInstanceUID, report.SeriesInstanceUID, report.Modality = "1.2.3", "1.2.4", "SR"
    report.file_meta = pydicom.dataset.FileMetaDataset()
    report.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    path = write(report, tmp_path / "report.dcm")
    with Archive(tmp_path / "returned") as archive:
        sender = DicomResultSender("PATCHCLIP")
        destination = Destination("archive", "ARCHIVE", "127.0.0.1", archive.port)
        for _ in range(2):
            assert [outcome.error for outcome in sender.send(destination, [path])] == [None]

        (kept,) = archive.returned
    assert (kept.study_instance_uid, kept.modality) == ("1.2.3", "SR")
    assert pydicom.dcmread(kept.path).SOPInstanceUID == "1.2.9"


def test_an_object_that_names_no_study_is_refused_by_the_archive(tmp_path: Path) -> None:
    answers: list[int] = []
    report = pydicom.Dataset()
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.9"
    report.file_meta = pydicom.dataset.FileMetaDataset()
    report.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    with Archive(tmp_path / "returned") as archive:
        client = AE("NODE")
        client.add_requested_context(report.SOPClassUID, pydicom.uid.ExplicitVRLittleEndian)
        association = client.associate("127.0.0.1", archive.port, evt_handlers=[(evt.EVT_ABORTED, lambda _: None)])
        answers.append(association.send_c_store(report).Status)
        association.release()

        assert answers == [0xC000]
        assert archive.returned == ()


def test_studies_are_collected_by_their_uid(tmp_path: Path) -> None:
    for number, (name, uid) in enumerate((("a.dcm", "1.2.1"), ("b.dcm", "1.2.2"), ("c.dcm", "1.2.1"))):
        radiograph_file(tmp_path, name, uid, PatientName=f"Patient^{number}")
    (tmp_path / "LICENCE.md").write_text("text")
    (tmp_path / "broken.dcm").write_text("text")

    studies, left_out = collect_studies(tmp_path)

    assert [(study.title, [path.name for path in study.files]) for study in studies] == [
        ("Patient^0", ["a.dcm", "c.dcm"]),
        ("Patient^1", ["b.dcm"]),
    ]
    assert len(left_out) == 1
    assert "broken.dcm" in left_out[0]


def test_nothing_to_send_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no DICOM file"):
        collect_studies(tmp_path)


def test_a_returned_study_with_all_its_objects_came_back(ledger: SqlLedger) -> None:
    study = bring_to(ledger, StudyState.RETURNED)
    uids = [item.result.sop_instance_uid for item in ledger.studies.results(study.id)]

    assert has_ended(ledger.studies, STUDY)
    assert outcome_of(ledger.studies, STUDY, (), [returned(uid) for uid in uids]).problem is None


def test_an_object_that_the_archive_lacks_is_a_problem(ledger: SqlLedger) -> None:
    bring_to(ledger, StudyState.RETURNED)

    assert outcome_of(ledger.studies, STUDY, (), [returned("1.1", "9.9")]).problem == "the archive lacks SR"


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (StudyState.REJECTED, "not analysed: a lateral view"),
        (StudyState.FAILED, "failed: it broke"),
        (StudyState.RECEIVED, "still RECEIVED when the time was up"),
    ],
)
def test_a_study_that_did_not_come_back_says_why(ledger: SqlLedger, state: StudyState, problem: str) -> None:
    bring_to(ledger, state)

    assert outcome_of(ledger.studies, STUDY, (), ()).problem == problem


def test_a_study_that_was_refused_says_why(ledger: SqlLedger) -> None:
    assert (
        outcome_of(ledger.studies, STUDY, ["one.dcm was not accepted: no"], ()).problem
        == "one.dcm was not accepted: no"
    )
    assert not has_ended(ledger.studies, STUDY)


def test_the_configuration_of_the_demo_can_be_used_by_other_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHCLIP_MODEL", "some-model")

    config = write_config(tmp_path, "ARCHIVE", 11113, None)

    monkeypatch.delenv("PATCHCLIP_MODEL")
    settings = read_settings(config.path)
    assert settings.model == "some-model"
    assert settings.effective_ledger_url == config.ledger_url
    assert settings.destinations[0].port == 11113
    assert yaml.safe_load(config.path.read_text())["host"] == "127.0.0.1"


def test_the_demo_empties_only_a_folder_that_a_demo_has_made(tmp_path: Path) -> None:
    config = write_config(tmp_path, "ARCHIVE", 11113, None)
    (config.data_dir / "old").touch()
    write_config(tmp_path, "ARCHIVE", 11113, None)
    assert not (config.data_dir / "old").exists()

    foreign = tmp_path / "foreign"
    (foreign / "node").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="was not made by a demo"):
        write_config(foreign, "ARCHIVE", 11113, None)
