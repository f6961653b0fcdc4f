"""Logs, metrics and errors hold nothing of a patient, whatever goes wrong and however much is logged."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid

from patchclip_node.ports.result_sender import Destination
from tests.peers import dcmtk
from tests.peers.node import Node, new_node
from tests.peers.processes import free_port, wait_until
from tests.peers.radiographs import radiograph, write

pytestmark = pytest.mark.peer("dcmtk")

PATIENT = {
    "PatientName": "Zzyzxowitz^Quetzalcoatlina^Wolfeschlegel",
    "PatientID": "QX77XQPATID",
    "PatientBirthDate": "19331217",
    "PatientAddress": "Llanfairpwllgwyngyll Road 7",
    "PatientMotherBirthName": "Hubertblaine",
    "PatientTelephoneNumbers": "+44 7700 900461",
    "OtherPatientIDs": "OTHERQX78ID",
    "AccessionNumber": "ACCQZ55",
    "ReferringPhysicianName": "Brfxxccxxmnpcccc^Doc",
    "PerformingPhysicianName": "Mxyzptlkson^Radio",
    "OperatorsName": "Kvothesdottir^Op",
    "InstitutionName": "Xenolithica Hospital",
    "StudyDescription": "Thorax of Zzyzxowitz",
    "SeriesDescription": "Lung of Zzyzxowitz",
    "PatientComments": "Cousin of Ozymandiasz",
    "ImageComments": "Seen with Ozymandiasz",
    "AdditionalPatientHistory": "Psittacosisque once",
}
"""What no log may hold, nor a part of it."""

_SHORTEST = 6
PARTS = sorted(
    {part for value in PATIENT.values() for part in re.split(r"[\^ ]", value) if len(part) >= _SHORTEST} | {"ACCQZ55"}
)
"""`Hospital`, `Thorax` and the like are words of anybody."""
_COMMON = {"Hospital", "Thorax", "Cousin"}


def _study(**changes: object) -> Dataset:
    dataset = radiograph(study_instance_uid=str(generate_uid(None)), bright=True)
    with disable_value_validation():
        for keyword, value in (PATIENT | changes).items():
            if keyword in dataset:
                del dataset[keyword]  # an element keeps the validation that it was made with
            setattr(dataset, keyword, value)
    return dataset


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Node, str]:
    """A node through which studies went well and badly; and what its pages, its commands and its peers said."""
    folder = tmp_path_factory.mktemp("logs")
    said: list[str] = []
    nowhere = Destination("nowhere", "NOWHERE", "127.0.0.1", free_port())
    with dcmtk.storescp(folder / "storescp") as good, dcmtk.storescp(folder / "refusing", "--refuse") as refusing:
        node = new_node(
            folder / "node",
            [good.destination, replace(refusing.destination, name="refusing"), nowhere],
            log={"format": "json", "level": "debug"},
            retry={"backoff_s": 0.2, "backoff_max_s": 0.3, "deliver_for_s": 2.0, "analysis_attempts": 2},
        )
        with node.running():
            uids = []
            for number, dataset in enumerate(_studies()):
                with disable_value_validation():
                    path = write(dataset, folder / f"{number}.dcm")
                if number == 3:
                    content = path.read_bytes()
                    path.write_bytes(content[: len(content) // 2])
                sent = dcmtk.storescu(node.port, path)
                said.append(sent.stdout + sent.stderr)
                if "Success" in said[-1]:
                    uids.append(str(dataset.StudyInstanceUID))
            node.wait_for_end_of(uids, timeout_s=120)
            said += [_get(node, path) for path in ("/metrics", "/healthz", "/nowhere", "/?state=NONSENSE")]
            for arguments in (("studies", "requeue", uids[0]), ("doctor",), ("studies", "purge", "1.2.3")):
                said.append(_run(node, *arguments))
            wait_until(lambda: "delivery_failed" in node.log, "a delivery fails")
    return node, "\n".join(said)


def _studies() -> Iterator[Dataset]:
    yield _study()
    yield _study(BodyPartExamined="KNEE", ViewPosition="LL")
    yield _study(BitsAllocated=7, Rows=0)
    yield _study()
    yield _study(PixelSpacing=None)
    yield _study(PatientSex="Zzyzxowitz")
    yield _study(StudyDate="Zzyzxowitz", SeriesNumber=None)
    yield _study(StudyInstanceUID="1.2.Zzyzxowitz")
    yield _study(PatientID="QX77XQPATID" * 12)


def _get(node: Node, path: str) -> str:
    address = f"http://127.0.0.1:{node.settings.web.port}{path}"
    try:
        with urlopen(address, timeout=30) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        return error.read().decode()


def _run(node: Node, *arguments: str) -> str:
    command = [sys.executable, "-m", "patchclip_node", *arguments, "--config", str(node.config)]
    done = subprocess.run(command, cwd=node.folder, capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


def test_the_log_is_of_all_steps(outcome: tuple[Node, str]) -> None:
    log = outcome[0].log
    for event in ("instance_received", "study_analysed", "study_rejected", "result_delivered", "delivery_postponed"):
        assert event in log


@pytest.mark.parametrize("part", [part for part in PARTS if part not in _COMMON])
def test_no_log_metric_or_error_holds_a_part_of_a_patient(outcome: tuple[Node, str], part: str) -> None:
    log, said = outcome[0].log, outcome[1]

    for text in (log, said):
        found = [line[:300] for line in text.splitlines() if part.casefold() in line.casefold()]
        assert found == []
