"""The Key Object Selection of a study: its images with a finding above the threshold (TID 2010)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from highdicom.ko import KeyObjectSelection
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from patchclip_node.dicom import codes
from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.document import new_document, unname_images
from patchclip_node.results.sr_content import observing_device
from patchclip_node.results.wording import credentials, image_prefix, state_line, which_images

_USUAL: Final = ResultVariant(ResultKind.KO)


def build_ko(
    images: Sequence[AnalysedImage], context: ResultContext, variant: ResultVariant = _USUAL
) -> Dataset | None:
    """Return the selection of the images with a present finding, None where there is none."""
    chosen = [image for image in images if image.findings.present]
    if not chosen:
        return None
    model = chosen[0].findings.model
    selection = KeyObjectSelection(
        CodedConcept.from_code(codes.OF_INTEREST),
        [image.source for image in chosen],
        observer_device_context=observing_device(model, context),
        description=_description(images, context),
    )
    content = selection[0]
    unname_images(content)
    return new_document(KeyObjectSelectionDocumentStorage, "KO", content, chosen, context, variant)


def _description(images: Sequence[AnalysedImage], context: ResultContext) -> str:
    wording = context.wording
    lines = [
        image_prefix(image, wording) + state_line(context.definitions[finding.key].name, finding, wording)
        for image in images
        for finding in image.findings.present
    ]
    found = wording.say("AI: above the threshold: {found}.", found="; ".join(lines))
    named = [f"{image}." for image in which_images(images, wording)]
    return " ".join((found, *named, *credentials(images[0].findings.model, wording)))
