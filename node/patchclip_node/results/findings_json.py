"""`findings.json`: what was found in each file, for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from pydicom.sr.coding import Code

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding, ModelIdentity
from patchclip_node.domain.rounded import rounded
from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.results.facts import AnalysedImage, SourceFacts
from patchclip_node.results.phrases import Phrases


@dataclass(frozen=True, slots=True, eq=False)
class DocumentedImage:
    """One input file: either its analysis, or the reason why there is none.

    objects: file names of the result objects and pictures that were written for it alone.
    """

    file: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    analysed: AnalysedImage | None = None
    reason: str | None = None
    objects: tuple[str, ...] = ()


def findings_document(
    images: Sequence[DocumentedImage],
    definitions: Mapping[str, FindingDefinition],
    model: ModelIdentity,
    study_objects: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the document, ready for `json.dumps`.

    study_objects: Study Instance UID -> file names of the result objects that are of all images of the study.
    Regions are in pixels of the source image: x, y is the top-left corner from the image's outer top-left corner.
    """
    return {
        "product": {"name": PRODUCT_NAME, "version": PRODUCT_VERSION},
        "notice": " ".join(Phrases().honesty(model)),
        "model": {name: value for name, value in asdict(model).items() if name != "statement"},
        "studies": [{"study_instance_uid": uid, "objects": list(names)} for uid, names in study_objects.items()],
        "images": [_image(image, definitions) for image in images],
    }


def _image(image: DocumentedImage, definitions: Mapping[str, FindingDefinition]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "file": image.file,
        "study_instance_uid": image.study_instance_uid,
        "series_instance_uid": image.series_instance_uid,
        "sop_instance_uid": image.sop_instance_uid,
        "analysed": image.analysed is not None,
    }
    if image.analysed is None:
        return entry | {"reason": image.reason}
    findings, facts = image.analysed.findings, image.analysed.facts
    return entry | {
        "number": image.analysed.number or 1,
        "rows": findings.geometry.source_rows,
        "columns": findings.geometry.source_columns,
        "patient_orientation": facts.patient_orientation,
        "remarks": list(Phrases().remarks(image.analysed)),
        "findings": [_finding(finding, definitions, facts) for finding in findings],
        "objects": list(image.objects),
    }


def _finding(finding: Finding, definitions: Mapping[str, FindingDefinition], facts: SourceFacts) -> dict[str, Any]:
    definition, said = definitions[finding.key], rounded(finding)
    entry: dict[str, Any] = {
        "key": finding.key,
        "name": definition.name,
        "code": {"value": definition.code.value, "scheme": definition.code.scheme, "meaning": definition.code.meaning},
        "state": str(finding.state),
        "probability": said.probability,
        "threshold": said.threshold,
        "firm_threshold": said.firm_threshold,
        "says": Phrases(definitions=definitions).statement(finding, facts).line,
        "regions": [
            asdict(shown)
            | {
                "place": facts.places([region])[0],
                "patient_side": _lower(facts.laterality(definition.site.value, region)),
            }
            for shown, region in zip(said.regions, finding.regions, strict=True)
        ],
    }
    if finding.scores is not None and finding.probability is not None:
        with_it, without_it = finding.scores.at_least(finding.probability)
        entry["images_at_least_as_probable"] = {"with_it": round(with_it, 4), "without_it": round(without_it, 4)}
    if (measured := finding.sensitivity) is not None:
        entry["sensitivity"] = asdict(measured)
    if finding.lookalikes:
        entry["lookalikes"] = list(finding.lookalikes)
    if finding.reason:
        entry["reason"] = finding.reason
    if finding.experimental:
        entry["experimental"] = True
    return entry


def _lower(side: Code | None) -> str | None:
    return None if side is None else str(side.meaning).lower()
