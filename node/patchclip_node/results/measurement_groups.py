"""Localised findings: one measurement group (TID 1410) for each region, and the identity that its segment shares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ContainerContentItem,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    NumContentItem,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    RelationshipTypeValues,
    SourceImageForRegion,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.coding import Code

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding, Region
from patchclip_node.dicom import codes
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.source import patient_orientation
from patchclip_node.results.wording import Half, half_of


def finding_code(definition: FindingDefinition) -> CodedConcept:
    """Return the finding's code as a coded concept."""
    return CodedConcept(definition.code.value, definition.code.scheme, definition.code.meaning)


def site_code(definition: FindingDefinition) -> CodedConcept:
    """Return the anatomic site's code as a coded concept."""
    return CodedConcept(definition.site.value, definition.site.scheme, definition.site.meaning)


def tracking(
    definition: FindingDefinition, index: int, image: AnalysedImage, context: ResultContext
) -> tuple[str, str]:
    """Return Tracking ID and Tracking UID of a region; those of index 0 stand for the finding, in its segment as well.

    The UID depends on image and weights, not on the revision: the same region keeps it in a later report.
    """
    uid = context.uids.uid(
        "tracking", image.sop_instance_uid, image.findings.model.weights_digest, definition.key, str(index)
    )
    return f"{definition.name} {index + 1}", uid


def probability(
    definition: FindingDefinition, value: float, relationship: RelationshipTypeValues, context: ResultContext
) -> NumContentItem:
    """Return a probability in [0, 1] as a numeric item in percent, to one decimal."""
    name = _probability_name(definition, context)
    return NumContentItem(name, round(100 * value, 1), codes.PERCENT, relationship_type=relationship)


def measurement_groups(image: AnalysedImage, context: ResultContext) -> Iterator[ContainerContentItem]:
    """Return the groups of an image's present findings that have regions, the most probable first."""
    for finding in image.findings.present:
        for index, region in enumerate(finding.regions):
            yield _group(image, finding, index, region, context)


def _group(
    image: AnalysedImage, finding: Finding, index: int, region: Region, context: ResultContext
) -> ContainerContentItem:
    assert finding.probability is not None
    assert finding.threshold is not None
    definition, model = context.definitions[finding.key], image.findings.model
    identifier, uid = tracking(definition, index, image, context)
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=uid, identifier=identifier),
        referenced_region=ImageRegion(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=outline(region),
            source_image=SourceImageForRegion(image.sop_class_uid, image.sop_instance_uid),
        ),
        finding_type=finding_code(definition),
        finding_sites=[FindingSite(site_code(definition), laterality=laterality(definition, region, image.source))],
        measurements=[
            Measurement(
                name=_probability_name(definition, context),
                value=round(100 * finding.probability, 1),
                unit=codes.PERCENT,
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


def outline(region: Region) -> NDArray[np.float32]:
    """Return a region's box as a closed polyline of 9 points (x, y): corners, middles of edges, the start again.

    A viewer takes a rectangle of 5 points for a measurement to go on with, one of 9 for what it is.
    """
    xs = region.x, region.x + region.w / 2, region.x + region.w
    ys = region.y, region.y + region.h / 2, region.y + region.h
    around = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1), (0, 0)]
    return np.array([(xs[column], ys[row]) for column, row in around], dtype=np.float32)


def _probability_name(definition: FindingDefinition, context: ResultContext) -> Code:
    name = context.wording.say("Probability of {name}", name=definition.name)
    return Code(codes.PROBABILITY_VALUE, "DCM", name[:64])


def laterality(definition: FindingDefinition, region: Region, source: Dataset) -> Code | None:
    """Return the patient's side, if the site has two and the header says how the patient lies in the image.

    Patient Orientation names where a row's end and a column's end point to (PS3.3 C.7.6.1.1.1). In an image that stands
    upright or on its head, rows run from side to side; in one that lies on its side, columns do.
    """
    orientation = patient_orientation(source)
    if definition.site.value not in codes.PAIRED_SITES or orientation is None:
        return None
    along_rows, along_columns = orientation[0][0], orientation[1][0]
    if along_rows in "LR":
        towards, half = along_rows, half_of(region.x, region.w, int(source.Columns))
    elif along_columns in "LR":
        towards, half = along_columns, half_of(region.y, region.h, int(source.Rows))
    else:
        return None
    if half is None:
        return None
    return codes.LEFT if (half is Half.SECOND) == (towards == "L") else codes.RIGHT
