"""What the ledger will keep of an analysis: see `services.study_summary`, which also reads it back."""

from __future__ import annotations

from collections.abc import Mapping

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding
from patchclip_core.values.statement import statement
from patchclip_node.domain.rounded import rounded
from patchclip_node.results.facts import SourceFacts
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
    maps_keys: Mapping[str, str],
    definitions: Mapping[str, FindingDefinition],
    seconds: Mapping[str, float],
) -> StudySummary:
    """Summarise an analysis; `maps_keys` is SOP Instance UID -> spool key."""
    return StudySummary(
        model=outcome.images[0].result.findings.model,
        images=tuple(
            ImageSummary(
                sop_instance_uid=file.image.sop_instance_uid,
                rows=file.result.findings.geometry.source_rows,
                columns=file.result.findings.geometry.source_columns,
                maps_key=maps_keys.get(file.image.sop_instance_uid),
                remarks=(*file.result.remarks, *file.result.findings.remarks),
                findings=tuple(
                    _finding(item, definitions, file.result.facts) for item in file.result.findings.in_order
                ),
            )
            for file in outcome.images
        ),
        skipped=tuple(
            SkippedSummary(sop_instance_uid=file.image.sop_instance_uid, reason=file.reason) for file in outcome.skipped
        ),
        seconds={step: round(value, 4) for step, value in seconds.items()},
    )


def _finding(finding: Finding, definitions: Mapping[str, FindingDefinition], facts: SourceFacts) -> FindingSummary:
    numbers = rounded(finding)
    said = statement(finding, definitions, places=facts.places(finding.regions))
    return FindingSummary(
        key=finding.key,
        name=said.name,
        state=finding.state,
        probability=numbers.probability,
        threshold=numbers.threshold,
        reason=said.basis or None,
        regions=tuple(RegionSummary.model_validate(region, from_attributes=True) for region in numbers.regions),
        places=said.places,
        number=said.number,
    )
