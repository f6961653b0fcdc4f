"""Shadow mode and the release gate with a real archive: exactly the due objects reach it, whatever is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from patchclip_node.domain.states import StudyState
from tests.peers import dcmtk
from tests.peers.archive import Archive
from tests.peers.node import Node, new_node
from tests.peers.orthanc import Orthanc, orthanc
from tests.peers.processes import wait_until
from tests.peers.radiographs import radiograph, write

ROUTES = [
    {"name": "shadow", "when": {"station": ["SHADOW*"]}, "release": "never"},
    {"name": "held", "when": {"station": ["HELD"]}, "release": "held"},
    {"name": "for-one", "when": {"station": ["ONE"]}, "release": "held", "hold": {"destinations": ["orthanc"]}},
    {"name": "where-found", "when": {"station": ["FOUND"]}, "release": "held", "hold": {"findings": ["opacity"]}},
    {"name": "not-at-all", "when": {"station": ["NOT"]}, "analyse": False},
]


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as archive:
        yield archive


def send(node: Node, folder: Path, station: str, *, bright: bool = True) -> str:
    """Send a study of one image; returns its Study Instance UID."""
    uid = str(generate_uid(None))
    dataset = radiograph(bright=bright, study_instance_uid=uid)
    dataset.StationName = station
    sent = dcmtk.storescu(node.port, write(dataset, folder / f"{uid}.dcm"))
    assert sent.returncode == 0
    return uid


def decide(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Give a `studies` command, as a person at a shell does."""
    command = [sys.executable, "-m", "patchclip_node", "studies", *arguments, "--config", str(node.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def state_of(node: Node, uid: str) -> StudyState | None:
    return next((study.state for study in node.studies() if study.study_instance_uid == uid), None)


def due(node: Node, uid: str) -> set[str]:
    """Return the SOP Instance UIDs of all results that were built for a study."""
    with node.ledger() as ledger:
        (study,) = ledger.studies.revisions(uid)
        return {one.result.sop_instance_uid for one in ledger.studies.results(study.id)}


@pytest.mark.peer("orthanc")
@pytest.mark.peer("dcmtk")
def test_exactly_the_due_objects_reach_an_orthanc(archive: Archive, tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc") as pacs:
        other = archive.destination
        destinations = [pacs.destination, other]
        node = new_node(tmp_path / "node", destinations, routes=ROUTES, profiles=[PLAIN], receivers=None)
        with node.running():
            shadow, held, one, found, plain, refused = (
                send(node, tmp_path, station) for station in ("SHADOW 1", "HELD", "ONE", "FOUND", "OPEN", "HELD")
            )
            normal = send(node, tmp_path, "FOUND", bright=False)
            skipped = send(node, tmp_path, "NOT")
            node.wait_for_end_of([shadow, plain, normal, skipped])
            wait_until(
                lambda: {state_of(node, uid) for uid in (held, one, found, refused)} == {StudyState.HELD},
                "the held studies wait",
                60,
            )
            assert [state_of(node, uid) for uid in (shadow, plain, normal, skipped)] == [
                StudyState.KEPT,
                StudyState.RETURNED,
                StudyState.RETURNED,
                StudyState.REJECTED,
            ]
            there_is_exactly(node, pacs, [plain, normal], [shadow, held, one, found, refused, skipped])
            assert set(archive.sop_instance_uids) == {name for uid in (plain, normal, one) for name in due(node, uid)}

            node.kill()
        with node.running():
            assert decide(node, "release", shadow).returncode == 1
            assert decide(node, "refuse", refused, "--because", "artefact").returncode == 0
            assert state_of(node, refused) is StudyState.KEPT
            assert decide(node, "release", held, one, found).returncode == 0
            ended = node.wait_for_end_of([held, one, found])
            assert {study.state for study in ended.values()} == {StudyState.RETURNED}
            there_is_exactly(node, pacs, [plain, normal, held, one, found], [shadow, refused, skipped])
        assert set(archive.sop_instance_uids) == {
            name for uid in (plain, normal, held, one, found) for name in due(node, uid)
        }
        assert len(archive.sop_instance_uids) == len(set(archive.sop_instance_uids))


PLAIN = {"name": "standard", "objects": ["sr", "seg"]}
"""Without a fallback, so that nothing is built that is not due."""


def there_is_exactly(node: Node, pacs: Orthanc, arrived: list[str], absent: list[str]) -> None:
    assert {uid: set(pacs.sop_classes(uid)) for uid in arrived} == {uid: due(node, uid) for uid in arrived}
    assert {uid: set(pacs.sop_classes(uid)) for uid in absent} == {uid: set() for uid in absent}
