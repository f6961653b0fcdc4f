"""An edge receiver and a central node, a line between them that is cut, and an edge that is killed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset

from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.result_sender import Destination
from tests.peers import dcmtk
from tests.peers.archive import Archive
from tests.peers.line import Line
from tests.peers.node import Node, new_node
from tests.peers.processes import free_port, wait_until
from tests.peers.radiographs import as_jpeg_2000, data_set_bytes, radiograph, write
from tests.peers.visitor import Visitor

pytestmark = pytest.mark.peer("dcmtk")


def two_nodes(folder: Path, archive: Archive, line: Line) -> tuple[Node, Node]:
    """Return an edge that hands images on over the line and waits for commitment, and the node that analyses them."""
    place = Destination("central", "CENTRAL", "127.0.0.1", line.port)
    edge = new_node(folder / "edge", [place], ae_title="EDGE", forward=True, model="there-is-none", receivers=None)
    text = edge.config.read_text()
    edge.config.write_text(text.replace("name: central", "name: central\n  confirm: commitment"))
    caller = {"ae_title": "EDGE", "address": "127.0.0.1", "port": edge.port}
    central = new_node(
        folder / "central",
        [archive.destination],
        ae_title="CENTRAL",
        port=line.to_port,
        known_callers=[caller],
        receivers=None,
    )
    central.port = line.to_port
    return edge, central


def send(node: Node, folder: Path, *datasets: Dataset, options: tuple[str, ...] = ()) -> dict[str, Path]:
    """Send images by DCMTK; all are acknowledged. Returns their files by SOP Instance UID."""
    files = {str(one.SOPInstanceUID): write(one, folder / f"{one.SOPInstanceUID}.dcm") for one in datasets}
    finished = dcmtk.storescu(node.port, *files.values(), options=options)
    assert finished.returncode == 0, finished.stderr
    return files


def waiting(node: Node) -> int:
    with node.ledger() as ledger:
        return ledger.workload.counts().deliveries_by_state[DeliveryState.PENDING]


def test_what_an_edge_acknowledged_while_the_line_was_down_arrives_once_and_byte_for_byte(tmp_path: Path) -> None:
    first, urgent, compressed = radiograph(), radiograph(), as_jpeg_2000(radiograph())
    plain = [radiograph(bright=number == 0) for number in range(3)]
    second_image = radiograph()
    second_image.StudyInstanceUID = plain[0].StudyInstanceUID
    urgent.RequestedProcedurePriority = "STAT"
    studies = [str(one.StudyInstanceUID) for one in (first, *plain, compressed, urgent)]
    with Archive() as archive, Line(free_port()) as line:
        edge, central = two_nodes(tmp_path, archive, line)
        with central.running():
            with edge.running():
                sent = send(edge, tmp_path, first)
                edge.wait_for_end_of(studies[:1])
                assert "torch" not in edge.mapped_files()
                line.cut()
                sent |= send(edge, tmp_path, *plain, second_image)
                sent |= send(edge, tmp_path, compressed, options=("-xv",))
                sent |= send(edge, tmp_path, urgent)
                edge.kill()
            with edge.running():
                wait_until(lambda: waiting(edge) == len(sent) - 1, "all but the first wait for the line")
                line.mend()
                ended = edge.wait_for_end_of(studies)
                pages = Visitor(edge.settings.web.port)
                assert pages.get(f"/studies/{studies[-1]}") == 200
                assert pages.get("/healthz") == 200, pages.page
            assert {study.state for study in ended.values()} == {StudyState.RETURNED}
            analysed = central.wait_for_end_of(studies)

        assert {study.state for study in analysed.values()} == {StudyState.RETURNED}
        wanted = set().union(*(central.results_of(uid) for uid in studies))
        assert sorted(archive.sop_instance_uids) == sorted(wanted)
        with central.ledger() as ledger:
            held = [one for uid in studies for one in ledger.studies.instances(uid)]
    assert len(held) == len(sent)
    assert {one.instance.calling_ae_title for one in held} == {"EDGE"}
    for one in held:
        (kept,) = central.settings.spool_dir.rglob(str(one.instance.spool_key))
        assert data_set_bytes(kept) == data_set_bytes(sent[one.instance.header.sop_instance_uid])
    order = [one.instance.header.sop_instance_uid for one in sorted(held, key=lambda one: one.id)]
    assert order[:2] == [str(first.SOPInstanceUID), str(urgent.SOPInstanceUID)]
