"""kill -9 at any moment: what was acknowledged is kept, every study ends, a destination holds each result once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE

from patchclip_node.domain.states import StudyState
from tests.peers.archive import Archive
from tests.peers.node import Node, new_node
from tests.peers.processes import wait_until
from tests.peers.radiographs import radiograph


class Sender(threading.Thread):
    """Sends images over one association and notes each one that the node acknowledged."""

    def __init__(self, port: int, datasets: list[Dataset]) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._datasets = datasets
        self.acknowledged: list[Dataset] = []

    @property
    def is_cut(self) -> bool:
        """Whether its association ended before all was acknowledged."""
        return len(self.acknowledged) < len(self._datasets)

    def run(self) -> None:
        ae = AE("MODALITY")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
        ae.add_requested_context(self._datasets[0].SOPClassUID, self._datasets[0].file_meta.TransferSyntaxUID)
        association = ae.associate("127.0.0.1", self._port, ae_title="PATCHCLIP")
        for dataset in self._datasets:
            if not association.is_established:
                break
            try:
                response = association.send_c_store(dataset)
            except (RuntimeError, ValueError):
                break  # the node was killed
            if response.get("Status") == 0x0000:
                self.acknowledged.append(dataset)
        if association.is_established:
            association.release()
        transport = association.dul.socket
        if transport is not None and transport.socket is not None:
            transport.socket.close()


def send(node: Node, *datasets: Dataset) -> None:
    """Send, and see to it that all is acknowledged."""
    sender = Sender(node.port, list(datasets))
    sender.run()
    assert len(sender.acknowledged) == len(datasets)


def assert_holds_each_result_once(archive: Archive, node: Node, study_instance_uids: list[str]) -> None:
    """An archive keeps one object a SOP Instance UID; what reached it twice must be the same object."""
    expected = set().union(*(node.results_of(uid) for uid in study_instance_uids))
    bytes_of: dict[str, set[bytes]] = {}
    for uid, encoded in zip(archive.sop_instance_uids, archive.encoded, strict=True):
        bytes_of.setdefault(uid, set()).add(encoded)
    assert set(bytes_of) == expected
    assert {uid: len(contents) for uid, contents in bytes_of.items()} == dict.fromkeys(expected, 1)


@contextmanager
def held_in_analysis(node: Node, dataset: Dataset) -> Iterator[None]:
    """Send a study and wait until a worker is within the model with it; at the end models work again."""
    node.hold.touch()
    send(node, dataset)
    wait_until(lambda: node.is_in_analysis, "a worker is within the model")
    yield
    node.hold.unlink()


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as archive:
        yield archive


@pytest.fixture
def node(tmp_path: Path, archive: Archive) -> Node:
    return new_node(tmp_path / "node", [archive.destination], receivers=None)


@pytest.mark.parametrize("associations", [1, 4])
def test_the_node_is_killed_while_it_receives(node: Node, archive: Archive, associations: int) -> None:
    """With several associations their rows are committed together: each may be acknowledged only after that."""
    studies = [str(generate_uid(None)) for _ in range(2)]
    datasets = [radiograph(study_instance_uid=studies[number % 2], rows=512, columns=512) for number in range(400)]
    senders = [Sender(node.port, datasets[number::associations]) for number in range(associations)]
    with node.running():
        for sender in senders:
            sender.start()
        wait_until(lambda: all(one.acknowledged for one in senders), "some images are acknowledged", every_s=0.005)
        node.kill()
        for sender in senders:
            sender.join(30)
    kept = [dataset for sender in senders for dataset in sender.acknowledged]
    acknowledged = {dataset.SOPInstanceUID for dataset in kept}
    touched = sorted({str(dataset.StudyInstanceUID) for dataset in kept})

    with node.running():
        known = [uid for uid in studies if node.received(uid)]  # recorded, whether it was acknowledged or not
        ended = node.wait_for_end_of(known)

    assert associations <= len(acknowledged) < len(datasets)
    assert acknowledged <= set().union(*(node.received(uid) for uid in touched))
    assert {study.state for study in ended.values()} == {StudyState.RETURNED}
    assert_holds_each_result_once(archive, node, known)


def test_the_helper_and_then_the_receiver_are_killed_while_both_receive(tmp_path: Path, archive: Archive) -> None:
    """Of the two that receive by default either may die: with the helper go its associations, with the receiver all."""
    node = new_node(tmp_path / "node", [archive.destination], receivers=2)  # on a single core, too
    studies = [str(generate_uid(None)) for _ in range(2)]
    with node.running():
        beside_helper = killed_while_both_receive(node, lambda: node.helpers[0], studies[0])
        beside_receiver = killed_while_both_receive(node, lambda: node.receiver, studies[1])
        ended = node.wait_for_end_of(studies)

    assert [sum(sender.is_cut for sender in senders) for senders in (beside_helper, beside_receiver)] == [2, 4]
    acknowledged = {one.SOPInstanceUID for sender in beside_helper + beside_receiver for one in sender.acknowledged}
    assert acknowledged <= set().union(*(node.received(uid) for uid in studies))
    assert {study.state for study in ended.values()} == {StudyState.RETURNED}
    assert_holds_each_result_once(archive, node, studies)


def killed_while_both_receive(node: Node, victim: Callable[[], psutil.Process], study: str) -> list[Sender]:
    """Kill one of two receiving processes, each with two of four senders; return these when two receive again."""
    begun = node.helpers_begun
    senders = [Sender(node.port, a_frontal_and_laterals(study, 60)) for _ in range(4)]
    for sender in senders:
        sender.start()
    wait_until(lambda: all(one.acknowledged for one in senders), "all have sent", every_s=0.005)
    assert [node.associations_of(one) for one in (node.receiver, *node.helpers)] == [2, 2]
    victim().kill()
    for sender in senders:
        sender.join(120)
    wait_until(lambda: node.helpers_begun > begun, "two processes receive again")
    return senders


def a_frontal_and_laterals(study: str, images: int) -> list[Dataset]:
    datasets = [radiograph(study_instance_uid=study) for _ in range(images)]
    for lateral in datasets[1:]:
        lateral.ViewPosition = "LL"  # it is kept and not analysed
    return datasets


def test_the_node_is_killed_while_it_analyses(node: Node, archive: Archive) -> None:
    dataset = radiograph(bright=True)
    with node.running(), held_in_analysis(node, dataset):
        node.kill()

    with node.running():
        study = node.wait_for_end_of([dataset.StudyInstanceUID])[dataset.StudyInstanceUID]

    assert (study.state, study.attempts) == (StudyState.RETURNED, 2)
    assert len(archive.received) == 2
    assert_holds_each_result_once(archive, node, [dataset.StudyInstanceUID])


def test_the_worker_alone_is_killed_while_it_analyses(node: Node, archive: Archive) -> None:
    dataset, meanwhile = radiograph(bright=True), radiograph()
    with node.running():
        with held_in_analysis(node, dataset):
            node.kill_worker()
            send(node, meanwhile)  # the receiver does not mind
        ended = node.wait_for_end_of([dataset.StudyInstanceUID, meanwhile.StudyInstanceUID])

    assert {study.state for study in ended.values()} == {StudyState.RETURNED}
    assert_holds_each_result_once(archive, node, list(ended))


def test_the_node_is_killed_while_it_returns(tmp_path: Path) -> None:
    """The archive has stored the report and not yet answered: it comes again, as the same bytes."""
    stored, go_on = threading.Event(), threading.Event()

    def slowly(_: Dataset) -> int:
        stored.set()
        go_on.wait(20)
        return 0x0000

    dataset = radiograph(bright=True)
    with Archive(answer=slowly) as archive:
        node = new_node(tmp_path / "node", [archive.destination], receivers=None)
        with node.running():
            send(node, dataset)
            assert stored.wait(30)
            node.kill()
        go_on.set()

        with node.running():
            study = node.wait_for_end_of([dataset.StudyInstanceUID])[dataset.StudyInstanceUID]

        assert study.state is StudyState.RETURNED
        assert study.attempts == 1  # what was analysed is not analysed again
        assert len(archive.received) == 3  # the report twice, the segmentation once
        assert_holds_each_result_once(archive, node, [dataset.StudyInstanceUID])


def test_a_destination_that_was_down_gets_everything_when_it_is_back(tmp_path: Path) -> None:
    dataset = radiograph(bright=True)
    with Archive() as archive:
        destination = archive.destination
    node = new_node(tmp_path / "node", [destination], receivers=None)
    with node.running():
        send(node, dataset)
        wait_until(lambda: "delivery_postponed" in node.log, "a delivery is postponed")
        with Archive(port=destination.port) as archive:
            study = node.wait_for_end_of([dataset.StudyInstanceUID])[dataset.StudyInstanceUID]

    assert study.state is StudyState.RETURNED
    assert_holds_each_result_once(archive, node, [dataset.StudyInstanceUID])


def test_sigterm_ends_the_whole_tree_promptly_and_with_success(node: Node) -> None:
    with node.running() as process:
        send(node, radiograph())
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        status = process.wait(15)

    assert status == 0
    assert not [one for one in children if one.is_running()]
    assert "child_killed" not in node.log
