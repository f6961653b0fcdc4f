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

from patchclip_core.values.results import Finding, FindingState, Region
from patchclip_node.dicom import codes
from patchclip_node.results.coded import finding_code, site_code
from patchclip_node.results.context import Subject

_STATE_CODES: Final = {
    FindingState.PRESENT: codes.PRESENT,
    FindingState.POSSIBLE: codes.POSSIBLE,
    FindingState.ABSENT: codes.ABSENT,
    FindingState.NOT_SEEN: codes.UNDETERMINED,
    FindingState.NOT_EVALUATED: codes.NOT_ATTEMPTED,
}


def measurement_groups(subject: Subject) -> Iterator[ContainerContentItem]:
    """Yield the groups of what was found and has regions, image by image, the surest first."""
    for one in subject.one_by_one():
        for finding in one.image.findings.found:
            for index, region in enumerate(finding.regions):
                yield _group(one, finding, index, region)


def evaluations(subject: Subject) -> Iterator[CodeContentItem]:
    """Yield what is said of each finding without a region: its state, in a code, and how probable it is."""
    for one in subject.one_by_one():
        yield from (_evaluation(one, finding) for finding in one.image.findings if not finding.regions)


def _group(subject: Subject, finding: Finding, index: int, region: Region) -> ContainerContentItem:
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
        measurements=list(_measurements(subject, finding, region)),
        algorithm_id=AlgorithmIdentification(
            name=model.name,
            version=model.version,
            parameters=[f"weights {model.weights_digest}", f"operating point: {finding.threshold:.3f}"],
        ),
    )
    item = group[0]
    assert isinstance(item, ContainerContentItem)
    return item


def _measurements(subject: Subject, finding: Finding, region: Region) -> Iterator[Measurement]:
    """Yield the probability, and the threshold beside which it is to be read.

    The site stands in the measurement (TID 1419) and not in the group: OHIF writes the code of a group's site
    over the image, and the names of measurements.
    """
    definition, facts = subject.phrases.definitions[finding.key], subject.facts
    site = FindingSite(site_code(definition), laterality=facts.laterality(definition.site.value, region))
    for number, (name, value) in enumerate(_numbers(subject, finding)):
        sites = [site] if number == 0 else None
        yield Measurement(name=name, value=value, unit=codes.PERCENT, finding_sites=sites)


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
    details += [
        NumContentItem(name, value, codes.PERCENT, relationship_type=RelationshipTypeValues.HAS_PROPERTIES)
        for name, value in _numbers(subject, finding)
    ]
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


def _numbers(subject: Subject, finding: Finding) -> Iterator[tuple[Code, float]]:
    """Yield name and value of a finding's probability and of its threshold, in per cent; nothing where it has none.

    Viewers show the name of a number and nothing else: so it says of which finding it is, and the verdict.
    """
    if finding.probability is None or finding.threshold is None:
        return
    phrases, said = subject.phrases, subject.phrases.statement(finding)
    name = phrases.say("{name}, {verdict}", name=said.name, verdict=said.verdict)
    yield Code(codes.PROBABILITY_VALUE, "DCM", name[:64]), round(100 * finding.probability, 1)
    yield Code(*codes.THRESHOLD, phrases.say("threshold")), round(100 * finding.threshold, 1)
