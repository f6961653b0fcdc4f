"""A document around its content tree: what reports and selections of key objects share (PS3.3 C.17.2, C.17.6.2).

highdicom's own documents copy their content, read it again and search it through for what it refers to, which takes
longer than all else that a report needs; here those who make the content say what it refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from highdicom.sr import (
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    LanguageOfContentItemAndDescendants,
    ObserverContext,
    RelationshipTypeValues,
)
from pydicom import Dataset
from pydicom.sr.coding import Code

from patchclip_node.dicom import codes
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME
from patchclip_node.results.context import Subject


def document(content: Dataset, subject: Subject) -> Dataset:
    """Return a document: a content tree, the images that it refers to, and the orders behind them."""
    result = Dataset()
    result.update(content)
    result.CurrentRequestedProcedureEvidenceSequence = references(
        subject.facts.study_instance_uid,
        (
            (image.facts.series_instance_uid, image.facts.sop_class_uid, image.facts.sop_instance_uid)
            for image in subject.images
        ),
    )
    result.ReferencedPerformedProcedureStepSequence = []
    if subject.facts.requests:
        result.ReferencedRequestSequence = [request.dataset() for request in subject.facts.requests]
        for item in result.ReferencedRequestSequence:
            item.ReferencedStudySequence, item.RequestedProcedureCodeSequence = [], []
    return result


def report(content: Dataset, subject: Subject) -> Dataset:
    """Return a structured report, COMPLETE, UNVERIFIED and PRELIMINARY: no person has read it yet.

    It names the earlier report of its variant, which the same destinations have, and no other.
    """
    result = document(content, subject)
    result.CompletionFlag, result.VerificationFlag, result.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    result.PerformedProcedureCodeSequence = []
    predecessors = [each for each in subject.context.predecessors if each.variant == subject.variant.key]
    if predecessors:
        result.PredecessorDocumentsSequence = references(
            subject.facts.study_instance_uid,
            ((each.series_instance_uid, each.sop_class_uid, each.sop_instance_uid) for each in predecessors),
        )
    return result


def container(name: Code, items: Sequence[ContentItem]) -> ContainerContentItem:
    """Return a container below the root; its items are shown one below the other, not as running text."""
    container = ContainerContentItem(
        name=name, is_content_continuous=False, relationship_type=RelationshipTypeValues.CONTAINS
    )
    container.ContentSequence = ContentSequence(items)
    return container


def language(subject: Subject) -> LanguageOfContentItemAndDescendants:
    """Return the language of a report (TID 1204, CID 5000)."""
    wording = subject.phrases.wording
    return LanguageOfContentItemAndDescendants(CodedConcept(wording.language, "RFC5646", wording.name))


def observing_device(subject: Subject) -> ObserverContext:
    """Name this node as a device that observes (TID 1002)."""
    return ObserverContext(
        observer_type=CodedConcept.from_code(codes.DEVICE),
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=subject.device_uid,
            name=subject.context.station_name,
            manufacturer_name=MANUFACTURER,
            model_name=PRODUCT_NAME,
        ),
    )


def unname_references(content: Dataset) -> None:
    """Take the concept names off images and other objects: TID 2000 and 2010 have none, highdicom insists on one."""
    for item in content.get("ContentSequence", ()):
        if item.ValueType in {"IMAGE", "COMPOSITE"}:
            item.pop("ConceptNameCodeSequence", None)
        else:
            unname_references(item)


def references(study_instance_uid: str, instances: Iterable[tuple[str, str, str]]) -> list[Dataset]:
    """Return instances of one study (series, SOP class, SOP instance), each once, by series (PS3.3 table C.17-3)."""
    by_series: dict[str, list[Dataset]] = {}
    for series_uid, class_uid, instance_uid in dict.fromkeys(instances):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
        by_series.setdefault(series_uid, []).append(item)
    study = Dataset()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = study_instance_uid, []
    for series_uid, items in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedSOPSequence = series_uid, items
        study.ReferencedSeriesSequence.append(series)
    return [study]
