"""What readers send back and say on the page becomes a training set: no identifier, boxes where they were drawn."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code
from pynetdicom import AE

from patchclip_node.dicom import codes
from patchclip_node.dicom.statuses import SUCCESS
from patchclip_node.domain.accounts import Account, Role
from patchclip_node.domain.verdicts import Verdict, VerdictKind, VerdictSource
from patchclip_node.services import passwords
from tests.peers import dcmtk
from tests.peers.archive import COMPREHENSIVE_SR
from tests.peers.dcmtk import Storescp
from tests.peers.node import Node, new_node
from tests.peers.processes import listens, wait_until
from tests.peers.radiographs import radiograph, write
from tests.peers.visitor import Visitor
from tests.support import readers
from tests.support.fakes import START, make_ledger

pytestmark = pytest.mark.peer("dcmtk")

STORED = Path(__file__).parents[1] / "support" / "ohif"
"""What OHIF 3.13.2 stored over a radiograph without content: see test_statements.py."""
_PATIENCE_S = 180
"""A reader's object is read in a child process, which takes seconds to start on a busy machine."""
PASSWORD = "correct horse battery"
NAMES = {
    "rejected": "Reject^Ruth",
    "attached": "Attach^Anton",
    "of interest": "Interest^Isidora",
    "judged": "Judge^Jonas",
}
"""The study of each verdict -> its patient."""


