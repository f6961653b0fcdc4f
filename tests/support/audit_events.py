"""One of each event that the node tells, a success and a failure where there are both."""

from __future__ import annotations

from collections.abc import Mapping

from patchclip_node.audit import codes, events
from patchclip_node.audit.values import AuditEvent, Outcome
from patchclip_node.domain.records import Priority, StudyRecord
from patchclip_node.domain.states import StudyState
from tests.support.fakes import START

STUDY = StudyRecord(
    id=1,
    study_instance_uid="1.2.3",
    revision=1,
    state=StudyState.RECEIVED,
    priority=Priority.ROUTINE,
    patient_id="PAT-1",
    patient_name="Doe^Jane",
    accession_number="ACC-1",
    study_description="Chest",
    first_received_at=START,
    last_received_at=START,
    state_since=START,
    instance_count=2,
    attempts=0,
    not_before=None,
    lease_owner=None,
    lease_expires_at=None,
    reason=None,
    error=None,
    summary_json=None,
)
_IMAGES = ["1.2.840.10008.5.1.4.1.1.1.1"] * 2
_REPORT = ["1.2.840.10008.5.1.4.1.1.88.33"]


def all_events() -> Mapping[str, AuditEvent]:
    """Return them by the name of their constructor, with what became of it."""
    anna = events.person("anna", "192.0.2.7")
    pacs = events.destination("pacs", "PACS", "pacs.example.org")
    return {
        "application_started": events.application_started(events.RECEIVE, START),
        "application_stopped": events.application_stopped(events.RECEIVE, START),
        "received": events.received(STUDY, "CT1", "192.0.2.1", _IMAGES),
        "not_kept, held": events.not_kept("CT1", "192.0.2.1", START, {_IMAGES[0]: 2}),
        "not_kept, refused": events.not_kept("CT1", "192.0.2.1", START, {_IMAGES[0]: 2}, ["too large"]),
        "analysed": events.analysed(STUDY, START, _REPORT, [("model", "demo"), ("weights", "sha256:12")]),
        "not_analysed": events.not_analysed(STUDY, START, "no frontal chest radiograph"),
        "not_analysed, failed": events.not_analysed(STUDY, START, "given up", failed=True),
        "begins_sending": events.begins_sending(STUDY, START, pacs, _REPORT),
        "sent": events.sent(STUDY, START, pacs, _REPORT),
        "sent, failed": events.sent(STUDY, START, pacs, _REPORT, failed="it refused"),
        "sent, tried again": events.sent(
            STUDY, START, events.destination("pacs"), _REPORT, failed="no answer", tried_again=True
        ),
        "opened": events.opened(STUDY, START, anna, events.WEB),
        "changed": events.changed(STUDY, START, anna, "requeue"),
        "deleted, by a person": events.deleted(STUDY, START, events.person("root")),
        "deleted, by retention": events.deleted(STUDY, START, events.node(events.DELIVER)),
        "exported": events.exported(START, anna, "file:///tmp/x", [STUDY]),
        "queried": events.queried(START, anna, events.WEB, "patient_id=PAT-1"),
        "archive_queried": events.archive_queried(
            START, anna, events.peer("archive", "192.0.2.9"), "StudyDate=20200301"
        ),
        "logged_in": events.logged_in(START, anna),
        "logged_in, refused": events.logged_in(START, anna, Outcome.MINOR_FAILURE, "wrong password"),
        "logged_out": events.logged_out(START, anna),
        "logged_out, by time": events.logged_out(START, events.person("anna"), "the session was over"),
        "trail_read": events.trail_read(START, events.person("root"), "file:///srv/audit"),
        "alert": events.alert(codes.NODE_AUTHENTICATION, START, events.RECEIVE, "not in the list", anna),
        "alert, of an account": events.alert(
            codes.USER_ATTRIBUTES_CHANGED,
            START,
            events.CLI,
            "account made",
            anna,
            Outcome.SUCCESS,
            events.account_object("bert"),
        ),
    }
