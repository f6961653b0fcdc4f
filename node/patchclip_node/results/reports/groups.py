"""What is said of a finding in codes: a measurement group (TID 1410) for each region, else an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    FindingSite,
    GraphicTypeValues,
    ImageContentItem,
    ImageRegion,
    Measurement,
    NumContentItem,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    RelationshipTypeValues,
    SourceImageForRegion,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding, FindingState, Region
from patchclip_node.dicom import codes
from patchclip_node.results.coded import finding_code, site_code
from patchclip_node.results.context import Subject

_STATE_CODES: Final = {
    FindingState.PRESENT: codes.PRESENT,
    FindingState.ABSENT: codes.ABSENT,
    FindingState.NOT_SEEN: codes.UNDETERMINED,
    FindingState.NOT_EVALUATED: codes.NOT_ATTEMPTED,
}


def measurement_groups(subject: Subject) -> Iterator[ContainerContentItem]:
    """Yield the groups of the present findings that have regions, image by image, the most probable first."""
    for one in subject.one_by_one():
        for finding in one.image.findings.present:
            for index, region in enumerate(finding.regions):
                yield _group(one, finding, index, region)


def evaluations(subject: Subject) -> Iterator[CodeContentItem]:
    """Yield what is said of each finding without a region: its state, in a code, and how probable it is."""
    for one in subject.one_by_one():
        yield from (_evaluation(one, finding) for finding in one.image.findings if not finding.regions)


def _group(subject: Subject, finding: Finding, index: int, region: Region) -> ContainerContentItem:
    assert finding.probability is not None
    assert finding.threshold is not None
    definition, model, facts = subject.phrases.definitions[finding.key], subject.model, subject.facts
    identifier, uid = subject.tracking(definition, index)
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=uid, identifier=identifier),
        referenced_region=ImageRegion(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=_outline(region),
            source_image=SourceImageForRegion(facts.sop_class_uid, facts.sop_instance_uid),
        ),
        finding_type=finding_code(definition),
        finding_sites=[FindingSite(site_code(definition), laterality=facts.laterality(definition.site.value, region))],
        measurements=[
            Measurement(
                name=_probability_name(subject, definition), value=_percent(finding.probability), unit=codes.PERCENT
            )
        ],
        algorithm_id=AlgorithmIdentification(
            name=model.name,
            version=model.version,
            parameters=[f"weights {model.weights_digest}", f"operating point: {finding.threshold:.3f}"],
        ),
    )
    item = group[0]
    assert isinstance(item, ContainerContentItem)
    return item


def _outline(region: Region) -> NDArray[np.float32]:
    """Return a region's box as a closed polyline of 9 points (x, y): corners, middles of edges, the start again.

    A viewer takes a rectangle of 5 points for a measurement to go on with, one of 9 for what it is.
    """
    xs = region.x, region.x + region.w / 2, region.x + region.w
    ys = region.y, region.y + region.h / 2, region.y + region.h
    around = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1), (0, 0)]
    return np.array([(xs[column], ys[row]) for column, row in around], dtype=np.float32)


def _evaluation(subject: Subject, finding: Finding) -> CodeContentItem:
    definition, facts = subject.phrases.definitions[finding.key], subject.facts
    item = CodeContentItem(finding_code(definition), _STATE_CODES[finding.state], RelationshipTypeValues.CONTAINS)
    details: list[ContentItem] = [FindingSite(site_code(definition))]  # else an absence would be one of the whole chest
    if finding.probability is not None:
        details.append(
            NumContentItem(
                _probability_name(subject, definition),
                _percent(finding.probability),
                codes.PERCENT,
                relationship_type=RelationshipTypeValues.HAS_PROPERTIES,
            )
        )
    details.append(
        ImageContentItem(
            codes.SOURCE,
            facts.sop_class_uid,
            facts.sop_instance_uid,
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )
    )
    item.ContentSequence = ContentSequence(details)
    return item


def _percent(probability: float) -> float:
    return round(100 * probability, 1)


def _probability_name(subject: Subject, definition: FindingDefinition) -> Code:
    name = subject.phrases.say("Probability of {name}", name=definition.name)
    return Code(codes.PROBABILITY_VALUE, "DCM", name[:64])
