"""Archives that are asked over the web: what each answer leads to, whatever it is, and what an Orthanc gives."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydicom import Dataset, dcmwrite

from patchclip_node.adapters.dicomweb.archive import DicomWebArchive, WebPlace
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
from patchclip_node.settings import NodeSettings, read_settings
from patchclip_node.settings.sections import LimitSettings
from tests.peers.orthanc import orthanc
from tests.peers.processes import free_port
from tests.peers.radiographs import radiograph, write

WINDOW = Window(date(2020, 3, 1), date(2020, 3, 2))
RELATED = 'multipart/related; type="application/dicom"; boundary=b-1'
JSON = "application/dicom+json"


@dataclass
class Answer:
    """What a server says. length: announced, where it is not that of the body."""

    status: int = 200
    content_type: str = JSON
    body: bytes = b"[]"
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass
class Server:
    """A server that gives one answer, and remembers what it was asked."""

    url: str
    asked: list[tuple[str, dict[str, str]]]


@contextmanager
def answering(answer: Answer) -> Iterator[Server]:
    asked: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, dict(self.headers)))
            self.send_response(answer.status)
            length = len(answer.body) if answer.length is None else answer.length
            for name, value in {
                "Content-Type": answer.content_type,
                "Content-Length": str(length),
                "Connection": "close",
                **answer.headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}/dicom-web", asked)
    finally:
        server.shutdown()
        server.server_close()


def settings_for(tmp_path: Path, url: str, *, max_instance_bytes: int = 10**8, **more: Any) -> NodeSettings:
    data = {"web": {"url": url}, "by": "web", "studies_an_hour": 100_000, "ahead": 100} | more
    values = read_settings(None).model_dump(include={"ae_title"}) | {"data_dir": tmp_path / "data", "backfill": data}
    return NodeSettings(**values, limits=LimitSettings(min_free_bytes=0, max_instance_bytes=max_instance_bytes))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    (tmp_path / "data").mkdir()
    url = f"sqlite:///{tmp_path / 'data' / 'ledger.sqlite'}"
    prepare(url)
    ledger = SqlLedger(url)
    ledger.audit.follow(frozenset({AuditLane.FILE}))
    yield ledger
    ledger.close()


@dataclass
class Asked:
    """A server's answer, and the archive that it is."""

    archive: DicomWebArchive
    server: Server


@pytest.fixture
def asking(tmp_path: Path, ledger: SqlLedger) -> Callable[..., Any]:
    @contextmanager
    def opened(answer: Answer, max_instance_bytes: int = 10**8, **place: Any) -> Iterator[Asked]:
        with answering(answer) as server:
            settings = settings_for(tmp_path, server.url, max_instance_bytes=max_instance_bytes)
            keeping = Keeping(settings, ledger, open_clock(ledger), Destination("archive", "WEB", "127.0.0.1", 80))
            where = WebPlace(server.url, ssl.create_default_context(), timeout_s=2, **place)
            with closing(DicomWebArchive(where, keeping)) as archive:
                yield Asked(archive, server)

    return opened


def listed(*studies: dict[str, Any]) -> bytes:
    return json.dumps(
        [{tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in one.items()} for one in studies]
    ).encode()


def study(number: int) -> dict[str, Any]:
    return {"0020000D": ("UI", f"1.{number}"), "00080020": ("DA", "20200301"), "00080061": ("CS", "DX")}


def file_of(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def related(*files: bytes, end: bytes = b"\r\n--b-1--\r\n") -> bytes:
    parts = (b"\r\n--b-1\r\nContent-Type: application/dicom\r\n\r\n" + one for one in files)
    return b"".join(parts).removeprefix(b"\r\n") + end


def test_studies_are_read_and_the_keys_are_those_of_the_window(asking: Callable[..., Any]) -> None:
    with asking(Answer(body=listed(study(1), study(2)))) as asked:
        studies, is_whole = asked.archive.studies(WINDOW, "DX")

    assert [(one.study_instance_uid, one.study_date, one.modalities) for one in studies] == [
        ("1.1", "20200301", ("DX",)),
        ("1.2", "20200301", ("DX",)),
    ]
    assert is_whole
    ((path, headers),) = asked.server.asked
    keys = parse_qs(urlsplit(path).query)
    assert urlsplit(path).path == "/dicom-web/studies"
    assert keys["StudyDate"] == ["20200301-20200302"]
    assert keys["ModalitiesInStudy"] == ["DX"]
    assert "StudyTime" in keys["includefield"][0]
    assert headers["Accept"] == JSON


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (Answer(204, body=b""), True),
        (Answer(413, body=b""), False),
        (Answer(headers={"Warning": '299 x "There are additional results that can be requested"'}), False),
        (Answer(headers={"Warning": '199 x "slow today"'}), True),
    ],
)
def test_an_archive_that_leaves_studies_out_has_more(asking: Callable[..., Any], answer: Answer, whole: bool) -> None:
    with asking(answer) as asked:
        assert asked.archive.studies(WINDOW, "DX") == ([], whole)


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (Answer(500), PeerError, "answered 500 when it was asked for studies"),
        (Answer(503), PeerError, "answered 503"),
        (Answer(401), ConfigurationError, "backfill.web.secret_file"),
        (Answer(403), ConfigurationError, "does not let this node read"),
        (Answer(404), ConfigurationError, r"backfill\.web\.url: .* there is no studies below it"),
        (Answer(302, headers={"Location": "http://127.0.0.1:1/"}), ConfigurationError, "redirects elsewhere"),
        (Answer(content_type="text/html", body=b"<html>"), PeerError, "does not answer in DICOM JSON"),
        (Answer(body=b'{"a": 1}'), PeerError, "does not answer in DICOM JSON"),
        (Answer(body=b"[3]"), PeerError, "does not answer in DICOM JSON"),
        (Answer(body=b'[{"0020000D": {"vr": "UI"'), PeerError, "does not answer in DICOM JSON"),
        (Answer(body=b"[]", length=999), PeerError, "broke off"),
    ],
)
def test_what_is_no_list_of_studies_says_what_it_is(
    asking: Callable[..., Any], answer: Answer, error: type[Exception], said: str
) -> None:
    with asking(answer) as asked, pytest.raises(error, match=said):
        asked.archive.studies(WINDOW, "DX")


