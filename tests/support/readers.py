"""Objects that a reader makes in a viewer, by highdicom, as another maker would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.pr import (
    AnnotationUnitsValues,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from patchclip_core.values.definitions import FindingDefinition

MAKER: Mapping[str, Any] = {"manufacturer": "A viewer", "manufacturer_model_name": "of another maker"}
READER = "Reader^Rita"
Box = tuple[int, int, int, int]


def _made(**further: Any) -> dict[str, Any]:
    uids = {"series_instance_uid": generate_uid(), "series_number": 77, "sop_instance_uid": generate_uid()}
    return {**uids, "instance_number": 1, **MAKER, **further}


def segmentation(source: Dataset, label: str, boxes: Sequence[Box], kind: str, code: Code | None = None) -> Dataset:
    """Return a BINARY or LABELMAP segmentation with one segment over these boxes (x, y, w, h)."""
    mask = np.zeros((1, int(source.Rows), int(source.Columns)), np.uint8)
    for x, y, w, h in boxes:
        mask[0, y : y + h, x : x + w] = 1
    segment = SegmentDescription(
        1, label, dictionary.SCT.MorphologicallyAbnormalStructure, code or dictionary.SCT.Tissue, "MANUAL"
    )
    return Segmentation([source], mask, kind, [segment], software_versions="1", device_serial_number="1", **_made())


def report(source: Dataset, name: Code, box: Box | None, state: Code | None = None) -> Dataset:
    """Return a TID 1500 report: a region of a finding, or an evaluation without a place."""
    from highdicom.sr import (
        CodeContentItem,
        Comprehensive3DSR,
        FindingSite,
        ImageRegion,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
        PersonObserverIdentifyingAttributes,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        RelationshipTypeValues,
        SourceImageForRegion,
        TrackingIdentifier,
    )

    x, y, w, h = box or (1, 1, 10, 10)
    outline = np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)], float)
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(generate_uid(), "region"),
        referenced_region=ImageRegion(
            "POLYLINE", outline, SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID)
        ),
        finding_type=name,
        finding_sites=[FindingSite(dictionary.SCT.Lung)],
    )
    observer = ObserverContext(
        dictionary.DCM.Person, PersonObserverIdentifyingAttributes(name=READER, login_name="rita")
    )
    measured = MeasurementReport(
        observation_context=ObservationContext(observer_person_context=observer),
        procedure_reported=dictionary.SCT.ImagingProcedure,
        imaging_measurements=[group],
    )
    if state is not None:
        holder = measured[0].ContentSequence
        holder[-1].ContentSequence = hd.sr.ContentSequence(
            [CodeContentItem(name, state, RelationshipTypeValues.CONTAINS)]
        )
    return Comprehensive3DSR(evidence=[source], content=measured, is_complete=True, **_made())


def key_objects(title: Code, named: Sequence[Dataset]) -> Dataset:
    """Return a key object selection that names these objects."""
    return KeyObjectSelectionDocument(evidence=list(named), content=KeyObjectSelection(title, list(named)), **_made())


def presentation_state(source: Dataset, words: str, box: Box) -> Dataset:
    """Return a GSPS with a polyline and a text."""
    x, y, w, h = box
    outline = np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)], float)
    layer = GraphicLayer("READER", 1)
    annotation = GraphicAnnotation(
        referenced_images=[source],
        graphic_layer=layer,
        graphic_objects=[GraphicObject("POLYLINE", outline, AnnotationUnitsValues.PIXEL)],
        text_objects=[TextObject(words, AnnotationUnitsValues.PIXEL, anchor_point=(x, y))],
    )
    return GrayscaleSoftcopyPresentationState(
        referenced_images=[source],
        graphic_layers=[layer],
        graphic_annotations=[annotation],
        content_label="READER",
        software_versions="1",
        device_serial_number="1",
        **_made(),
    )


def code_of(definition: FindingDefinition) -> Code:
    """Return a finding's code."""
    return Code(definition.code.value, definition.code.scheme, definition.code.meaning)
