"""Each event becomes a message that keeps PS3.15's rules, whatever is in it."""

from __future__ import annotations

import base64
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclip_node.audit import codes, events
from patchclip_node.audit.encoding import decoded, encoded
from patchclip_node.audit.message import build_message
from patchclip_node.audit.values import AuditEvent, AuditSource, Outcome
from tests.support.audit_events import STUDY, all_events
from tests.support.audit_schema import problems
from tests.support.fakes import START

SOURCE = AuditSource("PATCHCLIP", "node.example.org", "St. Example")


@pytest.mark.parametrize("name", sorted(all_events()))
def test_each_event_keeps_the_schema_and_its_table(name: str) -> None:
    assert problems(build_message(all_events()[name], SOURCE)) == []


@pytest.mark.parametrize("name", sorted(all_events()))
def test_an_event_survives_the_ledger(name: str) -> None:
    event = all_events()[name]

    assert decoded(encoded(event)) == event


_any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(_any_text, _any_text, _any_text, _any_text)
def test_no_text_of_a_peer_breaks_a_message(patient_id: str, name: str, title: str, reason: str) -> None:
    study = replace(STUDY, patient_id=patient_id, patient_name=name, accession_number=title, study_description=reason)
    to = events.destination(name, title, title)
    sent = events.sent(study, START, to, ["1.2.840.10008.5.1.4.1.1.7"], failed=reason)

    message = build_message(sent, SOURCE)

    assert problems(message) == []
    assert "\n" not in message


def test_the_message_says_who_what_when_and_whether() -> None:
    event = events.opened(STUDY, START, events.person("anna", "192.0.2.7"), events.WEB)

    root = ET.fromstring(build_message(event, SOURCE))

    person, process = root.findall("ActiveParticipant")
    assert person.attrib == {
        "UserID": "anna@node.example.org",
        "UserIsRequestor": "true",
        "NetworkAccessPointID": "192.0.2.7",
        "NetworkAccessPointTypeCode": "2",
    }
    assert process.get("UserID") == "web@node.example.org"
    assert process.get("AlternativeUserID") == "AETITLES=PATCHCLIP"
    told = root.find("EventIdentification")
    assert told is not None
    assert told.attrib == {
        "EventActionCode": "R",
        "EventDateTime": "2026-03-01T08:00:00.000Z",
        "EventOutcomeIndicator": "0",
    }
    ids = [one.get("ParticipantObjectID") for one in root.findall("ParticipantObjectIdentification")]
    assert ids == [STUDY.study_instance_uid, STUDY.patient_id]


def test_what_a_decision_rests_on_is_a_detail_of_the_study() -> None:
    event = events.analysed(STUDY, START, ["1.2.840.10008.5.1.4.1.1.88.33"], [("weights", "sha256:abc")])

    root = ET.fromstring(build_message(event, SOURCE))

    values = {one.get("type"): one.get("value") for one in root.iter("ParticipantObjectDetail")}
    assert base64.b64decode(values["weights"] or "").decode() == "sha256:abc"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text.replace(' EventOutcomeIndicator="0"', ""), "lacks EventOutcomeIndicator"),
        (lambda text: text.replace('EventOutcomeIndicator="0"', 'EventOutcomeIndicator="1"'), "='1'"),
        (lambda text: text.replace("000Z", "000"), "EventDateTime"),
        (lambda text: text.replace("csd-code", "code"), "no attribute code"),
        (lambda text: text.replace('csd-code="110152"', 'csd-code="110153"'), "role 110152"),
        (lambda text: text.replace('EventActionCode="C"', 'EventActionCode="E"'), "action E"),
        (lambda text: text.replace("ParticipantObjectName>", "ParticipantObjectDetail>"), "ParticipantObjectName"),
        (lambda text: text.replace('UserIsRequestor="false"', 'UserIsRequestor="true"'), "more than one requestor"),
        (
            lambda text: text.replace('ParticipantObjectTypeCodeRole="1"', 'ParticipantObjectTypeCodeRole="6"'),
            "objects",
        ),
    ],
)
def test_the_rules_find_what_is_against_them(damage: object, said: str) -> None:
    message = build_message(all_events()["received"], SOURCE)
    assert problems(message) == []

    damaged = damage(message)  # type: ignore[operator]

    assert damaged != message
    assert said in "; ".join(problems(damaged))


def test_only_one_requestor_is_told_of_an_alert() -> None:
    event: AuditEvent = events.alert(
        codes.USE_OF_RESTRICTED_FUNCTION, START, events.WEB, "no", events.person("anna"), Outcome.MINOR_FAILURE
    )

    assert not any(actor.is_requestor for actor in event.actors)