def test_a_study_that_is_not_there_has_no_series(asking: Callable[..., Any]) -> None:
    with asking(Answer(404)) as asked:
        assert asked.archive.series("1.2") == []


@pytest.mark.parametrize(
    "answer", [Answer(500), Answer(content_type="text/html", body=b"<html>"), Answer(body=b"[]", length=999)]
)
def test_one_study_whose_series_cannot_be_told_does_not_hold_up_the_others(
    asking: Callable[..., Any], answer: Answer
) -> None:
    with asking(answer) as asked, pytest.raises(StudyNotPulledError) as caught:
        asked.archive.series("1.2")

    assert caught.value.again


def test_an_archive_that_is_down_says_so(tmp_path: Path, ledger: SqlLedger) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    settings = settings_for(tmp_path, url)
    keeping = Keeping(settings, ledger, open_clock(ledger), Destination("archive", "WEB", "127.0.0.1", 80))
    place = WebPlace(
        str(settings.backfill.web and settings.backfill.web.url), ssl.create_default_context(), timeout_s=2
    )
    with closing(DicomWebArchive(place, keeping)) as archive, pytest.raises(PeerError, match="cannot be reached"):
        archive.series("1.2")


@pytest.mark.parametrize(
    ("user", "shown"), [("node", f"Basic {base64.b64encode(b'node:letmein').decode()}"), ("", "Bearer letmein")]
)
def test_the_secret_is_shown_as_the_settings_say(asking: Callable[..., Any], user: str, shown: str) -> None:
    with asking(Answer(), user=user, secret=lambda: "letmein") as asked:
        asked.archive.studies(WINDOW, "DX")

    assert asked.server.asked[0][1]["Authorization"] == shown


def one_dicom_file(files: list[bytes]) -> Answer:
    return Answer(content_type="application/dicom", body=files[0])


def all_as_parts(files: list[bytes]) -> Answer:
    return Answer(content_type=RELATED, body=related(*files))


def all_after_a_line(files: list[bytes]) -> Answer:
    return Answer(content_type=RELATED.replace("b-1", '"b-1"'), body=b"\r\n" + related(*files))


@pytest.mark.parametrize("answer", [one_dicom_file, all_as_parts, all_after_a_line])
def test_what_is_fetched_is_kept_byte_for_byte(
    asking: Callable[..., Any], tmp_path: Path, ledger: SqlLedger, answer: Callable[[list[bytes]], Answer]
) -> None:
    files = [file_of(radiograph(study_instance_uid="1.2", bright=bright)) for bright in (True, False)]
    with asking(answer(files)) as asked:
        assert asked.archive.pull("1.2", ()) == ""

    spool = open_spool(settings_for(tmp_path, asked.server.url))
    kept = []
    for record in ledger.studies.instances("1.2"):
        assert record.instance.spool_key is not None
        assert record.instance.calling_ae_title == "WEB"
        with spool.local_path(record.instance.spool_key) as path:
            kept.append(path.read_bytes())
    assert sorted(kept) == sorted(files[: 1 if answer is one_dicom_file else 2])


GOOD = file_of(radiograph(study_instance_uid="1.2"))


