"""Delivered means confirmed: an archive is queried for what it acknowledged, which counts once it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]  # from a table

from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu import confirmation
from patchclip_node.scu.sender import DicomResultSender, Timeouts
from tests.peers.archive import COMPREHENSIVE_SR, Archive
from tests.peers.orthanc import orthanc
from tests.peers.radiographs import radiograph, write

Answers = Iterator[tuple[int, Dataset | None]]
SENDER = DicomResultSender("NODE", Timeouts(connect_s=2, acse_s=5, response_s=5))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmation, "PAUSE_S", 0.01)


def report(folder: Path) -> Path:
    return write(radiograph(rows=16, columns=16, sop_class_uid=COMPREHENSIVE_SR), folder / "sr.dcm")


class FindingArchive:
    """An archive that acknowledges all and answers each query as it is told."""

    def __init__(self, answers: Callable[[Dataset], Answers]) -> None:
        self.asked: list[Dataset] = []
        self._answers = answers
        self._ae = AE("ARCHIVE")
        self._ae.add_supported_context(COMPREHENSIVE_SR)
        self._ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)

    def __enter__(self) -> Destination:
        handlers: list[Any] = [(evt.EVT_C_STORE, lambda _: 0), (evt.EVT_C_FIND, self._find)]
        self._server = self._ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert self._server is not None
        port = self._server.server_address[1]
        return Destination("archive", "ARCHIVE", "127.0.0.1", port, confirm=Confirmation.QUERY)

    def __exit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.shutdown()

    def _find(self, event: evt.Event) -> Answers:
        self.asked.append(event.identifier)
        yield from self._answers(event.identifier)


def found(asked: Dataset) -> Answers:
    answer = Dataset()
    answer.QueryRetrieveLevel = "IMAGE"
    answer.SOPInstanceUID = asked.SOPInstanceUID
    yield 0xFF00, answer


def nothing(_: Dataset) -> Answers:
    yield from ()


def another(_: Dataset) -> Answers:
    answer = Dataset()
    answer.SOPInstanceUID = "1.2.3"
    yield 0xFF00, answer


def failure(_: Dataset) -> Answers:
    yield 0xA700, None


def test_an_object_that_the_archive_finds_is_delivered(tmp_path: Path) -> None:
    archive = FindingArchive(found)
    with archive as destination:
        (outcome,) = SENDER.send(destination, [report(tmp_path)])

    assert outcome.error is None
    (asked,) = archive.asked
    assert asked.QueryRetrieveLevel == "IMAGE"
    assert {asked.StudyInstanceUID, asked.SeriesInstanceUID, asked.SOPInstanceUID}.isdisjoint({"", None})


@pytest.mark.parametrize(
    ("answers", "words", "asked"),
    [(nothing, "does not find it", 3), (another, "does not find it", 3), (failure, "answered 0xA700", 3)],
)
def test_an_object_that_the_archive_does_not_find_is_to_be_sent_again(
    answers: Callable[[Dataset], Answers], words: str, asked: int, tmp_path: Path
) -> None:
    archive = FindingArchive(answers)
    with archive as destination:
        (outcome,) = SENDER.send(destination, [report(tmp_path)])

    assert words in str(outcome.error)
    assert not outcome.permanent
    assert len(archive.asked) == asked


def test_an_archive_that_files_a_moment_later_is_asked_again(tmp_path: Path) -> None:
    archive = FindingArchive(lambda asked: found(asked) if len(archive.asked) == 2 else nothing(asked))
    with archive as destination:
        (outcome,) = SENDER.send(destination, [report(tmp_path)])

    assert outcome.error is None
    assert len(archive.asked) == 2


def test_an_archive_that_answers_no_query_is_named_with_what_to_do(tmp_path: Path) -> None:
    with Archive() as archive:
        (outcome,) = SENDER.send(replace(archive.destination, confirm=Confirmation.QUERY), [report(tmp_path)])

    assert "allow Study Root FIND there, or set confirm: none" in str(outcome.error)
    assert not outcome.permanent


def test_without_confirmation_nobody_is_asked(tmp_path: Path) -> None:
    archive = FindingArchive(nothing)
    with archive as destination:
        (outcome,) = SENDER.send(replace(destination, confirm=Confirmation.NONE), [report(tmp_path)])

    assert outcome.error is None
    assert archive.asked == []


@pytest.mark.peer("orthanc")
def test_orthanc_finds_what_it_was_sent(tmp_path: Path) -> None:
    path = write(radiograph(rows=16, columns=16), tmp_path / "image.dcm")
    with orthanc(tmp_path / "orthanc") as archive:
        (outcome,) = SENDER.send(replace(archive.destination, confirm=Confirmation.QUERY), [path])

    assert outcome.error is None
