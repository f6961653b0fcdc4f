"""Reports are read as hospitals send them: HL7 in its character sets and orders, FHIR in its versions, tables."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from patchclip_core.values.answers import Answer
from patchclip_node.adapters.final_reports import read_reports
from patchclip_node.domain.final_reports import FinalReport, NotRead, ReportStatus

HEAD = r"MSH|^~\&|RIS|H|NODE|H|20261127140500+0100||ORU^R01^ORU_R01|1|P|2.5.1||||||{charset}"
PATIENT = "PID|1||P100^^^H^MR~0815^^^OTHER||DOE^JANE"
ORDER = "OBR|1|PL7|FI9|CXR^Chest||||||||||||||A100||||20261127141000+0100|||{status}"


def line(number: int, text: str, identifier: str = "59776-5^Findings^LN", status: str = "F", kind: str = "TX") -> str:
    return f"OBX|{number}|{kind}|{identifier}||{text}||||||{status}"


def message(*lines: str, charset: str = "UNICODE UTF-8", status: str = "F") -> str:
    segments = (HEAD.format(charset=charset), PATIENT, ORDER.format(status=status), *lines)
    return "\r".join(segments) + "\r"


def read(tmp_path: Path, content: bytes | str) -> list[FinalReport | NotRead]:
    path = tmp_path / "report.dat"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_reports(path))


def one(tmp_path: Path, content: bytes | str) -> FinalReport:
    (found,) = read(tmp_path, content)
    assert isinstance(found, FinalReport), found
    return found


def refused(tmp_path: Path, content: bytes | str) -> str:
    (found,) = read(tmp_path, content)
    assert isinstance(found, NotRead)
    return found.why


def test_a_message_has_its_order_patient_time_and_words(tmp_path: Path) -> None:
    found = one(tmp_path, message(line(1, "No pneumothorax."), line(2, "Small effusion.", "X^Impression^L")))

    assert found.accession_numbers == ("A100", "FI9", "PL7")
    assert found.patient_ids == {"P100", "0815"}
    assert (found.report_id, found.status) == ("FI9", ReportStatus.FINAL)
    assert found.issued_at == datetime(2026, 11, 27, 13, 10, tzinfo=UTC)
    assert found.text == "Findings:\nNo pneumothorax.\n\nImpression:\nSmall effusion."
    assert "pneumothorax" not in repr(found)  # nor in a log


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("8859/1", "latin-1"),
        ("8859/15", "iso8859-15"),
        ("8859/2", "iso8859-2"),
        ("", "utf-8"),
    ],
)
def test_words_come_in_the_character_set_of_the_message(tmp_path: Path, charset: str, encoding: str) -> None:
    found = one(tmp_path, message(line(1, "Größe und Höhe"), charset=charset).encode(encoding))

    assert "Größe und Höhe" in found.text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (message(line(1, "Größe"), charset="").encode("latin-1"), "MSH-18 declares no character set"),
        (message(line(1, "Größe")).encode("latin-1"), "MSH-18 declares UNICODE UTF-8"),
        (message(line(1, "x"), charset="GB 18030-2000"), "known: ASCII"),
        (message(line(1, "x")).replace("ORU^R01^ORU_R01", "ORM^O01"), "ORM^O01; ORU"),
        (HEAD.format(charset="") + "\r" + PATIENT, "no OBR"),
        ("MSH|^~", "cut off"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_reason(tmp_path: Path, content: bytes | str, why: str) -> None:
    assert why in refused(tmp_path, content)


def test_escape_sequences_and_repetitions_become_what_they_mean(tmp_path: Path) -> None:
    found = one(tmp_path, message(line(1, r"\H\Heart\N\ \T\ lungs\.br\10 \S\ 2 \F\ \R\ \E\ \X41\~second")))

    assert found.text.endswith("Heart & lungs\n10 ^ 2 | ~ \\ A\nsecond")


def test_the_order_of_segments_does_not_change_whose_the_words_are(tmp_path: Path) -> None:
    right = one(tmp_path, message(line(1, "one"), line(2, "two")))
    segments = message(line(1, "one"), line(2, "two")).rstrip("\r").split("\r")
    for other in ("\r".join([segments[0], *reversed(segments[1:])]), "\r\n".join(segments), "\n".join(segments)):
        assert one(tmp_path, other) == right


def test_several_orders_have_their_own_words_and_those_of_no_order_are_refused(tmp_path: Path) -> None:
    second = ORDER.format(status="P").replace("A100", "A200")
    found = read(tmp_path, message(line(1, "one"), second, line(1, "two")))

    texts = [(one.accession_numbers[0], one.text[-3:], one.status) for one in found if isinstance(one, FinalReport)]
    assert texts == [("A100", "one", ReportStatus.FINAL), ("A200", "two", ReportStatus.NOT_FINAL)]
    stray = "\r".join([HEAD.format(charset=""), PATIENT, line(1, "whose"), ORDER, second])
    assert "before the first of several OBR" in refused(tmp_path, stray)


def test_a_batch_and_framed_messages_are_read_one_by_one(tmp_path: Path) -> None:
    two = f"FHS|^~\\&|\rBHS|^~\\&|\r{message(line(1, 'one'))}{message(line(1, 'two'))}BTS|2\rFTS|1\r"
    framed = f"\x0b{message(line(1, 'one'))}\x1c\r\x0b{message(line(1, 'two'))}\x1c\r"
    for content in (two, framed):
        found = read(tmp_path, content)
        assert [one.text[-3:] for one in found if isinstance(one, FinalReport)] == ["one", "two"]


@pytest.mark.parametrize(
    ("of_report", "of_lines", "status"),
    [
        ("F", "FF", ReportStatus.FINAL),
        ("C", "CF", ReportStatus.CORRECTED),
        ("P", "FF", ReportStatus.NOT_FINAL),
        ("R", "FF", ReportStatus.NOT_FINAL),
        ("X", "FF", ReportStatus.WITHDRAWN),
        ("F", "WD", ReportStatus.WITHDRAWN),
        ("", "FF", ReportStatus.FINAL),
        ("", "FC", ReportStatus.CORRECTED),
        ("", "FP", ReportStatus.NOT_FINAL),
    ],
)
def test_status_is_the_order_s_else_the_lines(
    tmp_path: Path, of_report: str, of_lines: str, status: ReportStatus
) -> None:
    lines = [line(number, "x", status=letter) for number, letter in enumerate(of_lines, 1)]

    assert one(tmp_path, message(*lines, status=of_report)).status is status


def test_lines_that_are_wrong_preliminary_or_no_text_are_left_out(tmp_path: Path) -> None:
    lines = [
        line(1, "wrong", status="W"),
        line(2, "early", status="P"),
        line(3, "^application^pdf^Base64^AA==", kind="ED"),
        line(4, "right"),
        line(5, "1.2.3.4", "113014^Study Instance UID^DCM", kind="ST"),
    ]

    found = one(tmp_path, message(*lines))

    assert (found.text, found.study_instance_uid) == ("Findings:\nright", "1.2.3.4")


def report(**further: Any) -> dict[str, Any]:
    order = {"identifier": {"type": {"coding": [{"code": "ACSN"}]}, "value": "A100"}}
    return {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "basedOn": [order],
        "subject": {"identifier": {"value": "P100"}},
        "issued": "2026-11-27T14:10:00+01:00",
        "conclusion": "No pneumothorax.",
        **further,
    }


def test_a_resource_has_its_order_patient_time_and_words(tmp_path: Path) -> None:
    coded = {"coding": [{"system": "http://snomed.info/sct", "code": "60046008"}]}
    words = base64.b64encode("Ärztlich: Small effusion.".encode("latin-1")).decode()
    form = {"contentType": "text/plain; charset=iso-8859-1", "data": words}
    pdf = {"contentType": "application/pdf", "data": "AA=="}

    found = one(tmp_path, json.dumps(report(conclusionCode=[coded], presentedForm=[pdf, form])))

    assert (found.accession_numbers, set(found.patient_ids), found.report_id) == (("A100",), {"P100"}, "r1")
    assert found.issued_at == datetime(2026, 11, 27, 13, 10, tzinfo=UTC)
    assert found.codes == (("60046008", "SCT"),)
    assert found.text == "Ärztlich: Small effusion.\n\nIMPRESSION: No pneumothorax."


@pytest.mark.parametrize("name", ["imagingStudy", "study"])
def test_references_lead_through_a_bundle_and_what_is_contained(tmp_path: Path, name: str) -> None:
    uid = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
    study = {"resourceType": "ImagingStudy", "id": "s1", "identifier": [uid]}
    order = {"resourceType": "ServiceRequest", "id": "o1", "identifier": [{"value": "A200"}]}
    patient = {"resourceType": "Patient", "id": "p1", "identifier": [{"value": "P200"}]}
    links = {name: [{"reference": "ImagingStudy/s1"}], "basedOn": [{"reference": "urn:uuid:7"}]}
    of = report(**links, subject={"reference": "#p1"}, contained=[patient])
    entries: list[dict[str, Any]] = [
        {"fullUrl": "urn:uuid:7", "resource": order},
        {"resource": of},
        {"resource": study},
    ]
    bundle = {"resourceType": "Bundle", "entry": entries}

    for content in (json.dumps(bundle), "\n".join(json.dumps(one["resource"]) for one in entries)):
        found = one(tmp_path, content)
        assert (found.study_instance_uid, set(found.patient_ids)) == ("1.2.3", {"P200"})
    assert one(tmp_path, json.dumps(bundle)).accession_numbers == ("A200",)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("registered", ReportStatus.NOT_FINAL),
        ("preliminary", ReportStatus.NOT_FINAL),
        ("amended", ReportStatus.CORRECTED),
        ("appended", ReportStatus.CORRECTED),
        ("entered-in-error", ReportStatus.WITHDRAWN),
        ("cancelled", ReportStatus.WITHDRAWN),
    ],
)
def test_the_status_of_a_resource_says_whether_it_counts(tmp_path: Path, said: str, status: ReportStatus) -> None:
    assert one(tmp_path, json.dumps(report(status=said))).status is status


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"resourceType": "Patient"}',
        json.dumps(report(status=None) | {"status": []}),
        json.dumps(report(basedOn="A100")),
        json.dumps(report(issued="soon")),
        json.dumps(report(presentedForm=[{"contentType": "text/plain", "data": "?"}])),
        json.dumps({"resourceType": "Bundle", "entry": [3, {"resource": 4}]}),
        json.dumps(report(contained=[7])),
        "[" * 100_000,
    ],
)
def test_a_damaged_resource_is_named(tmp_path: Path, content: str) -> None:
    assert refused(tmp_path, content)


def test_a_table_has_a_line_a_report_with_text_or_columns(tmp_path: Path) -> None:
    head = "accession_number;patient_id;status;issued_at;pneumothorax;opacity;edema\n"
    rows = f"{head}A1;P1;corrected;2026-11-27T13:00Z;1;?;\n"

    found = one(tmp_path, b"\xef\xbb\xbf" + rows.encode())

    assert (found.accession_numbers, set(found.patient_ids)) == (("A1",), {"P1"})
    assert (found.status, found.issued_at) == (ReportStatus.CORRECTED, datetime(2026, 11, 27, 13, tzinfo=UTC))
    assert found.answers == {"pneumothorax": Answer.PRESENT, "opacity": Answer.UNSURE}
    said = one(tmp_path, 'study_instance_uid,text\n1.2.3,"No edema,\nno effusion."\n')
    assert (said.study_instance_uid, said.text) == ("1.2.3", "No edema,\nno effusion.")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "empty"),
        ("name,text\nx,y\n", "without study_instance_uid or accession_number"),
        ("accession_number\nA1\n", "neither a column text nor"),
        ("accession_number,text,status\nA1,x,done\n", "status is 'done'"),
        ("accession_number,edema\nA1,yes\n", "edema is 'yes'"),
        ("accession_number,text,issued_at\nA1,x,yesterday\n", "issued_at is 'yesterday'"),
        ("accession_number,text\nA1,Größe\n".encode("latin-1"), "CSV UTF-8"),
    ],
)
def test_a_wrong_table_says_what_to_write(tmp_path: Path, content: str | bytes, why: str) -> None:
    assert why in refused(tmp_path, content)
