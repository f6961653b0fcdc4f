"""Archives that studies are pulled from: what each answer leads to, and images that come over the same association."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import from a table
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from patchclip_node.adapters.ledger import SqlLedger, prepare
from patchclip_node.bootstrap.backfill import plan, pull
from patchclip_node.bootstrap.common import open_clock, open_spool
from patchclip_node.bootstrap.keeping import Keeping
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.domain.backfill import BackfillState, StudyNotPulledError, Window
from patchclip_node.domain.errors import ConfigurationError, PeerError
from patchclip_node.domain.records import Priority
from patchclip_node.ports.audit import AuditLane
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.archive import MOST_ANSWERS, DicomArchive, Move
from patchclip_node.scu.associations import Associations, Timeouts
from patchclip_node.scu.get import Brought, Get
from patchclip_node.settings import NodeSettings, read_settings
from patchclip_node.settings.sections import LimitSettings
from tests.peers.orthanc import orthanc
from tests.peers.processes import free_port
from tests.peers.radiographs import radiograph, write

WINDOW = Window(date(2020, 3, 1), date(2020, 3, 1))


@contextmanager
def answering(
    find: tuple[int, int] = (0, 0x0000), *, offers_move: bool = True
) -> Iterator[tuple[DicomArchive, list[Dataset]]]:
    """An archive that gives that number of answers and this status to C-FIND, and knows no move destination."""
    asked: list[Dataset] = []

    def found(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked.append(event.identifier)
        for number in range(find[0]):
            answer = Dataset()
            answer.StudyInstanceUID = f"1.{number}"
            answer.StudyDate = "20200301"
            yield 0xFF00, answer
        if find[1]:
            yield find[1], None

    def moved(event: evt.Event) -> Iterator[Any]:
        asked.append(event.identifier)
        yield None, None  # it knows no address of whoever asks

    ae, port = AE("ARCHIVE"), free_port()
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    if offers_move:
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
    server = ae.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_FIND, found), (evt.EVT_C_MOVE, moved)]
    )
    assert server is not None
    to = Destination("archive", "ARCHIVE", "127.0.0.1", port)
    associations = Associations("NODE", Timeouts(connect_s=5, acse_s=5, response_s=5))
    try:
        with closing(DicomArchive(to, associations, Move("NODE"), "NODE")) as archive:
            yield archive, asked
    finally:
        server.shutdown()


def test_studies_are_read_and_the_keys_are_those_of_the_window() -> None:
    with answering(find=(3, 0)) as (archive, asked):
        studies, is_whole = archive.studies(Window(date(2020, 3, 1), date(2020, 3, 1), (0, 3599)), "DX")

    assert ([one.study_instance_uid for one in studies], is_whole) == (["1.0", "1.1", "1.2"], True)
    assert (asked[0].StudyDate, asked[0].StudyTime, asked[0].ModalitiesInStudy) == ("20200301", "000000-005959", "DX")


def test_an_archive_that_says_that_there_are_too_many_has_more() -> None:
    with answering(find=(2, 0xA700)) as (archive, _):
        assert archive.studies(WINDOW, "DX")[1] is False


def test_an_answer_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchclip_node.scu.archive.MOST_ANSWERS", 20)
    with answering(find=(1000, 0)) as (archive, _):
        studies, is_whole = archive.studies(WINDOW, "DX")
        assert (len(studies), is_whole) == (20, False)
        assert archive.studies(WINDOW, "DX")[1] is False  # over another association
    assert MOST_ANSWERS > 1000


def test_a_query_that_fails_and_a_series_query_that_fails_name_the_status() -> None:
    with answering(find=(0, 0xC001)) as (archive, _):
        with pytest.raises(PeerError, match="0xC001"):
            archive.studies(WINDOW, "DX")
        with pytest.raises(StudyNotPulledError, match="0xC001") as caught:
            archive.series("1.2")
    assert caught.value.again


def test_an_unknown_move_destination_says_what_to_register_where() -> None:
    with answering() as (archive, asked), pytest.raises(ConfigurationError, match=r"NODE.*0xA801.*register"):
        archive.pull("1.2", ())
    assert asked[0].QueryRetrieveLevel == "STUDY"


def test_an_archive_without_retrieval_says_what_to_allow() -> None:
    with answering(offers_move=False) as (archive, _), pytest.raises(ConfigurationError, match="offers no C-MOVE"):
        archive.pull("1.2", ())


def test_an_archive_that_is_down_says_so() -> None:
    to = Destination("archive", "ARCHIVE", "127.0.0.1", free_port())
    archive = DicomArchive(to, Associations("NODE"), Move("NODE"), "NODE")

    with pytest.raises(PeerError, match="refused the connection"):
        archive.series("1.2")


def settings_for(tmp_path: Path, archive: Destination, **more: Any) -> NodeSettings:
    settings = read_settings(None)
    place = {"ae_title": archive.ae_title, "host": archive.host, "port": archive.port}
    data = {"archive": place, "by": "get", "studies_an_hour": 100_000, "ahead": 100} | more
    values = settings.model_dump(include={"ae_title"}) | {"data_dir": tmp_path / "data", "backfill": data}
    return NodeSettings(**values, limits=LimitSettings(min_free_bytes=0))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    (tmp_path / "data").mkdir()
    url = f"sqlite:///{tmp_path / 'data' / 'ledger.sqlite'}"
    prepare(url)
    ledger = SqlLedger(url)
    ledger.audit.follow(frozenset({AuditLane.FILE}))
    yield ledger
    ledger.close()


@pytest.mark.peer("orthanc")
def test_an_orthanc_sends_what_is_asked_for_by_c_get_into_spool_and_ledger(tmp_path: Path, ledger: SqlLedger) -> None:
    stop = threading.Event()
    with orthanc(tmp_path / "orthanc", node=("PATCHCLIP", free_port())) as running:
        sent = [radiograph() for _ in range(4)]
        for number, dataset in enumerate(sent):
            dataset.StudyDate = f"2020030{number + 1}"
            running.keep(write(dataset, tmp_path / "old.dcm"))
        settings = settings_for(tmp_path, running.destination)
        planned = plan(settings, ledger, shell_user(), date(2020, 3, 1), date(2020, 3, 9), lambda *_: None, stop)
        pull(settings, ledger, shell_user(), lambda *_: None, stop)

    assert planned.added == 4
    assert ledger.backfill.progress(open_clock(ledger).now()).counts[BackfillState.HERE] == 4
    spool = open_spool(settings)
    for dataset in sent:
        (record,) = ledger.studies.instances(str(dataset.StudyInstanceUID))
        assert record.instance.header.priority is Priority.BACKFILL
        assert record.instance.calling_ae_title == "ORTHANC"
        assert record.instance.spool_key is not None
        with spool.local_path(record.instance.spool_key) as path:
            assert dataset.PixelData in path.read_bytes()
    told = ledger.audit.take(AuditLane.FILE, "me", datetime.now(UTC), 60, 100)
    queries = [str(one.event.objects[0].query) for one in told if one.event.id.value == "110112"]
    assert any("ModalitiesInStudy=DX" in query for query in queries)
    assert sum("QueryRetrieveLevel=SERIES" in query for query in queries) == 4


@pytest.mark.peer("orthanc")
def test_an_instance_that_is_too_large_ends_the_association_and_nothing_of_it_is_kept(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    dataset = radiograph(rows=512, columns=512)
    with orthanc(tmp_path / "orthanc", node=("PATCHCLIP", free_port())) as running:
        running.keep(write(dataset, tmp_path / "old.dcm"))
        settings, to = settings_for(tmp_path, running.destination), running.destination
        by = Get(Keeping(settings, ledger, open_clock(ledger), to).keep, 100_000)
        archive = DicomArchive(to, Associations("PATCHCLIP"), by, "PATCHCLIP")
        with closing(archive), pytest.raises(StudyNotPulledError):
            archive.pull(str(dataset.StudyInstanceUID), ())

    assert ledger.studies.instances(str(dataset.StudyInstanceUID)) == []


def test_what_cannot_be_kept_is_answered_as_a_modality_would_be(tmp_path: Path, ledger: SqlLedger) -> None:
    settings = settings_for(tmp_path, Destination("archive", "A", "127.0.0.1", 104))
    keep = Keeping(settings, ledger, open_clock(ledger), Destination("archive", "A", "127.0.0.1", 104)).keep
    cr, explicit = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.1.2.1"

    assert keep(Brought(cr, "1.2.3", explicit, BytesIO(b""))) >> 12 == 0xC
    assert keep(Brought(cr, "1.2.3", explicit, BytesIO(b"no data set at all, or so"))) >> 12 == 0xC
    assert list((settings.spool_dir / "incoming").iterdir()) == []
