"""A document around its content tree: what reports and selections of key objects share (PS3.3 C.17.2, C.17.6.2).

highdicom's own documents copy their content, read it again and search it through for what it refers to, which takes
longer than all else that a report needs; here those who make the content say what it refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom import Dataset
from pydicom.uid import UID

from patchclip_node.domain.variants import ResultVariant
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.equipment import finish
from patchclip_node.results.instance import names_of_study, new_instance
from patchclip_node.results.series import series_description, series_number
from patchclip_node.results.source import requests


def new_document(
    sop_class_uid: UID,
    modality: str,
    content: Dataset,
    images: Sequence[AnalysedImage],
    context: ResultContext,
    variant: ResultVariant,
) -> Dataset:
    """Return a complete document; images: all that the content refers to, at least one, of one study."""
    source, model = images[0].source, images[0].findings.model
    document = new_instance(sop_class_uid, modality, names_of_study(variant, images[0], context), context)
    document.SeriesNumber = series_number(variant, context)
    document.update(content)
    document.CurrentRequestedProcedureEvidenceSequence = _references(
        str(source.StudyInstanceUID),
        ((str(image.source.SeriesInstanceUID), image.sop_class_uid, image.sop_instance_uid) for image in images),
    )
    document.ReferencedPerformedProcedureStepSequence = []
    orders = requests(source)
    if orders:
        document.ReferencedRequestSequence = orders
    finish(document, source, model, context, series_description(variant, model, context))
    return document


def new_report(
    sop_class_uid: UID,
    content: Dataset,
    images: Sequence[AnalysedImage],
    context: ResultContext,
    variant: ResultVariant,
) -> Dataset:
    """Return a structured report, COMPLETE, UNVERIFIED and PRELIMINARY: nobody has read it yet.

    It names the earlier report of its variant, which the same destinations have, and no other.
    """
    report = new_document(sop_class_uid, "SR", content, images, context, variant)
    report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    report.PerformedProcedureCodeSequence = []
    predecessors = [each for each in context.predecessors if each.variant == variant.key]
    if predecessors:
        report.PredecessorDocumentsSequence = _references(
            str(report.StudyInstanceUID),
            ((each.series_instance_uid, each.sop_class_uid, each.sop_instance_uid) for each in predecessors),
        )
    return report


def unname_images(content: Dataset) -> None:
    """Take the concept names off the images: those of TID 2000 and 2010 have none, highdicom insists on one."""
    for item in content.get("ContentSequence", ()):
        if item.ValueType == "IMAGE":
            item.pop("ConceptNameCodeSequence", None)
        else:
            unname_images(item)


def _references(study_instance_uid: str, instances: Iterable[tuple[str, str, str]]) -> list[Dataset]:
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
