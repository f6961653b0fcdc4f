"""Results are recalled: the notes under the validators, in Orthanc, and with a kill in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from patchclip_node.adapters.uid_generator import DerivedUidGenerator
from patchclip_node.bootstrap.common import open_clock
from patchclip_node.domain.errors import RecalledError
from patchclip_node.domain.recalls import RecallReason, RecallRequest, RecallScope
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import ResultKind
from patchclip_node.scu.sender import DicomResultSender
from patchclip_node.services.recall import RecallService
from patchclip_node.services.rejection_notes import RejectionNotes
from patchclip_node.settings import DestinationSettings
from tests.endurance.kept import Orders
from tests.peers import dcmtk
from tests.peers.archive import Archive
from tests.peers.node import new_node
from tests.peers.orthanc import Orthanc, orthanc
from tests.peers.processes import wait_until
from tests.peers.radiographs import radiograph, write
from tests.peers.validators import DICOM3TOOLS, dcentvfy_errors, dciodvfy_errors, sr_template_errors, sr_text
from tests.support.bench import Bench
from tests.support.fakes import MemorySpool, make_ledger
from tests.support.lanes import lane
from tests.support.studies import OWNER, POLICY

ROOT = Path(__file__).parents[2]
KINDS = (ResultKind.SR, ResultKind.SEG, ResultKind.SC, ResultKind.GSPS, ResultKind.KO)
IN_ORTHANC = DestinationSettings(name="orthanc", ae_title="ORTHANC", host="127.0.0.1", port=104, objects=KINDS)
SPOKEN = {
    "ISO_IR 100": ("Müller^Jörg", "Die Schwelle war zu niedrig für Säuglinge."),
    "ISO_IR 192": ("Hong^Gildong=洪^吉洞=홍^길동", "左右が逆."),
    "": ("Doe^Jane", "The view was wrong."),
    "ISO_IR 144": ("Иванов^Пётр", "Снимок другого пациента."),
}
"""By character set of a source: a name, and a reason in words. A reason that does not fit turns the note to UTF-8."""
REJECTIONS = {"113001", "113037", "113038", "113039"}
WORDS = "Left and right were swapped."


class Recalling:
    """A node whose destination is `orthanc`, wired in this process; its clock is the test's."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        bench.destinations = (IN_ORTHANC,)
        ledger, spool, clock = bench.ledger, bench.spool, bench.clock
        self.service = RecallService(ledger.recalls, spool, clock)
        self.notes = RejectionNotes(ledger.recalls, spool, DerivedUidGenerator(), "PATCHCLIP", clock, clock)

    def analyse(self, uid: str, **attributes: str) -> None:
        self.bench.arrive(f"{uid}.dcm", study_instance_uid=uid, **attributes)
        assert self.bench.run_one()

    def deliver(self, archive: Orthanc) -> None:
        sender = DicomResultSender("PATCHCLIP")
        bench = self.bench
        its = lane(archive.destination, bench.ledger, bench.spool, sender, bench.clock, POLICY)
        while its.run_one(OWNER):
            pass

    def pretend_delivery(self) -> None:
        ledger, clock = self.bench.ledger, self.bench.clock
        while lease := ledger.deliveries.lease(clock.now(), OWNER, 60, ["orthanc"]):
            for one in lease.deliveries:
                ledger.deliveries.confirm(one.id, OWNER, clock.now())

    def recall(self, uid: str, reason: RecallReason = RecallReason.SAFETY, words: str = WORDS) -> None:
        self.service.recall(RecallRequest(RecallScope.STUDY, uid, reason, words, "alice"))
        assert self.notes.run_once()

    def contents(self, uid: str) -> list[bytes]:
        """Return the results of the first revision of a study, as they were sent."""
        ledger, files = self.bench.ledger, self.bench.spool.files
        found = [one.result for one in ledger.studies.results(ledger.studies.revisions(uid)[0].id)]
        return [files[one.spool_key] for one in found if one.kind != "rejection_note"]

    def files(self, uid: str, folder: Path) -> dict[str, list[Path]]:
        """Write a study's objects as files: by kind."""
        written: dict[str, list[Path]] = {}
        for study in self.bench.ledger.studies.revisions(uid):
            for one in self.bench.ledger.studies.results(study.id):
                path = folder / f"{one.result.sop_instance_uid}.dcm"
                path.write_bytes(self.bench.spool.files[one.result.spool_key])
                written.setdefault(one.result.kind, []).append(path)
        return written


@pytest.fixture
def recalling(tmp_path: Path) -> Iterator[Recalling]:
    ledger = make_ledger(tmp_path)
    yield Recalling(Bench(tmp_path, ledger, MemorySpool(tmp_path / "spool")))
    ledger.close()


