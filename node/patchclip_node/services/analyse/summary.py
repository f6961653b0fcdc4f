"""What the ledger will keep of an analysis: see `services.study_summary`, which also reads it back."""

from __future__ import annotations

from collections.abc import Mapping

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding
from patchclip_node.services.analyse.outcome import Analysed
from patchclip_node.services.study_summary import (
    FindingSummary,
    ImageSummary,
    ModelSummary,
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
        model=ModelSummary.model_validate(outcome.images[0].result.findings.model, from_attributes=True),
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
    definition = definitions.get(finding.key)
    return FindingSummary(
        key=finding.key,
        name=definition.name if definition else finding.key,
        state=finding.state.value,
        probability=_rounded(finding.probability, 6),
        threshold=_rounded(finding.threshold, 6),
        reason=finding.reason,
        regions=tuple(
            RegionSummary(
                x=round(region.x, 2),
                y=round(region.y, 2),
                w=round(region.w, 2),
                h=round(region.h, 2),
                score=round(region.score, 6),
            )
            for region in finding.regions
        ),
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
