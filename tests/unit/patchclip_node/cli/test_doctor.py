"""`doctor` finds what would keep the node from working, and says what to do."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage

from patchclip_node.adapters.clock import SystemClock, host_start, seconds_since_start
from patchclip_node.adapters.ledger import migrate
from patchclip_node.adapters.reception_file import ReceptionFile
from patchclip_node.audit import events as audit_events
from patchclip_node.bootstrap.common import open_clock, open_ledger
from patchclip_node.cli import checks, destination_checks, port_checks, study_check, tls_checks
from patchclip_node.cli.check_result import Check, CheckResult, Status
from patchclip_node.cli.checks import run_check
from patchclip_node.dicom.storage import TRANSFER_SYNTAXES
from patchclip_node.domain.commitment import CommitmentRequest, ObjectReference
from patchclip_node.domain.reception import Reception
from patchclip_node.domain.records import WorkerRecord, WorkerRole
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.trial_patient import PATIENT_NAME, TEST_ID
from patchclip_node.domain.variants import ResultKind
from patchclip_node.ports.audit import AuditLane
from patchclip_node.results.build import BUILDERS
from patchclip_node.services.health import LOST_AFTER_S
from patchclip_node.settings import NodeSettings
from tests.peers import dcmtk
from tests.peers.archive import COMPREHENSIVE_SR, KEY_OBJECTS, Archive
from tests.peers.processes import free_port
from tests.support.certificates import Authority, Certificate
from tests.support.earlier import make_earlier
from tests.support.fakes import START, make_ledger
from tests.support.studies import OWNER, bring_to
from tests.unit.patchclip_node.cli.conftest import BRIGHT, Command


def settings(folder: Path, **values: Any) -> NodeSettings:
    """Settings with free ports on loopback and the data folder `folder`/data."""
    base: dict[str, Any] = {
        "data_dir": folder / "data",
        "host": "127.0.0.1",
        "port": free_port(),
        "web": {"host": "127.0.0.1", "port": free_port()},
        "model": str(BRIGHT),
        "limits": {"min_free_bytes": 0},
    }
    return NodeSettings(**(base | values))


def statuses(check: Check, given: NodeSettings) -> dict[str, Status]:
    return {result.name: result.status for result in run_check(check, given)}


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def test_a_good_configuration_passes_with_status_0(command: Command, tmp_path: Path) -> None:
    with Archive() as archive:
        peer = archive.destination
        config = tmp_path / "node.yaml"
        content = settings(tmp_path).model_dump(mode="json") | {
            "destinations": [{"name": "pacs", "ae_title": peer.ae_title, "host": peer.host, "port": peer.port}]
        }
        config.write_text(yaml.safe_dump(content))

        ended = command("doctor", "--config", config)

    assert ended.status == 0, ended.out
    assert "this node can work: 0 failed" in ended.out
    assert f"all {len(TRANSFER_SYNTAXES)} transfer syntaxes decode" in ended.out
    assert not (tmp_path / "data").exists(), "a check changes nothing"


def test_a_failure_ends_with_status_1_and_is_in_the_json(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    given = settings(tmp_path, model="no-such-model")
    config.write_text(yaml.safe_dump(given.model_dump(mode="json")))

    ended = command("doctor", "--config", config, "--json")

    assert ended.status == 1
    assert [item["check"] for item in ended.json if item["status"] == "fail"] == ["model", "test study"]


def test_a_wrong_configuration_is_the_first_finding(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("prot: 1\n")

    ended = command("doctor", "--config", config)

    assert ended.status == 1
    assert "prot" in ended.out


def test_the_shipped_model_is_warned_of_as_untrained(tmp_path: Path) -> None:
    (_, training) = run_check(checks.model, settings(tmp_path, model="untrained"))

    assert training.status is Status.WARN
    assert training.detail.startswith("NOT TRAINED")


def test_a_model_with_findings_that_have_no_name_fails(tmp_path: Path) -> None:
    findings = tmp_path / "findings.yaml"
    findings.write_text(
        "findings: [{key: other, name: other, code: {value: '1', scheme: SCT, meaning: a}, "
        "site: {value: '1', scheme: SCT, meaning: a}, colour: '#ffffff', positive: [a], negative: [b]}]"
    )

    assert statuses(checks.model, settings(tmp_path, findings_file=findings))["model findings"] is Status.FAIL


def test_a_data_folder_that_cannot_be_made_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert statuses(checks.data_folder, settings(tmp_path, data_dir=tmp_path / "file" / "data")) == {
        "data folder": Status.FAIL
    }


@pytest.mark.parametrize("folder", ["/proc/node", "/sys/node/data"])
def test_a_data_folder_that_only_looks_possible_fails(tmp_path: Path, folder: str) -> None:
    (result,) = run_check(checks.data_folder, settings(tmp_path, data_dir=folder))

    assert result.status is Status.FAIL
    assert f"{folder} cannot be made" in result.detail


def test_a_data_folder_that_is_tried_is_not_left_there(tmp_path: Path) -> None:
    assert statuses(checks.data_folder, settings(tmp_path, data_dir=tmp_path / "a" / "b"))["data folder"] is Status.OK
    assert list(tmp_path.iterdir()) == []


def test_an_existing_data_folder_is_tried(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    assert statuses(checks.data_folder, settings(tmp_path)) == {"data folder": Status.OK, "free space": Status.OK}
    assert list((tmp_path / "data").iterdir()) == []


def test_a_full_disk_fails(tmp_path: Path) -> None:
    given = settings(tmp_path, limits={"min_free_bytes": 2**60})

    assert statuses(checks.data_folder, given)["free space"] is Status.FAIL


def test_a_ledger_is_looked_at_but_not_made_or_migrated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    (tmp_path / "old.sqlite").touch()

    assert "does not exist yet" in run_check(checks.ledger, settings(tmp_path))[0].detail
    assert "has no tables yet" in run_check(checks.ledger, settings(tmp_path, ledger_url=url))[0].detail
    migrate(url)
    assert "0 studies" in run_check(checks.ledger, settings(tmp_path, ledger_url=url))[0].detail
    make_earlier(tmp_path / "old.sqlite")
    (earlier,) = run_check(checks.ledger, settings(tmp_path, ledger_url=url))
    assert (earlier.status, "upgrade" in earlier.advice) == (Status.FAIL, True)


def test_a_database_that_is_not_a_ledger_fails(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("this is not a database, it is a text that is long enough" * 20)
    given = settings(tmp_path, ledger_url=f"sqlite:///{tmp_path / 'text.sqlite'}")

    assert statuses(checks.ledger, given) == {"ledger": Status.FAIL}


def test_a_ledger_of_a_newer_version_fails(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.sqlite'}"
    migrate(url)
    with closing(sqlite3.connect(tmp_path / "new.sqlite")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.execute("UPDATE works_with SET revision = '9998'")
        database.commit()

    (result,) = run_check(checks.ledger, settings(tmp_path, ledger_url=url))

    assert result.status is Status.FAIL
    assert "newer version" in result.detail


def test_a_ledger_of_a_later_version_that_this_one_works_on_is_told_and_in_order(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'later.sqlite'}"
    migrate(url)
    with closing(sqlite3.connect(tmp_path / "later.sqlite")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()

    (result,) = run_check(checks.ledger, settings(tmp_path, ledger_url=url))

    assert result.status is Status.OK
    assert "a later version made its tables" in result.detail


@pytest.mark.parametrize("state", [StudyState.FAILED, StudyState.PARTLY_RETURNED])
def test_what_the_ledger_has_given_up_is_a_warning(tmp_path: Path, state: StudyState) -> None:
    (tmp_path / "old").mkdir()
    ledger = make_ledger(tmp_path / "old")
    bring_to(ledger, state)
    ledger.close()
    given = settings(tmp_path, ledger_url=f"sqlite:///{tmp_path / 'old' / 'ledger.sqlite'}")

    found = {one.name: one for one in run_check(checks.ledger, given)}

    assert found["failed studies"].status is Status.WARN
    said = "1 studies FAILED" if state is StudyState.FAILED else "1 are PARTLY_RETURNED"
    assert said in found["failed studies"].detail
    assert ("failed deliveries" in found) is (state is StudyState.PARTLY_RETURNED)


def test_studies_that_wait_for_a_destination_nobody_has_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    ledger = make_ledger(tmp_path / "old")
    bring_to(ledger, StudyState.ANALYSED, "1.1")
    bring_to(ledger, StudyState.ANALYSED, "1.2")
    ledger.close()
    new = {"name": "new", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    url = f"sqlite:///{tmp_path / 'old' / 'ledger.sqlite'}"

    removed = run_check(checks.ledger, settings(tmp_path, ledger_url=url, destinations=[new]))
    renamed = settings(tmp_path, ledger_url=url, destinations=[new], renamed_destinations={"pacs": "new"})

    assert [(one.name, one.status) for one in removed] == [("ledger", Status.OK), ("destination pacs", Status.WARN)]
    assert removed[1].detail.startswith("2 studies wait")
    assert "pacs: NEW_NAME" in removed[1].advice
    assert statuses(checks.ledger, renamed) == {"ledger": Status.OK}


def test_a_patient_conflict_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    ledger = make_ledger(tmp_path / "old")
    study = bring_to(ledger, StudyState.RETURNING)
    ledger.deliveries.hold(ledger.studies.deliveries(study.id)[0].id, OWNER, START, "0xA779")
    ledger.close()
    given = settings(tmp_path, ledger_url=f"sqlite:///{tmp_path / 'old' / 'ledger.sqlite'}")

    assert statuses(checks.ledger, given)["patient conflicts"] is Status.WARN


def test_a_peer_that_could_not_be_told_what_it_asked_for_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    ledger = make_ledger(tmp_path / "old")
    given = settings(tmp_path, ledger_url=f"sqlite:///{tmp_path / 'old' / 'ledger.sqlite'}")
    for number in range(3):
        request = CommitmentRequest(f"2.25.{number}", (ObjectReference("1.2", "1.2.3"),))
        assert ledger.owed_reports.owe("CT" if number else "DX", "10.0.0.1", request, START, at_most=10)
    assert statuses(checks.ledger, given) == {"ledger": Status.OK}
    while (owed := ledger.owed_reports.take(START, 60)) is not None:
        ledger.owed_reports.postpone(owed, "10.0.0.1 does not answer", START)
        if owed.attempts == 2:
            break
    ledger.close()

    found = [one for one in run_check(checks.ledger, given) if one.name == "commitment reports"]

    assert [one.status for one in found] == [Status.WARN, Status.WARN]
    assert found[0].detail.startswith("2 storage commitment reports could not be told to CT at 10.0.0.1")
    assert "tried 1 times: 10.0.0.1 does not answer" in found[0].detail
    assert found[1].detail.startswith("1 storage commitment reports could not be told to DX")


def test_an_audit_trail_that_lags_is_a_warning_with_how_much_since_when_and_why(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    ledger = make_ledger(tmp_path / "old")
    given = settings(tmp_path, ledger_url=f"sqlite:///{tmp_path / 'old' / 'ledger.sqlite'}")
    ledger.audit.follow(frozenset(AuditLane))
    assert statuses(checks.ledger, given) == {"ledger": Status.OK}
    ledger.audit.record(*[audit_events.application_started(audit_events.WEB, START)] * 3)
    ledger.audit.take(AuditLane.SYSLOG, OWNER, START, 60, 10)
    ledger.audit.troubled(AuditLane.SYSLOG, OWNER, "the collector at 192.0.2.7:6514 took no audit messages")
    ledger.close()

    of_files, of_collector = [one for one in run_check(checks.ledger, given) if one.name == "audit trail"]

    assert of_files.status is of_collector.status is Status.WARN
    assert of_collector.detail.startswith("3 audit events wait for the collector since 2026-03-01 08:00:00 UTC: the c")
    assert "audit.collector" in of_collector.advice
    assert "no process that delivers" in of_files.detail


def test_a_broker_that_does_not_answer_fails_and_its_password_stays_hidden(tmp_path: Path) -> None:
    (result,) = run_check(checks.queue, settings(tmp_path, broker_url=f"redis://:hunter2@127.0.0.1:{free_port()}/0"))

    assert result.status is Status.FAIL
    assert "hunter2" not in result.detail


@pytest.mark.parametrize("uid", list(TRANSFER_SYNTAXES))
def test_each_built_in_stream_has_the_transfer_syntax_of_its_name(uid: str) -> None:
    folder = Path(checks.__file__).parent / "streams"

    assert dcmread(folder / f"{uid}.dcm").file_meta.TransferSyntaxUID == uid


def test_a_decoder_that_gives_other_pixels_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from patchclip_core.io import DecodingProcess
    from patchclip_core.values.results import Radiograph

    read = DecodingProcess.read

    def mirrored(self: DecodingProcess, path: Path) -> Radiograph:
        image = read(self, path)
        return Radiograph(image.pixels[:, ::-1].copy()) if path.name.endswith(".4.70.dcm") else image

    monkeypatch.setattr(DecodingProcess, "read", mirrored)

    (result,) = run_check(checks.decoders, settings(tmp_path))

    assert result.status is Status.FAIL
    assert "JPEG Lossless" in result.detail
    assert "decoded to other pixels" in result.detail


def test_the_test_study_comes_back_to_doctor_and_goes_nowhere_else(tmp_path: Path) -> None:
    with Archive() as archive:
        given = settings(tmp_path, destinations=[_at(archive)], calling_ae_titles=["CT"])
        (result,) = run_check(study_check.synthetic_study, given)
        assert archive.received == []

    assert result.status is Status.OK, result.detail
    assert "1 SR" in result.detail
    assert PATIENT_NAME in result.detail
    assert list(tmp_path.iterdir()) == [], "the node's own folder has nothing of it"


def test_the_test_study_goes_to_a_destination_that_is_named(tmp_path: Path) -> None:
    with Archive() as archive:
        given = settings(tmp_path, destinations=[_at(archive)])
        (result,) = run_check(study_check.sent_to("pacs"), given)

    assert result.status is Status.OK, result.detail
    assert archive.received
    assert {(str(one.PatientName), one.PatientID) for one in archive.received} == {(PATIENT_NAME, TEST_ID)}


def test_a_destination_that_is_not_there_is_sent_nothing(command: Command, config: Path) -> None:
    ended = command("doctor", "--config", config, "--send-to", "missing")

    assert ended.status == 2
    assert "there is no destination 'missing'" in ended.err


def test_a_test_study_that_would_not_be_analysed_fails_with_its_reason(tmp_path: Path) -> None:
    given = settings(tmp_path, limits={"min_free_bytes": 0, "max_image_pixels": 1024})

    (result,) = run_check(study_check.synthetic_study, given)

    assert result.status is Status.FAIL
    assert "pixels" in result.detail


def test_without_destinations_the_administrator_is_warned(tmp_path: Path) -> None:
    assert statuses(destination_checks.destinations, settings(tmp_path)) == {"destinations": Status.WARN}


def test_a_destination_that_does_not_answer_fails(tmp_path: Path) -> None:
    given = settings(
        tmp_path, destinations=[{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": free_port()}]
    )

    assert statuses(destination_checks.destinations, given)["destination pacs"] is Status.FAIL


def test_each_class_that_would_be_sent_is_negotiated(tmp_path: Path) -> None:
    with Archive(sop_classes=(COMPREHENSIVE_SR,), syntaxes=(ImplicitVRLittleEndian,)) as archive:
        pacs = _at(archive)
        found = {
            one.name: one for one in run_check(destination_checks.destinations, settings(tmp_path, destinations=[pacs]))
        }

    sr = found["destination pacs, Comprehensive SR Storage"]
    assert (sr.status, sr.detail) == (
        Status.OK,
        "for sr: Explicit VR Little Endian refused, Implicit VR Little Endian accepted",
    )
    assert found["destination pacs, Segmentation Storage"].status is Status.FAIL
    assert found["destination pacs, Key Object Selection Document Storage"].status is Status.WARN
    assert found["destination pacs, Secondary Capture Image Storage"].status is Status.WARN
    assert archive.received == [], "nothing is sent"


def test_a_refused_class_that_pictures_stand_in_for_is_a_warning(tmp_path: Path) -> None:
    with Archive(sop_classes=(COMPREHENSIVE_SR, KEY_OBJECTS, SecondaryCaptureImageStorage)) as archive:
        found = statuses(destination_checks.destinations, settings(tmp_path, destinations=[_at(archive)]))

    assert found["destination pacs, Segmentation Storage"] is Status.WARN


@pytest.mark.parametrize("kind", ResultKind)
def test_what_may_be_sent_is_what_is_built(tmp_path: Path, kind: ResultKind) -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104, "objects": [kind.value]}
    given = settings(tmp_path, destinations=[pacs])

    offers = destination_checks.offers_to(given, given.destinations[0])

    (offer,) = [one for one in offers if one.results]
    assert (offer.results, offer.sop_class_uid) == ((kind,), BUILDERS[kind].sop_class_uid)
    assert {one.sop_class_uid for one in offers} <= set(destination_checks.RESULT_NAMES)


@pytest.mark.parametrize(
    ("closed", "confirm", "status"),
    [
        ({"calling_ae_titles": ["CT"]}, "none", Status.OK),
        ({"calling_ae_titles": ["CT"]}, "commitment", Status.FAIL),
        ({"allowed_networks": ["192.0.2.0/24"]}, "commitment", Status.FAIL),
        ({}, "commitment", Status.OK),
    ],
)
def test_a_destination_that_may_not_call_back_fails_where_it_has_to(
    tmp_path: Path, closed: dict[str, Any], confirm: str, status: Status
) -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": free_port(), "confirm": confirm}

    found = statuses(destination_checks.destinations, settings(tmp_path, destinations=[pacs], **closed))

    assert found["destination pacs, calls back"] is status


def test_a_running_node_is_called_as_the_destination_would(tmp_path: Path) -> None:
    with Archive(ae_title="PATCHCLIP", calling_ae_titles=["PACS"]) as us:
        for ae_title, status in (("PACS", Status.OK), ("OTHER", Status.WARN)):
            pacs = {"name": "pacs", "ae_title": ae_title, "host": "127.0.0.1", "port": free_port()}
            given = settings(tmp_path / ae_title, port=us.port, destinations=[pacs])
            (tmp_path / ae_title).mkdir()
            _reports(given, us.port)
            assert statuses(destination_checks.destinations, given)["destination pacs, calls back"] is status


def _at(archive: Archive) -> dict[str, Any]:
    peer = archive.destination
    return {"name": "pacs", "ae_title": peer.ae_title, "host": peer.host, "port": peer.port}


def test_a_port_that_somebody_else_has_fails(tmp_path: Path, taken_port: int) -> None:
    given = settings(tmp_path, port=taken_port, web={"host": "127.0.0.1", "port": taken_port})

    assert statuses(port_checks.web_port, given)["web port"] is Status.FAIL


def _reports(given: NodeSettings, port: int) -> Reception:
    """Let the data folder know of a receiver on a port."""
    given.data_dir.mkdir()
    reception = Reception(SystemClock().now(), port, 0, 1, 20, {})
    ReceptionFile(given.data_dir).write(reception)
    return reception


def test_our_own_receiver_on_the_port_is_well(tmp_path: Path) -> None:
    given = settings(tmp_path)
    _reports(given, given.port)

    with Archive(ae_title="PATCHCLIP", port=given.port):
        (result,) = run_check(port_checks.dicom_port, given)

    assert result.status is Status.OK
    assert "the node is running" in result.detail


@pytest.mark.parametrize("ours_elsewhere", [False, True])
def test_another_node_on_the_port_is_not_this_one_although_it_answers(tmp_path: Path, ours_elsewhere: bool) -> None:
    given = settings(tmp_path)
    if ours_elsewhere:
        _reports(given, given.port + 1)

    with Archive(ae_title="PATCHCLIP", port=given.port):
        (result,) = run_check(port_checks.dicom_port, given)

    assert result.status is Status.FAIL
    assert "another DICOM node has 127.0.0.1" in result.detail
    assert "PYNETDICOM" in result.detail


def test_a_dicom_node_that_does_not_let_us_in_is_another_program(tmp_path: Path) -> None:
    with Archive(ae_title="SOMEBODY") as other:
        (result,) = run_check(port_checks.dicom_port, settings(tmp_path, port=other.destination.port))

    assert result.status is Status.FAIL
    assert "another program has" in result.detail


@pytest.mark.parametrize(("moved", "status"), [(timedelta(0), Status.OK), (timedelta(seconds=2), Status.FAIL)])
def test_status_pages_are_known_by_their_receivers_report(tmp_path: Path, moved: timedelta, status: Status) -> None:
    given = settings(tmp_path)
    ours = _reports(given, given.port)
    theirs = {"status": "ok", "receiver": {"reported_at": str(ours.reported_at + moved)}}

    with _pages_that_say(theirs, given.web.port):
        (result,) = run_check(port_checks.web_port, given)

    assert result.status is status
    assert ("another node" in result.detail) is (status is Status.FAIL)


@contextmanager
def _pages_that_say(content: dict[str, Any], port: int) -> Iterator[None]:
    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Pages) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_our_own_receiver_that_refuses_is_not_taken_for_another_program(tmp_path: Path) -> None:
    given = settings(tmp_path)
    given.data_dir.mkdir()
    full = Reception(SystemClock().now(), given.port, 300, 20, 20, {"places_left_are_kept_for_known_callers": 7})
    ReceptionFile(given.data_dir).write(full)

    with Archive(ae_title="OTHER", port=given.port):
        (result,) = run_check(port_checks.dicom_port, given)

    assert result.status is Status.WARN
    assert full.in_words in result.detail
    assert "known_callers" in result.advice


def test_an_address_of_another_machine_fails(tmp_path: Path) -> None:
    assert statuses(port_checks.dicom_port, settings(tmp_path, host="192.0.2.1")) == {"DICOM port": Status.FAIL}


def test_open_status_pages_are_warned_of(tmp_path: Path) -> None:
    given = settings(tmp_path, web={"host": "0.0.0.0", "port": free_port()})

    assert statuses(port_checks.web_port, given) == {"web port": Status.OK, "web access": Status.WARN}


def test_a_check_that_breaks_is_a_finding_and_not_the_end(tmp_path: Path) -> None:
    def strange_check(_: NodeSettings) -> list[CheckResult]:
        raise ZeroDivisionError("division by zero")

    (result,) = run_check(strange_check, settings(tmp_path))

    assert (result.name, result.status) == ("strange check", Status.FAIL)
    assert "ZeroDivisionError" in result.detail


def test_workers_are_seen_and_one_that_was_not_seen_for_long_is_a_warning(tmp_path: Path) -> None:
    given = settings(tmp_path)
    assert statuses(checks.workers, given) == {"workers": Status.OK}
    with closing(open_ledger(given)) as ledger:
        assert statuses(checks.workers, given) == {"workers": Status.OK}
        now = open_clock(ledger).now()
        ledger.workers.seen(WorkerRecord("there:1:1", now))
        ledger.workers.seen(WorkerRecord("there:2:2", now, role=WorkerRole.DELIVER))
        assert statuses(checks.workers, given) == {"workers": Status.OK}
        ledger.workers.seen(WorkerRecord("there:1:1", now - timedelta(seconds=LOST_AFTER_S)))

        (result,) = run_check(checks.workers, given)

    assert (result.status, result.detail) == (Status.WARN, "no worker was seen within 30 s")


@pytest.mark.parametrize(("jump", "way"), [(timedelta(hours=1), "back"), (-timedelta(hours=1), "forward")])
def test_a_time_that_was_set_is_a_warning(tmp_path: Path, jump: timedelta, way: str) -> None:
    given = settings(tmp_path)
    with closing(open_ledger(given)) as ledger:
        ledger.clocks.started_at(host_start(), lambda: SystemClock().now() + jump, seconds_since_start)

    (_, result) = run_check(checks.workers, given)

    assert (result.name, result.status) == ("time", Status.WARN)
    assert f"3600 s {way}" in result.detail


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(("days", "status"), [(29, Status.WARN), (31, Status.OK)])
def test_a_certificate_is_shown_with_its_authority_and_warned_of_before_it_expires(
    tmp_path: Path, days: int, status: Status
) -> None:
    authority = Authority(tmp_path / "authority")
    ends_at = datetime.now(UTC) + timedelta(days=days, hours=1)
    node = authority.issue("node", days=("200101000000Z", f"{ends_at:%y%m%d%H%M%SZ}"))
    given = settings(tmp_path, tls=_tls(authority, node))

    found = {result.name: result for result in run_check(tls_checks.tls, given)}

    assert found["TLS"].status is status
    assert "commonName=node, issued by commonName=Test Authority" in found["TLS"].detail
    assert f"{ends_at:%Y-%m-%d} ({days} days)" in found["TLS"].detail
    assert found["TLS callers"].status is Status.WARN  # none is named


@pytest.mark.peer("openssl")
def test_a_certificate_that_peers_would_refuse_fails(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    node = authority.issue("node")
    authority.revoke(node)

    (found,) = run_check(tls_checks.tls, settings(tmp_path, tls=_tls(authority, node)))

    assert found.status is Status.FAIL
    assert "certificate revoked" in found.detail


@pytest.mark.peer("openssl")
@pytest.mark.peer("dcmtk")
def test_what_a_destination_shows_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    node, archive = authority.issue("node"), authority.issue("archive")
    shown = ("+tls", str(archive.key), str(archive.certificate), "+cf", str(authority.ca))
    with dcmtk.storescp(tmp_path / "kept", *shown) as scp:
        pacs = {"name": "pacs", "ae_title": "STORESCP", "host": "127.0.0.1", "port": scp.destination.port, "tls": {}}
        given = settings(tmp_path, tls=_tls(authority, node), destinations=[pacs])
        found = {result.name: result for result in run_check(destination_checks.destinations, given)}

    assert {result.status for result in found.values()} == {Status.OK}
    assert "commonName=archive" in found["destination pacs, TLS"].detail
    assert "its chain: commonName=Test Authority until 20" in found["destination pacs, TLS"].detail


def _tls(authority: Authority, certificate: Certificate) -> dict[str, str]:
    files = {"certificate": certificate.certificate, "key": certificate.key, "ca": authority.ca, "crl": authority.crl}
    return {name: str(path) for name, path in files.items()}
