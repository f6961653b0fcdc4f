"""The fakes of sender and queue keep the contracts of what they stand for (the spool's: test_spool.py)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from patchclip_node.adapters.celery_queue import CeleryTaskQueue, make_celery
from patchclip_node.domain.errors import PeerError
from patchclip_node.ports.result_sender import Destination, ResultSender, SendOutcome
from patchclip_node.ports.task_queue import TaskQueue, Work
from patchclip_node.scu.sender import DicomResultSender
from tests.peers.archive import COMPREHENSIVE_SR, SEGMENTATION, Archive
from tests.peers.radiographs import radiograph, write
from tests.support.fakes import FakeQueue, FakeSender


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """An object that the destination takes, and one that it does not."""
    classes = {"sr.dcm": COMPREHENSIVE_SR, "seg.dcm": SEGMENTATION}
    return [write(radiograph(rows=64, columns=64, sop_class_uid=uid), tmp_path / name) for name, uid in classes.items()]


class TestResultSender:
    @pytest.fixture(params=["fake", "dicom"])
    def world(self, request: pytest.FixtureRequest, files: list[Path]) -> Iterator[tuple[ResultSender, Destination]]:
        """A sender, and a destination that takes SR and refuses SEG for good."""
        with ExitStack() as stack:
            if request.param == "fake":
                refused = SendOutcome(Path(), "refused", permanent=True)
                yield FakeSender(errors={files[1].read_bytes(): refused}), Destination("archive", "ARCHIVE", "host", 1)
            else:
                archive = stack.enter_context(Archive(sop_classes=[COMPREHENSIVE_SR]))
                yield DicomResultSender("NODE"), archive.destination

    def test_there_is_one_outcome_for_each_file_in_order(
        self, world: tuple[ResultSender, Destination], files: list[Path]
    ) -> None:
        sender, destination = world

        outcomes = sender.send(destination, files)

        assert [outcome.path for outcome in outcomes] == files
        assert outcomes[0].error is None
        assert outcomes[1].error
        assert outcomes[1].permanent

    def test_a_destination_that_answers_passes_the_echo(self, world: tuple[ResultSender, Destination]) -> None:
        sender, destination = world

        sender.echo(destination)

    @pytest.mark.parametrize("sender", [FakeSender(unreachable={"nobody"}), DicomResultSender("NODE")])
    def test_a_destination_that_does_not_answer_is_a_peer_error(self, sender: ResultSender, files: list[Path]) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
            nobody = Destination("nobody", "NOBODY", "127.0.0.1", bound.getsockname()[1])

            with pytest.raises(PeerError):
                sender.send(nobody, files)
            with pytest.raises(PeerError):
                sender.echo(nobody)


@pytest.mark.parametrize("work", list(Work))
@pytest.mark.parametrize("kind", ["fake", "celery"])
def test_any_number_of_calls_may_be_made(tmp_path: Path, work: Work, kind: str) -> None:
    queue: TaskQueue = FakeQueue() if kind == "fake" else CeleryTaskQueue(make_celery(None, tmp_path / "queue"))

    for _ in range(10):
        queue.wake(work)
