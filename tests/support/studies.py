"""Brings studies to where a test wants them, by the ledger's own methods."""

from __future__ import annotations

from datetime import datetime

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.policy import WorkPolicy
from patchclip_node.domain.records import FinishedAnalysis, StudyRecord
from patchclip_node.domain.release import Held
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import ResultKind
from tests.support.fakes import START, make_instance, make_result

OWNER = "host:1:1#1"
LEASE_S = 60.0
DESTINATION = "pacs"
OTHER_DESTINATION = "research"
POLICY = WorkPolicy(
    LEASE_S, analysis_attempts=3, commit_within_s=60, deliver_for_s=3600, backoff_s=10, backoff_max_s=3600
)
"""Three analyses, an hour of deliveries; ten seconds after the first attempt."""


def only_revision(ledger: SqlLedger, study_instance_uid: str = "1.2.3") -> StudyRecord:
    """Return the one revision of a study."""
    (study,) = ledger.studies.revisions(study_instance_uid)
    return study


def newest_revision(ledger: SqlLedger, study_instance_uid: str = "1.2.3") -> StudyRecord:
    """Return the newest revision of a study."""
    return ledger.studies.revisions(study_instance_uid)[-1]


def bring_to(
    ledger: SqlLedger,
    state: StudyState,
    study_instance_uid: str = "1.2.3",
    now: datetime = START,
    owner: str = OWNER,
    results: int = 1,
) -> StudyRecord:
    """Bring a new study of one image to `state`; FAILED is a failed analysis. No other study may be due.

    A PARTLY_RETURNED one has a second destination, OTHER_DESTINATION, which has failed.
    """
    ledger.arrivals.record(make_instance(study_instance_uid, received_at=now))
    if state is not StudyState.RECEIVING:
        ledger.arrivals.close_quiet(now, 0)
    if state not in {StudyState.RECEIVING, StudyState.RECEIVED}:
        _analyse(ledger, state, now, owner, results)
    if state in {StudyState.RETURNING, StudyState.RETURNED, StudyState.PARTLY_RETURNED}:
        lease = ledger.deliveries.lease(now, owner, LEASE_S, [DESTINATION])
        assert lease is not None
        if state is not StudyState.RETURNING:
            for delivery in lease.deliveries:
                ledger.deliveries.confirm(delivery.id, owner, now)
        if state is StudyState.PARTLY_RETURNED:
            lease = ledger.deliveries.lease(now, owner, LEASE_S, [OTHER_DESTINATION])
            assert lease is not None
            for delivery in lease.deliveries:
                ledger.deliveries.fail(delivery.id, owner, now, "refused")
    study = newest_revision(ledger, study_instance_uid)
    assert study.state is state
    return study


def _analyse(ledger: SqlLedger, state: StudyState, now: datetime, owner: str, results: int) -> None:
    leased = ledger.analyses.lease(now, owner, LEASE_S)
    assert leased is not None
    study = leased.study
    match state:
        case StudyState.ANALYSING:
            pass
        case StudyState.REJECTED:
            ledger.analyses.reject(study.id, owner, now, "a lateral view", {})
        case StudyState.FAILED:
            ledger.analyses.fail(study.id, owner, now, "it broke")
        case _:
            uids = result_uids(study, results)
            built = [make_result(uid, kind) for uid, kind in zip(uids, ResultKind, strict=False)]
            names = [DESTINATION, *([OTHER_DESTINATION] if state is StudyState.PARTLY_RETURNED else [])]
            promised = dict.fromkeys(names, uids)
            held = dict.fromkeys(names, Held("held")) if state is StudyState.HELD else {}
            kept = "shadow" if state is StudyState.KEPT else ""
            finished = FinishedAnalysis(built, promised, {}, "{}", held=held, kept=kept)
            ledger.analyses.finish(study.id, owner, now, finished)


def result_uids(study: StudyRecord, results: int = 1) -> list[str]:
    """Return the SOP Instance UIDs that `bring_to` gives the results of a revision (at most 2)."""
    return [f"{study.study_instance_uid}.9.{study.revision}.{number}" for number in range(results)]