@dataclass(frozen=True)
class Site:
    node: Node
    archive: Storescp
    folder: Path
    images: dict[str, Dataset]

    def send(self, dataset: Dataset) -> None:
        """Send an object as an archive does; DCMTK's storescu does not know label maps."""
        sender = AE("ARCHIVE")
        sender.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        association = sender.associate("127.0.0.1", self.node.port, ae_title="PATCHCLIP")
        assert association.is_established
        assert association.send_c_store(dataset).Status == SUCCESS
        association.release()

    def said(self, name: str) -> list[Verdict]:
        with self.node.ledger() as ledger:
            return ledger.verdicts.of_study(self.images[name].StudyInstanceUID)

    def wait_for(self, name: str, number: int) -> list[Verdict]:
        """Wait until a study has this number of verdicts, and return them."""
        wait_until(lambda: len(self.said(name)) == number, f"{number} verdicts on {name}", _PATIENCE_S)
        return self.said(name)

    def report_of(self, name: str) -> Dataset:
        """Return the report that the archive has got of a study."""
        held = [dcmread(path) for path in self.archive.files()]
        uid = self.images[name].StudyInstanceUID
        return next(one for one in held if one.StudyInstanceUID == uid and one.SOPClassUID == COMPREHENSIVE_SR)

    def note(self, name: str) -> str:
        """Return what the study's page says of the last object that came for it."""
        with self.node.ledger() as ledger:
            return ledger.studies.instances(self.images[name].StudyInstanceUID)[-1].image_reason or ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running node with analysed studies, and the archive that has their results."""
    folder = tmp_path_factory.mktemp("evidence")
    images = {name: radiograph(bright=True, patient_name=patient) for name, patient in NAMES.items()}
    for number, image in enumerate(images.values()):
        image.PatientID, image.AccessionNumber = f"HOSPITAL-{number}", f"ACC-{number}"
    images["in OHIF"] = dcmread(STORED / "image.dcm")
    with dcmtk.storescp(folder / "archive") as archive:
        limits = {"min_free_bytes": 0, "decode_timeout_s": _PATIENCE_S}
        node = new_node(folder / "node", [archive.destination], lease_s=30.0, limits=limits)
        node.settings.data_dir.mkdir()
        ledger = make_ledger(node.settings.data_dir)
        ledger.accounts.add(Account("rita.reader", Role.OPERATOR, passwords.hashed(PASSWORD), START))
        ledger.close()
        with node.running():
            for name, image in images.items():
                options = ("-xr",) if name == "in OHIF" else ()
                sent = dcmtk.storescu(node.port, write(image, folder / f"{name}.dcm"), options=options)
                assert sent.returncode == 0, sent.stderr
            node.wait_for_end_of([image.StudyInstanceUID for image in images.values()], _PATIENCE_S)
            yield Site(node, archive, folder, images)


def _key_objects(site: Site, name: str, title: Code) -> None:
    results = site.report_of(name)
    site.send(readers.key_objects(title, [results]))


def test_what_readers_say_becomes_a_training_set_that_tells_no_patient(site: Site, tmp_path: Path) -> None:
    _key_objects(site, "rejected", codes.REJECTED_FOR_QUALITY)
    _key_objects(site, "attached", codes.FOR_REPORT_ATTACHMENT)
    _key_objects(site, "of interest", Code("113000", "DCM", "Of Interest"))
    site.send(dcmread(STORED / "report.dcm"))
    site.wait_for("in OHIF", 1)
    site.send(dcmread(STORED / "label-map.dcm"))
    _judge(site, "judged", "corrected:opacity", "[[10, 20, 30, 40]]")
    (rejected,), (attached,), (judged,) = (site.wait_for(name, 1) for name in ("rejected", "attached", "judged"))
    outlined, painted = site.wait_for("in OHIF", 2)
    of_interest = "key objects of interest are read"
    wait_until(lambda: "says nothing of a finding" in site.note("of interest"), of_interest, _PATIENCE_S)

    kinds = [one.said.opinion.kind for one in (rejected, attached, judged, outlined, painted)]
    assert kinds == [VerdictKind(kind) for kind in ("rejected", "accepted", "corrected", "missed", "missed")]
    sources = [outlined.said.source, painted.said.source, rejected.said.source, judged.said.source]
    assert sources == [VerdictSource(one) for one in ("report", "segmentation", "key objects", "page")]
    (outline,) = outlined.said.opinion.boxes
    assert (outline.x, outline.y, outline.w, outline.h) == pytest.approx((97.4, 157.5, 22.4, 26.2), abs=0.1)
    assert site.said("of interest") == []

    out, prepared, key = tmp_path / "set", tmp_path / "prepared", tmp_path / "site.key"
    _run("patchclip_node", "verdicts", "training-set", out, "--key-file", key, "--config", site.node.config)
    _run("patchclip_trainer", "prepare", out, "--out", prepared, "--input-px", "64", "--workers", "1")

    rows = {row["image"]: row["adjudicated"] for row in _rows(out / "manifest.csv")}
    assert sorted(rows.values()) == ["opacity=NO", "opacity=YES", "opacity=YES", "pleural_effusion=YES"]
    drawn = {rows[box["image"]] + box["trust"]: box for box in _rows(out / "boxes.csv")}
    assert _place(drawn["pleural_effusion=YEShigh"]) == [30, 150, 60, 50]  # where OHIF's brush was; the last one counts
    assert _place(drawn["opacity=YEShigh"]) == [10, 20, 30, 40]
    bright = [96 // 8, 128 // 4, 96 // 3 - 96 // 8, 128 // 4]  # the node's box, which a reader attached to a report
    assert _place(drawn["opacity=YESmedium"]) == pytest.approx(bright, abs=4)
    assert len(drawn) == 3
    _tells_no_patient(site, [out, prepared])


def _judge(site: Site, name: str, said: str, boxes: str) -> None:
    port = site.node.settings.web.port
    wait_until(lambda: listens(port), "the pages are served")
    visitor, image = Visitor(port), site.images[name]
    visitor.log_in("rita.reader", PASSWORD)
    path = f"/studies/{image.StudyInstanceUID}"
    assert visitor.get(path) == 200
    fields = {"revision": "1", "image": str(image.SOPInstanceUID), "said": said, "boxes": boxes}
    assert visitor.post(f"{path}/verdicts", **fields) == 303, visitor.page


def _run(program: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", program, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PATCHCLIP_")}
    plugins = Path(__file__).parents[1] / "plugins"
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(plugins), os.environ.get("PYTHONPATH", "")]))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _place(box: dict[str, str]) -> list[float]:
    return [float(box[name]) for name in "xywh"]


def _tells_no_patient(site: Site, folders: Sequence[Path]) -> None:
    """No name, number or UID of a patient, study, image, result or reader stands in a file or its name."""
    tells = {"rita.reader", "Reader^Rita", "ARCHIVE", *readers.READER.split("^")}
    for image in site.images.values():
        said = (image.PatientName, image.PatientID, image.AccessionNumber, image.StudyInstanceUID)
        uids = (image.SOPInstanceUID, image.SeriesInstanceUID, image.get("FrameOfReferenceUID", ""))
        tells |= {str(one) for one in (*said, *uids) if one} | {*str(image.PatientName).split("^")} - {
            "Test",
            "Patient",
        }
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 6
    for path in files:
        content = path.read_bytes()
        found = [one for one in tells if one in str(path.name) or one.encode() in content]
        assert not found, (path, found)
