"""Verdicts on findings: checked against what was found, and kept."""

from __future__ import annotations

import structlog

from patchclip_node.audit.values import Actor
from patchclip_node.domain.agreement import FindingAgreement
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.verdicts import (
    MOST_BOXES,
    NewVerdict,
    Opinion,
    Verdict,
    VerdictKind,
    VerdictSource,
    may_be_said,
)
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Studies
from patchclip_node.ports.verdicts import Verdicts
from patchclip_node.services.study_summary import ImageSummary, StudySummary, read_summary

log = structlog.get_logger(__name__)


class VerdictDesk:
    """Takes the verdicts of the pages."""

    def __init__(self, studies: Studies, verdicts: Verdicts, clock: Clock) -> None:
        self._studies = studies
        self._verdicts = verdicts
        self._clock = clock

    def give(self, study_instance_uid: str, revision: int, opinion: Opinion, by: Actor) -> Verdict:
        """Keep what a person says of a finding on the pages.

        Raises `KeyError` for a study or revision that is unknown or was not analysed; `ValueError` for what does not
        fit what was found, in words for that person; `LedgerUnavailableError`.
        """
        revisions = self._studies.revisions(study_instance_uid)
        study = next((one for one in revisions if one.revision == revision), None)
        summary = None if study is None else read_summary(study.summary_json)
        if study is None or summary is None:
            raise KeyError(study_instance_uid)
        said = fitting(study, summary, opinion, by.name, VerdictSource.PAGE)
        (verdict,) = self._verdicts.give([said], by, self._clock.now())
        log.info(
            "verdict_given",
            study_instance_uid=study_instance_uid,
            revision=revision,
            finding=opinion.finding,
            kind=opinion.kind.value,
            account=by.name,
        )
        return verdict

    def of_study(self, study_instance_uid: str) -> list[Verdict]:
        """Return all verdicts on a study, the first one first. Raises `LedgerUnavailableError`."""
        return self._verdicts.of_study(study_instance_uid)

    def agreement(self) -> list[FindingAgreement]:
        """Return how far the node and the verdicts that count agree. Raises `LedgerUnavailableError`."""
        return self._verdicts.agreement()


def fitting(
    study: StudyRecord, summary: StudySummary, opinion: Opinion, by: str, source: VerdictSource, source_uid: str = ""
) -> NewVerdict:
    """Return an opinion as a verdict on what an analysis found; raises `ValueError` where it does not fit."""
    image = next((one for one in summary.images if one.sop_instance_uid == opinion.sop_instance_uid), None)
    if image is None:
        raise ValueError(f"no image {opinion.sop_instance_uid} was analysed in revision {study.revision}")
    was_found = _was_found(image, opinion.finding)
    if opinion.kind not in (kinds := may_be_said(was_found=was_found)):
        found = "found" if was_found else "not found"
        raise ValueError(f"{opinion.finding} was {found}: it can be {' or '.join(kinds)}, not {opinion.kind}")
    _check_boxes(opinion, image)
    return NewVerdict(
        study.study_instance_uid,
        study.revision,
        opinion,
        was_found,
        summary.model.weights_digest,
        by,
        source,
        source_uid,
    )


def _was_found(image: ImageSummary, key: str) -> bool:
    for finding in image.findings:
        if finding.key == key:
            return finding.state.is_found
    raise ValueError(f"the analysis says nothing of a finding {key!r}")


def _check_boxes(opinion: Opinion, image: ImageSummary) -> None:
    has_places = opinion.kind in (VerdictKind.CORRECTED, VerdictKind.MISSED)
    if opinion.boxes and not has_places:
        raise ValueError(f"a finding that is {opinion.kind} has no box")
    if not opinion.boxes and opinion.kind is VerdictKind.CORRECTED:
        raise ValueError("draw the box where the finding is")
    if len(opinion.boxes) > MOST_BOXES:
        raise ValueError(f"{len(opinion.boxes)} boxes were drawn; {MOST_BOXES} at most are kept")
    if not all(box.is_within(image.rows, image.columns) for box in opinion.boxes):
        raise ValueError(f"a box does not lie within the image of {image.columns} x {image.rows} px, or is too small")
