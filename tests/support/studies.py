"""Brings studies to where a test wants them, by the ledger's own methods."""

from __future__ import annotations

from datetime import datetime

from patchclip_node.domain.records import ResultKind, StudyRecord
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.ledger import Ledger
from tests.support.fakes import START, make_instance, make_result

OWNER = "host:1:1#1"
LEASE_S = 60.0
DESTINATION = "pacs"


def only_revision(ledger: Ledger, study_instance_uid: str = "1.2.3") -> StudyRecord:
    """Return the one revision of a study."""
    (study,) = ledger.revisions(study_instance_uid)
    return study


def newest_revision(ledger: Ledger, study_instance_uid: str = "1.2.3") -> StudyRecord:
    """Return the newest revision of a study."""
    return ledger.revisions(study_instance_uid)[-1]


def bring_to(
    ledger: Ledger,
    state: StudyState,
    study_instance_uid: str = "1.2.3",
    now: datetime = START,
    owner: str = OWNER,
    results: int = 1,
) -> StudyRecord:
    """Bring a new study of one image to `state`; FAILED is a failed analysis. No other study may be due."""
    ledger.record_instance(make_instance(study_instance_uid, received_at=now))
    if state is not StudyState.RECEIVING:
        ledger.close_quiet(now, 0)
    if state not in {StudyState.RECEIVING, StudyState.RECEIVED}:
        _analyse(ledger, state, now, owner, results)
    if state in {StudyState.RETURNING, StudyState.RETURNED}:
        lease = ledger.lease_delivery(now, owner, LEASE_S)
        assert lease is not None
        if state is StudyState.RETURNED:
            for delivery in lease.deliveries:
                ledger.delivered(delivery.id, owner, now)
    study = newest_revision(ledger, study_instance_uid)
    assert study.state is state
    return study


def _analyse(ledger: Ledger, state: StudyState, now: datetime, owner: str, results: int) -> None:
    leased = ledger.lease_study(now, owner, LEASE_S)
    assert leased is not None
    study = leased.study
    match state:
        case StudyState.ANALYSING:
            pass
        case StudyState.REJECTED:
            ledger.reject(study.id, owner, now, "a lateral view", {})
        case StudyState.FAILED:
            ledger.fail_analysis(study.id, owner, now, "it broke")
        case _:
            uids = result_uids(study, results)
            built = [make_result(uid, kind) for uid, kind in zip(uids, ResultKind, strict=False)]
            ledger.finish_analysis(study.id, owner, now, built, {DESTINATION: uids}, {}, "{}")


def result_uids(study: StudyRecord, results: int = 1) -> list[str]:
    """Return the SOP Instance UIDs that `bring_to` gives the results of a revision (at most 2)."""
    return [f"{study.study_instance_uid}.9.{study.revision}.{number}" for number in range(results)]
