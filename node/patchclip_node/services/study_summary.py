"""What the ledger keeps of an analysis, for the status pages and `studies show`: compact, versioned JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding, ModelIdentity
from patchclip_node.domain.records import StudyRecord

if TYPE_CHECKING:  # its values hold datasets, and who only reads summaries needs no pydicom
    from patchclip_node.services.analyse.outcome import Analysed


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RegionSummary(_Value):
    """A box in source pixels and its score."""

    x: float
    y: float
    w: float
    h: float
    score: float


class FindingSummary(_Value):
    """One finding of one image; the fields of `patchclip_core.values.results.Finding` without its map."""

    key: str
    name: str
    state: Literal["present", "absent", "not evaluated"]
    probability: float | None
    threshold: float | None
    reason: str | None
    regions: tuple[RegionSummary, ...]


class ImageSummary(_Value):
    """One analysed image. `overlay_key`: its overlay PNG in the spool."""

    sop_instance_uid: str
    rows: int
    columns: int
    overlay_key: str | None
    remarks: tuple[str, ...]
    findings: tuple[FindingSummary, ...]


class SkippedSummary(_Value):
    """One image that was not analysed."""

    sop_instance_uid: str
    reason: str


class ModelSummary(_Value):
    """The model that spoke; the fields of `patchclip_core.values.results.ModelIdentity`."""

    name: str
    version: str
    weights_digest: str
    trained: bool
    calibrated: bool
    training_data: str
    licence: str
    statement: str


class StudySummary(_Value):
    """The whole analysis. `seconds`: step -> wall-clock seconds."""

    version: Literal[1] = 1
    model: ModelSummary
    images: Annotated[tuple[ImageSummary, ...], Field(min_length=1)]
    skipped: tuple[SkippedSummary, ...]
    seconds: dict[str, float]

    def to_json(self) -> str:
        """Return compact JSON; `read_summary` reads it back."""
        return json.dumps(self.model_dump(mode="json"), separators=(",", ":"), ensure_ascii=False)


def read_summary(text: str | None) -> StudySummary | None:
    """Read what `to_json` wrote; None when there is nothing, or when another version of the product wrote it."""
    if text is None:
        return None
    try:
        return StudySummary.model_validate_json(text)
    except ValidationError:
        return None  # the rest of the study's record still says what happened


def outcome_line(study: StudyRecord) -> str:
    """Say in one line what came of a study: why not, or the present findings; empty while nothing has."""
    summary = read_summary(study.summary_json)
    if summary is None or study.error:
        return study.reason or study.error or ""
    present: dict[str, float] = {}
    for image in summary.images:
        for finding in image.findings:
            if finding.state == "present" and finding.probability is not None:
                present[finding.name] = max(finding.probability, present.get(finding.name, 0.0))
    by_probability = sorted(present.items(), key=lambda item: -item[1])
    line = ", ".join(f"{name} {value:.0%}" for name, value in by_probability) or "nothing above its threshold"
    return line if summary.model.trained else f"untrained model, without meaning: {line}"


def summarise(
    outcome: Analysed,
    overlay_keys: Mapping[str, str],
    definitions: Mapping[str, FindingDefinition],
    seconds: Mapping[str, float],
) -> StudySummary:
    """Summarise an analysis; `overlay_keys` is SOP Instance UID -> spool key of the overlay."""
    return StudySummary(
        model=_model(outcome.images[0].result.findings.model),
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


def _model(identity: ModelIdentity) -> ModelSummary:
    return ModelSummary(
        name=identity.name,
        version=identity.version,
        weights_digest=identity.weights_digest,
        trained=identity.trained,
        calibrated=identity.calibrated,
        training_data=identity.training_data,
        licence=identity.licence,
        statement=identity.statement,
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
