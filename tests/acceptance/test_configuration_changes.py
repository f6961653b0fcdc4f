"""The configuration of a running node is changed: no association is dropped, what is half done ends as it began."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from patchclip_node.adapters.configuration_store import ConfigurationStore
from patchclip_node.domain.states import StudyState
from tests.acceptance.test_kill import held_in_analysis
from tests.peers.archive import Archive
from tests.peers.node import Node, new_node
from tests.peers.processes import wait_until
from tests.peers.radiographs import data_set_bytes, radiograph, write
from tests.support.scp import associate_request, p_data, received_pdu, request

HALF_OF_A_PDU = 8000


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as archive:
        yield archive


def config(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Give a `config` command, as a person at a shell does."""
    command = [sys.executable, "-m", "patchclip_node", "config", *arguments, "--config", str(node.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def change(node: Node, **values: Any) -> None:
    """Change keys in the configuration file; nothing is applied."""
    node.config.write_text(yaml.safe_dump(yaml.safe_load(node.config.read_text()) | values))


def applied(node: Node, **values: Any) -> None:
    """Change keys and have them applied."""
    change(node, **values)
    ended = config(node, "apply")
    assert ended.returncode == 0, ended.stderr


def named(archive: Archive, name: str) -> dict[str, Any]:
    peer = archive.destination
    return {"name": name, "ae_title": peer.ae_title, "host": peer.host, "port": peer.port}


def associate(node: Node, title: str, dataset: Dataset) -> Association:
    ae = AE(title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
    ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    return ae.associate("127.0.0.1", node.port, ae_title="PATCHCLIP")


def sent(node: Node, title: str, dataset: Dataset) -> int | None:
    """Send one image over a new association; returns its status, None where there is no association."""
    association = associate(node, title, dataset)
    if not association.is_established:
        transport = association.dul.socket
        if transport is not None and transport.socket is not None:
            transport.socket.close()
        return None
    status = int(association.send_c_store(dataset).Status)
    association.release()
    return status


def test_open_associations_go_on_while_peers_routes_and_destinations_change(tmp_path: Path, archive: Archive) -> None:
    """One of them is served by the helper, the other one by the receiver, and each of the two turns one away."""
    slow, idle, held, after = (radiograph(bright=True) for _ in range(4))
    titles = ["MODALITY", "OLD"]
    node = new_node(tmp_path / "node", [archive.destination], calling_ae_titles=titles, lease_s=60.0, receivers=2)
    before = named(archive, archive.destination.name)
    with Archive() as second, node.running() as process:
        wait_until(lambda: "ready: " in node.log, "the node is ready")
        content = data_set_bytes(write(slow, tmp_path / "slow.dcm"))
        with socket.create_connection(("127.0.0.1", node.port)) as peer:
            peer.settimeout(60)
            peer.sendall(associate_request(slow.SOPClassUID, calling="OLD"))
            assert received_pdu(peer)[0] == 0x02
            command = request(0x0001, slow.SOPClassUID, sop_instance_uid=slow.SOPInstanceUID)
            peer.sendall(p_data(1, 0x03, command) + p_data(1, 0x00, content[:HALF_OF_A_PDU]))
            beside = associate(node, "OLD", idle)
            assert [node.associations_of(one) for one in (node.receiver, *node.helpers)] == [1, 1]

            with held_in_analysis(node, held):
                applied(
                    node,
                    calling_ae_titles=["MODALITY", "NEW"],
                    destinations=[before, named(second, "second")],
                    routes=[{"name": "second-alone", "destinations": ["second"]}],
                )
                refused_by_helper = sent(node, "OLD", radiograph())
                goes_on = beside.send_c_store(idle).Status
                beside.release()
                wait_until(lambda: node.associations_of(node.receiver) == 0, "the receiver serves none")
                refused_by_receiver, admitted = sent(node, "OLD", radiograph()), sent(node, "NEW", after)

            for at in range(HALF_OF_A_PDU, len(content), HALF_OF_A_PDU):
                is_last = at + HALF_OF_A_PDU >= len(content)
                peer.sendall(p_data(1, 0x02 if is_last else 0x00, content[at : at + HALF_OF_A_PDU]))
            answer = received_pdu(peer)
        later = [after.StudyInstanceUID, slow.StudyInstanceUID, idle.StudyInstanceUID]
        ended = node.wait_for_end_of([held.StudyInstanceUID, *later])
        results = node.results_of(held.StudyInstanceUID)
        later_results = set().union(*(node.results_of(uid) for uid in later))

        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "applied_on_signal" in node.log, "SIGHUP has the file applied")
        change(node, port=1, calling_ae_titles=["NOBODY"])
        stuck = config(node, "apply")
        node.config.write_text("prot: 5\n")
        invalid = config(node, "apply")
        still = sent(node, "NEW", radiograph())

    assert (refused_by_helper, refused_by_receiver) == (None, None)
    assert (goes_on, admitted, still) == (0x0000, 0x0000, 0x0000)
    assert answer[0] == 0x04
    assert b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00" in answer  # (0000,0900) Status: Success
    assert {study.state for study in ended.values()} == {StudyState.RETURNED}
    assert set(archive.sop_instance_uids) == results
    assert set(second.sop_instance_uids) == later_results
    assert (stuck.returncode, invalid.returncode) == (1, 2)
    assert "needs a restart: port" in stuck.stderr
    assert "child_ended" not in node.log


def test_processes_that_were_started_one_by_one_take_it_as_well(tmp_path: Path) -> None:
    node = new_node(tmp_path / "node", receivers=None)
    store = ConfigurationStore(node.settings.data_dir)

    def versions() -> dict[str, tuple[int, int]]:
        return {one.process: (one.pid, one.started) for one in store.running()}

    with node.running("receive") as receive, node.running("deliver") as deliver:
        wait_until(lambda: versions().keys() == {"receive", "deliver"}, "both run")
        applied(node, calling_ae_titles=["MODALITY"], retention={"returned_days": 3})
        wait_until(lambda: versions().get("deliver") == (deliver.pid, 2), "it has begun again with what holds")
        in_place = versions()["receive"]

        change(node, calling_ae_titles=["OTHER"])
        deliver.send_signal(signal.SIGHUP)
        wait_until(lambda: store.current() == 3, "SIGHUP has the file applied")
        wait_until(lambda: audited(node).count("Security Configuration") == 2, "both changes are audited", 30)
        refused, admitted = sent(node, "MODALITY", radiograph()), sent(node, "OTHER", radiograph())

    assert in_place == (receive.pid, 1)
    assert (refused, admitted) == (None, 0x0000)
    assert (receive.returncode, deliver.returncode) == (0, 0)


def audited(node: Node) -> str:
    return "".join(path.read_text() for path in node.settings.audit_dir.glob("*") if path.is_file())
