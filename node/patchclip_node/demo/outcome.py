"""What became of a study: from the node's ledger and from what the archive holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patchclip_node.demo.archive import ReturnedObject
from patchclip_node.demo.studies import SentStudy
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.states import FINAL_STATES, StudyState
from patchclip_node.ports.ledger import Studies
from patchclip_node.services.study_summary import StudySummary, read_summary


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """One study after its way through the node. record: its newest revision, None where it never came there.

    problem: why it does not count as come back; None when it does.
    total_s: from the first image received to the last result confirmed by the archive.
    """

    sent: SentStudy
    record: StudyRecord | None
    problem: str | None
    summary: StudySummary | None
    returned: tuple[ReturnedObject, ...]
    total_s: float | None


def has_ended(studies: Studies, study: SentStudy) -> bool:
    """Tell whether the node is done with a study."""
    revisions = studies.revisions(study.study_instance_uid)
    return bool(revisions) and all(revision.state in FINAL_STATES for revision in revisions)


def outcome_of(
    studies: Studies, study: SentStudy, refused: Sequence[str], returned: Sequence[ReturnedObject]
) -> StudyOutcome:
    """Judge one study. `refused`: why images of it were not accepted; `returned`: all that the archive holds."""
    own = tuple(item for item in returned if item.study_instance_uid == study.study_instance_uid)
    revisions = studies.revisions(study.study_instance_uid)
    if not revisions:
        return StudyOutcome(study, None, "; ".join(refused) or "it never reached the ledger", None, own, None)
    newest = revisions[-1]
    held = {item.sop_instance_uid for item in own}
    promised = [delivery.result.result for delivery in studies.deliveries(newest.id)]
    missing = [item for item in promised if item.sop_instance_uid not in held]
    problem = "; ".join(refused) or _trouble(newest)
    if problem is None and (missing or not own):
        problem = f"the archive lacks {', '.join(item.kind.upper() for item in missing) or 'every result'}"
    summary = read_summary(newest.summary_json)
    ended = studies.events(newest.id)[-1].at if newest.state in FINAL_STATES else None
    total_s = (ended - newest.first_received_at).total_seconds() if ended else None
    return StudyOutcome(study, newest, problem, summary, own, total_s)


def _trouble(study: StudyRecord) -> str | None:
    match study.state:
        case StudyState.RETURNED:
            return None
        case StudyState.REJECTED:
            return f"not analysed: {study.reason}"
        case StudyState.FAILED | StudyState.PARTLY_RETURNED:
            return f"failed: {study.error}"
        case state:
            return f"still {state} when the time was up{f' ({study.error})' if study.error else ''}"
