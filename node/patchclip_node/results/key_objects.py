"""The Key Object Selection of a study: its images with a finding above the threshold (TID 2010)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import CodedConcept
from pydicom import Dataset

from patchclip_core.wording import RESEARCH_STATEMENT, UNTRAINED_WARNING
from patchclip_node.dicom import codes
from patchclip_node.product import MANUFACTURER
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.equipment import finish
from patchclip_node.results.instance import series_description, unname_images
from patchclip_node.results.source import evidence, requests
from patchclip_node.results.sr_content import observing_device

SERIES_NUMBER: Final = 8400
"""The selection's Series Number is this plus the revision."""


def build_ko(images: Sequence[AnalysedImage], context: ResultContext) -> Dataset | None:
    """Return the selection of the images with a present finding, None where there is none."""
    chosen = [image for image in images if image.findings.present]
    if not chosen:
        return None
    source, model = chosen[0].source, chosen[0].findings.model
    names = ("ko", str(source.StudyInstanceUID), str(context.revision), model.weights_digest)
    keys = {finding.key: None for image in chosen for finding in image.findings.present}
    found = ", ".join(context.definitions[key].name for key in keys)
    warning = "" if model.trained else f"{UNTRAINED_WARNING}. "
    sources = [evidence(image.source) for image in chosen]
    selection = KeyObjectSelectionDocument(
        evidence=sources,
        content=KeyObjectSelection(
            CodedConcept.from_code(codes.OF_INTEREST),
            sources,
            observer_device_context=observing_device(model, context),
            description=f"{warning}AI: above the threshold: {found}. {RESEARCH_STATEMENT}",
        ),
        series_instance_uid=context.uids.uid("series", *names),
        series_number=SERIES_NUMBER + context.revision,
        sop_instance_uid=context.uids.uid("instance", *names),
        instance_number=1,
        manufacturer=MANUFACTURER,
        requested_procedures=requests(source) or None,
    )
    unname_images(selection)
    finish(selection, source, model, context, series_description("AI key images", model))
    return selection
