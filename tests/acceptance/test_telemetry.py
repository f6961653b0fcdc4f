"""The way of a study as spans, from a running node's processes to a collector that decodes them."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydicom import Dataset
from pynetdicom import AE, build_context

from patchclip_node.domain.states import StudyState
from patchclip_node.domain.traces import TraceContext
from tests.peers.collector import Collector
from tests.peers.node import Node, new_node
from tests.peers.processes import free_port, wait_until
from tests.peers.radiographs import radiograph
from tests.peers.recorder import Recorder

OF_THE_WAY = {
    "C-STORE": "receive",
    "closing": "work",
    "queue": "work",
    "fetch": "work",
    "decode": "work",
    "model": "work",
    "results": "work",
    "store": "work",
    "deliver": "deliver",
    "confirm": "receive",
    "study": "receive",
}
"""Span -> the process that tells it; the archive commits by a report to the receiver."""


def send(node: Node, *datasets: Dataset) -> None:
    """Store over one association."""
    ae = AE("XR1")
    contexts = [build_context(datasets[0].SOPClassUID, datasets[0].file_meta.TransferSyntaxUID)]
    association = ae.associate("127.0.0.1", node.port, contexts=contexts, ae_title="PATCHCLIP")
    for dataset in datasets:
        assert association.send_c_store(dataset).Status == 0x0000
    association.release()


def test_a_study_that_came_over_two_associations_is_one_trace_through_all_processes(tmp_path: Path) -> None:
    first = radiograph(bright=True, patient_name="Secret^Name")
    second = radiograph(study_instance_uid=str(first.StudyInstanceUID), patient_name="Secret^Name")
    with Recorder(free_port()) as archive, Collector() as collector:
        node = new_node(tmp_path / "node", telemetry={"endpoint": collector.endpoint}, quiet_s=3.0, lease_s=60.0)
        content = yaml.safe_load(node.config.read_text())
        place = {"ae_title": "RECORDER", "host": "127.0.0.1", "port": archive.port}
        content["destinations"] = [
            {"name": "asked", "confirm": "query", **place},
            {"name": "committed", "confirm": "commitment", **place},
        ]
        node.config.write_text(yaml.safe_dump(content))
        archive.node_port = node.port
        with node.running():
            send(node, first)
            send(node, second)
            study = node.wait_for_end_of([str(first.StudyInstanceUID)], 120)[str(first.StudyInstanceUID)]
        wait_until(lambda: "study" in {one.name for one in collector.spans}, "the last span has come", 30)

    whole = TraceContext.read(study.traceparent)
    assert study.state is StudyState.RETURNED
    assert whole is not None
    of_study = [one for one in collector.spans if one.trace_id == whole.trace_id]
    assert {one.name for one in of_study} >= set(OF_THE_WAY)
    assert {(one.name, one.process) for one in of_study} >= set(OF_THE_WAY.items()) - {("study", "receive")}
    assert [one.parent_id for one in of_study if one.span_id == whole.span_id] == [""]
    assert {one.parent_id for one in of_study if one.span_id != whole.span_id} == {whole.span_id}
    assert all(one.began_ns <= one.ended_ns for one in of_study)
    assert {one.attributes["patchclip.destination"] for one in of_study if one.name == "deliver"} == {"asked"}
    associations = [one for one in collector.spans if one.name == "association"]
    links = [one.links for one in of_study if one.name == "C-STORE"]
    assert sorted(links) == sorted((one.trace_id,) for one in associations)
    assert len(set(links)) == 2
    _nothing_of_the_patient(collector, first, second)


def _nothing_of_the_patient(collector: Collector, *datasets: Dataset) -> None:
    told = b"".join(collector.bodies)
    for dataset in datasets:
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyInstanceUID"):
            value = str(dataset[keyword].value)
            if len(value) > 3:
                assert value.encode() not in told, keyword
        assert str(dataset.SOPInstanceUID).encode() not in told
    keys = {key for one in collector.spans for key in one.attributes}
    assert keys <= {
        "patchclip.revision",
        "patchclip.images",
        "patchclip.destination",
        "patchclip.size_bytes",
        "patchclip.calling_ae_title",
    }
