"""What the ledger will keep of an analysis: see `services.study_summary`, which also reads it back."""

from __future__ import annotations

from collections.abc import Mapping

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding, FindingState
from patchclip_core.values.wording import what_it_rests_on
from patchclip_node.domain.rounded import rounded
from patchclip_node.services.analyse.outcome import Analysed
from patchclip_node.services.study_summary import (
    FindingSummary,
    ImageSummary,
    RegionSummary,
    SkippedSummary,
    StudySummary,
)


def summarise(
    outcome: Analysed,
    overlay_keys: Mapping[str, str],
    definitions: Mapping[str, FindingDefinition],
    seconds: Mapping[str, float],
) -> StudySummary:
    """Summarise an analysis; `overlay_keys` is SOP Instance UID -> spool key of the overlay."""
    return StudySummary(
        model=outcome.images[0].result.findings.model,
        images=tuple(
            ImageSummary(
                sop_instance_uid=file.image.sop_instance_uid,
                rows=file.result.findings.geometry.source_rows,
                columns=file.result.findings.geometry.source_columns,
                overlay_key=overlay_keys.get(file.image.sop_instance_uid),
                remarks=(*file.result.remarks, *file.result.findings.remarks),
                findings=tuple(_finding(item, definitions) for item in file.result.findings),
            )
            for file in outcome.images
        ),
        skipped=tuple(
            SkippedSummary(sop_instance_uid=file.image.sop_instance_uid, reason=file.reason) for file in outcome.skipped
        ),
        seconds={step: round(value, 4) for step, value in seconds.items()},
    )


def _finding(finding: Finding, definitions: Mapping[str, FindingDefinition]) -> FindingSummary:
    definition, said = definitions.get(finding.key), rounded(finding)
    return FindingSummary(
        key=finding.key,
        name=definition.name if definition else finding.key,
        state=finding.state,
        probability=said.probability,
        threshold=said.threshold,
        reason=_reason(finding, definitions),
        regions=tuple(RegionSummary.model_validate(region, from_attributes=True) for region in said.regions),
    )


def _reason(finding: Finding, definitions: Mapping[str, FindingDefinition]) -> str | None:
    """Return why it was not evaluated, or what it rests on that it is not there or was not seen."""
    if finding.state in (FindingState.ABSENT, FindingState.NOT_SEEN):
        return what_it_rests_on(finding, definitions)
    return finding.reason
