"""The statement of conformance: Annex N's headings, and that nothing which the code says is missing in it."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from pydicom.datadict import keyword_dict
from typer.testing import CliRunner

from patchclip_node import scp
from patchclip_node.cli import app
from patchclip_node.conformance import Claims, as_html, as_json, as_markdown, claims_of
from patchclip_node.dicom import commitment, statuses
from patchclip_node.dicom.storage import READERS_SOP_CLASSES, STORAGE_SOP_CLASSES
from patchclip_node.domain.variants import NoteKind, ResultKind
from patchclip_node.scp.responses import ANSWERED
from patchclip_node.settings import NodeSettings, read_settings
from tests.support.docs import page

ANNEX_N = """
0 Cover page
1 Overview
1.1 Content and transfer
1.1.1 Structured reporting root template IDs
1.2 DIMSE services
1.2.1 Verification
1.2.2 Storage
1.2.3 Workflow management
1.2.4 Query/Retrieve
1.2.5 Printing
1.3 DICOM web services
1.3.1 URI service
1.3.2 Studies service
1.3.3 Worklist service
1.3.4 Non-patient instance service
1.3.5 Storage commitment web service
1.3.6 Modality scheduled procedure step web service
1.3.7 Modality performed procedure step web service
1.4 Media services
1.5 Real-time video service
1.6 De-identification profiles
1.7 Specific character sets
2 Table of contents
3 Introduction
3.1 Revision history
3.2 Audience
3.3 Remarks
3.4 Terms and definitions
3.5 Abbreviations
3.6 References
4 Implementation model
4.1 Application entities and data flow
4.1.1 Functional definition of PATCHCLIP
5 Service and interoperability description
5.1 Mapping of services to application entities
5.2 DIMSE services
5.2.1 Basic worklist management service
5.2.2 Modality performed procedure step service
5.2.3 Unified worklist and procedure step service
5.2.4 Instance availability notification service
5.2.5 Storage service
5.2.5.1 SCU of the storage SOP classes
5.2.5.1.1 Transcoding of transfer syntaxes
5.2.5.2 SCP of the storage SOP classes
5.2.6 Storage commitment service
5.2.7 Query/Retrieve service class
5.2.8 Print management service
5.3 DICOM web services
5.3.1 URI web service
5.3.2 Studies web service
5.3.3 Worklist web service
5.3.4 Non-patient instance web service
5.3.5 Notification web service
5.3.6 Storage commitment web service
5.3.7 Modality scheduled procedure step web service
5.3.8 Modality performed procedure step web service
5.4 Media services
5.5 Real-time video services
5.6 Cross-service considerations
5.7 Specific character sets
6 Configuration
6.1 General configuration parameters
6.2 Configuration of DIMSE services
6.2.1 Basic worklist management service
6.2.2 Modality performed procedure step service
6.2.3 Unified worklist and procedure step service
6.2.4 Instance availability notification service
6.2.5 Storage service
6.2.6 Storage commitment service
6.2.7 Query/Retrieve service class
6.2.8 Print management service
6.3 Configuration of DICOM web services
6.4 Configuration of media storage service
6.5 Configuration of real-time video service
6.6 Configuration of audit trail - syslog
7 Network and media communication details
7.1 General
7.1.1 General association parameters
7.2 Specifications
7.2.1 PATCHCLIP application entity
7.2.1.1 Sequencing of real-world activities
7.2.1.2 Association parameters
7.2.1.3 Association initiation
7.2.1.4 Association acceptance
7.3 Status codes
7.3.1 General communication and failure behaviour
7.3.2 DIMSE services
7.3.3 DICOM web services
8 Security
8.1 Introduction
8.2 External network requirements
8.3 TCP port configuration
8.4 DICOM security profiles support
8.4.1 Secure use and user identity profiles
8.4.2 Secure transport connection profiles
8.4.3 Media storage security profiles
8.4.4 Attribute confidentiality profiles
8.4.5 Digital signature profiles
8.4.6 Additional DICOM security profiles
8.5 User identity negotiation support
8.5.1 Association initiation
8.5.2 Association acceptance
8.6 Web services security features
8.7 Other security features
8.7.1 Media storage security
8.7.2 Network security
8.7.3 Other security features
Annex A Information object definitions
A.1 Information shared across multiple IODs
A.1.1 Common modules
A.1.2 Common functional group macros
A.1.3 Common private modules
A.1.4 Coded values
A.8 Basic directory and private IODs
Annex B Structured report content encoding
Annex C Security details
C.1 External network requirement details
C.1.1 Time synchronisation
C.1.2 Network address management
C.1.3 Application configuration management
C.1.4 DNS service discovery
C.2 DICOM security profile details
Annex D Mapping of attributes
Annex E Code set usage
""".strip().splitlines()
"""Headings of PS3.2 2026d Annex N, in its order; A.2 to A.7 are for the objects that a product makes."""


@pytest.fixture(scope="module")
def claims() -> Claims:
    return claims_of(NodeSettings())


def test_the_headings_are_those_of_annex_n_in_its_order_and_none_is_empty(claims: Claims) -> None:
    parts = re.split(r"^#{2,6} (.*)$", as_markdown(claims, "today"), flags=re.MULTILINE)[1:]
    headings, texts = parts[::2], parts[1::2]

    assert [heading for heading in headings if heading in ANNEX_N] == ANNEX_N
    assert {heading for heading in headings if heading not in ANNEX_N} == {
        "What is analysed",
        *(heading for heading in headings if re.match(r"A\.[2-7] ", heading)),
    }
    followed = [*headings[1:], ""]
    for heading, text, following in zip(headings, texts, followed, strict=True):
        assert text.strip() or _number(following).startswith(_number(heading) + "."), heading


def _number(heading: str) -> str:
    return heading.removeprefix("Annex ").split(" ")[0]


def test_the_statement_is_that_of_the_settings(tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text(
        "ae_title: WARD7\nport: 4104\naccept_any_called_ae_title: false\ncalling_ae_titles: [CT1]\n"
        "allowed_networks: [192.0.2.0/24]\nlimits: {max_associations: 7}\n"
        "destinations: [{name: pacs, ae_title: PACS, host: pacs.example, port: 104, profile: legacy, confirm: query}]\n"
    )
    text = as_markdown(claims_of(read_settings(config)), "2026-01-02")

    assert "| AE title | `WARD7` |" in text
    assert "| called AE titles that are accepted | its own alone |" in text
    assert "| calling AE titles that are accepted | CT1 |" in text
    assert "| networks that are listened to | 192.0.2.0/24 |" in text
    assert "| associations at once | 7 | `limits.max_associations` |" in text
    assert (
        "| pacs | `PACS` | pacs.example:104 | plain | Enhanced SR Storage, Secondary Capture Image Storage | query |"
        in text
    )
    assert "DICOM: 4104 (`port`)" in text


def test_what_a_setting_says_is_text_and_no_markup_in_html(tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("destinations: [{name: x, ae_title: '<i>|', host: '<b>', port: 1}]\n")
    claims = claims_of(read_settings(config))

    html, text = as_html(claims, "today"), as_markdown(claims, "today")

    assert "<i>" not in html
    assert "<b>" not in html
    assert html.count("<table>") == len(re.findall(r"^\|[ -]*---", text, flags=re.MULTILINE))


def test_the_command_writes_each_form(tmp_path: Path) -> None:
    out = tmp_path / "statement.html"

    written = CliRunner().invoke(app, ["conformance", "--format", "html", "--out", str(out)])
    data = CliRunner().invoke(app, ["conformance", "--format", "json"])
    text = CliRunner().invoke(app, ["conformance"])

    assert (written.exit_code, written.output) == (0, "")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(data.stdout)["ae_title"] == "PATCHCLIP"
    assert text.stdout.startswith("# DICOM conformance statement\n")


def test_each_class_and_each_kind_is_claimed(claims: Claims) -> None:
    accepted = {one.sop_class_uid for one in claims.accepted}
    proposed = {one.sop_class_uid for one in claims.proposed}

    assert accepted >= set(STORAGE_SOP_CLASSES) | set(READERS_SOP_CLASSES)
    assert {one.kind for one in claims.results} == {one.value for one in (*ResultKind, *NoteKind)}
    assert {one.sop_class_uid for one in claims.results} <= proposed
    assert {one.kind for one in claims.attributes} == {one.kind for one in claims.results}


def test_each_status_that_the_receiver_s_code_names_is_claimed_and_no_other(claims: Claims) -> None:
    files = [*Path(scp.__file__).parent.glob("*.py"), Path(commitment.__file__)]
    named = {
        getattr(statuses, node.attr)
        for file in files
        if file.name != "responses.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "statuses"
    }

    assert named == {status for of in ANSWERED.values() for status in of}
    assert {(one.service, one.status) for one in claims.answered} == {
        (service, status) for service, of in ANSWERED.items() for status in of
    }


def test_no_attribute_of_a_result_is_private(claims: Claims) -> None:
    assert len(claims.attributes) > 400
    assert {one.keyword for one in claims.attributes} <= set(keyword_dict)


def test_the_data_hold_what_the_tables_show(claims: Claims) -> None:
    told, text = json.loads(as_json(claims)), page("docs/conformance.md")

    for one in (*told["answered"], *told["heard"]):
        assert f"| `0x{one['status']:04X}` | {one['words']} |" in text
    for one in told["limits"]:
        assert f"| {one['words']} |" in text
    for one in told["codes"]:
        assert f"| `{one['value']}` | {one['scheme']} | {one['meaning']} |" in text