@pytest.mark.parametrize(
    ("answer", "error", "said", "kept"),
    [
        (Answer(404), StudyNotPulledError, "404", 0),
        (Answer(410), StudyNotPulledError, "410", 0),
        (Answer(500), StudyNotPulledError, "500", 0),
        (Answer(406), ConfigurationError, "transfer-syntax", 0),
        (Answer(content_type="text/html", body=b"<html>"), StudyNotPulledError, "text/html instead of DICOM files", 0),
        (Answer(content_type="multipart/related", body=related(GOOD)), StudyNotPulledError, "instead of DICOM", 0),
        (Answer(content_type=RELATED, body=b"no boundary"), StudyNotPulledError, "not multipart/related", 0),
        (
            Answer(content_type=RELATED, body=related(GOOD, GOOD[:500], end=b"")),
            StudyNotPulledError,
            "in the middle",
            1,
        ),
        (Answer(content_type=RELATED, body=related(GOOD, end=b""), length=10**6), StudyNotPulledError, "broke off", 0),
    ],
)
def test_an_answer_that_is_not_a_study_says_what_it_is_and_what_came_whole_is_kept(
    asking: Callable[..., Any],
    tmp_path: Path,
    ledger: SqlLedger,
    answer: Answer,
    error: type[Exception],
    said: str,
    kept: int,
) -> None:
    with asking(answer) as asked, pytest.raises(error, match=said):
        asked.archive.pull("1.2", ())

    assert len(ledger.studies.instances("1.2")) == kept
    assert list((tmp_path / "data" / "spool" / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"no DICOM file", "not a DICOM file"),
        (GOOD[:200], ""),
        (file_of(radiograph(study_instance_uid="1.2", rows=700, columns=700)), "larger than this node takes"),
    ],
)
def test_what_cannot_be_kept_is_told_and_its_neighbours_are_kept(
    asking: Callable[..., Any], tmp_path: Path, ledger: SqlLedger, bad: bytes, said: str
) -> None:
    with asking(Answer(content_type=RELATED, body=related(bad, GOOD)), max_instance_bytes=500_000) as asked:
        told = asked.archive.pull("1.2", ("1.3",))

    assert asked.server.asked[0][0] == "/dicom-web/studies/1.2/series/1.3"
    assert told
    assert said in told
    assert len(ledger.studies.instances("1.2")) == 1
    assert list((tmp_path / "data" / "spool" / "incoming").iterdir()) == []


def test_an_answer_of_a_part_of_the_study_says_so(asking: Callable[..., Any]) -> None:
    with asking(Answer(206, RELATED, related(GOOD))) as asked:
        assert "did not send all objects (206), but 1" in asked.archive.pull("1.2", ())


@pytest.mark.parametrize("web", [{"url": "ftp://a/b"}, {"url": "https://u:p@a/b"}, {"url": "https://a/b?c"}])
def test_an_address_that_is_not_one_is_refused(tmp_path: Path, web: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"backfill\.web\.url"):
        settings_for(tmp_path, web["url"])


def test_without_an_address_the_setting_is_named(tmp_path: Path, ledger: SqlLedger) -> None:
    settings = settings_for(tmp_path, "http://a", web=None)
    with pytest.raises(ConfigurationError, match=r"backfill\.web"):
        pull(settings, ledger, shell_user(), lambda *_: None, threading.Event())


@pytest.mark.peer("orthanc")
def test_an_orthanc_gives_what_is_asked_for_into_spool_and_ledger(tmp_path: Path, ledger: SqlLedger) -> None:
    stop = threading.Event()
    with orthanc(tmp_path / "orthanc", dicomweb=True) as running:
        sent = [radiograph() for _ in range(3)]
        for number, dataset in enumerate(sent):
            dataset.StudyDate = f"2020030{number + 1}"
            running.keep(write(dataset, tmp_path / "old.dcm"))
        hand = radiograph()
        hand.StudyDate, hand.BodyPartExamined, hand.SeriesDescription = "20200304", "HAND", "Hand ap"
        running.keep(write(hand, tmp_path / "hand.dcm"))
        settings = settings_for(tmp_path, f"http://127.0.0.1:{running.http_port}/dicom-web/")
        planned = plan(settings, ledger, shell_user(), date(2020, 3, 1), date(2020, 3, 9), lambda *_: None, stop)
        pull(settings, ledger, shell_user(), lambda *_: None, stop)

    counts = ledger.backfill.progress(open_clock(ledger).now()).counts
    assert (planned.added, counts[BackfillState.HERE], counts[BackfillState.SKIPPED]) == (4, 3, 1)
    spool = open_spool(settings)
    for dataset in sent:
        (record,) = ledger.studies.instances(str(dataset.StudyInstanceUID))
        assert record.instance.header.priority is Priority.BACKFILL
        assert record.instance.calling_ae_title == "DICOMWEB"
        assert record.instance.spool_key is not None
        with spool.local_path(record.instance.spool_key) as path:
            assert dataset.PixelData in path.read_bytes()
    told = ledger.audit.take(AuditLane.FILE, "me", datetime.now(UTC), 60, 100)
    queries = [str(one.event.objects[0].query) for one in told if one.event.id.value == "110112"]
    assert any("ModalitiesInStudy=DX" in query for query in queries)