@pytest.mark.peer("dciodvfy")
@pytest.mark.peer("pixelmed")
@pytest.mark.peer("dcmtk")
def test_validators_find_no_error_in_notes(recalling: Recalling, tmp_path: Path) -> None:
    notes: list[Path] = []
    for reason, (terms, (name, words)) in zip(RecallReason, SPOKEN.items(), strict=True):
        uid = str(generate_uid(None))
        recalling.analyse(uid, SpecificCharacterSet=terms, PatientName=name, PatientID=f"P-{reason}")
        recalling.pretend_delivery()
        recalling.recall(uid, reason, words)
        written = recalling.files(uid, tmp_path)
        (note,) = written["rejection_note"]
        notes.append(note)
        everything = [tmp_path / f"{uid}.dcm", *(path for paths in written.values() for path in paths)]
        for version in DICOM3TOOLS:
            assert dciodvfy_errors(note, version) == []
            assert dcentvfy_errors(everything, version) == []
        assert (str(dcmread(note).PatientName), words in sr_text(note)) == (name, True)
    assert sr_template_errors(dict.fromkeys(notes, "TID_2010 (KeyObjectSelection)")) == {path: [] for path in notes}


def is_rejection(held: Dataset) -> bool:
    return held.Modality == "KO" and held.ConceptNameCodeSequence[0].CodeValue in REJECTIONS


def hidden_by_notes(held: list[Dataset]) -> set[str]:
    """What an archive that keeps IOCM (RAD-66) hides of what it holds."""
    return {
        str(item.ReferencedSOPInstanceUID)
        for note in filter(is_rejection, held)
        for study in note.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


@pytest.mark.peer("orthanc")
@pytest.mark.parametrize("script", [False, True], ids=["as it is", "with docker/orthanc/iocm.lua"])
def test_an_orthanc_is_told_of_each_recalled_result(
    recalling: Recalling, script: bool, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Ten results; with --endurance a hundred."""
    count = (100 if pytestconfig.option.endurance else 10) // len(KINDS)
    studies = [f"1.2.826.0.1.3680043.2.1143.55.{number}" for number in range(count)]
    kept = f"{studies[0]}.99"
    with orthanc(tmp_path / "orthanc", scripts=[ROOT / "docker/orthanc/iocm.lua"] if script else []) as archive:
        for uid in (*studies, kept):
            recalling.analyse(uid)
        recalling.deliver(archive)
        before = {uid: set(archive.sop_classes(uid)) for uid in (*studies, kept)}
        assert {len(uids) for uids in before.values()} == {len(KINDS)}

        for uid in studies:
            recalling.recall(uid)
        recalling.deliver(archive)

        def visible() -> set[str]:
            held = [one for uid in (*studies, kept) for one in archive.datasets(uid)]
            hidden = set() if script else hidden_by_notes(held)
            return {str(one.SOPInstanceUID) for one in held if one.Modality != "KO" or not is_rejection(one)} - hidden

        wait_until(lambda: visible() == before[kept], "what is recalled is hidden, and nothing else")
        for content in recalling.contents(studies[0]):
            archive.keep(_written(content, tmp_path / "again.dcm"))
        wait_until(lambda: visible() == before[kept], "what comes after its note is hidden as well")
        with pytest.raises(RecalledError, match="Left and right"):
            recalling.bench.ledger.requeueing.resend(studies[0], recalling.bench.clock.now())
    revisions = [recalling.bench.ledger.studies.revisions(uid)[-1] for uid in (*studies, kept)]
    assert {one.state for one in revisions} == {StudyState.RETURNED}


def _written(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as archive:
        yield archive


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("step", ["note-written", "note-planned", "one-object-sent"])
def test_a_kill_in_the_middle_of_a_recall_loses_no_note(step: str, archive: Archive, tmp_path: Path) -> None:
    node = new_node(tmp_path / "node", [archive.destination])
    dataset = radiograph(bright=True)
    uid = str(dataset.StudyInstanceUID)
    orders = Orders(node.folder / "steps")
    orders.folder.mkdir(exist_ok=True)
    with node.running():
        assert dcmtk.storescu(node.port, write(dataset, tmp_path / "image.dcm")).returncode == 0
        assert node.wait_for_end_of([uid])[uid].state is StudyState.RETURNED
        results = set(archive.sop_instance_uids)
        orders.kill_at(step)

        with node.ledger() as ledger:
            request = RecallRequest(RecallScope.STUDY, uid, RecallReason.QUALITY, WORDS, "alice")
            ledger.recalls.withdraw(request, open_clock(ledger).now())

        wait_until(lambda: orders.is_killed(step), f"the deliverer is killed at {step}", 60)
        wait_until(lambda: len(set(archive.sop_instance_uids) - results) == 1, "the note arrives", 60)
        assert node.wait_for_end_of([uid])[uid].state is StudyState.RETURNED

    (note,) = {one for one in archive.sop_instance_uids if one not in results}
    copies = {data for name, data in zip(archive.sop_instance_uids, archive.encoded, strict=True) if name == note}
    assert len(copies) == 1
    assert sum(name in results for name in archive.sop_instance_uids) == len(results)
