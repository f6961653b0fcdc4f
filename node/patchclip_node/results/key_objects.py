"""The Key Object Selection of a study: its images with a finding above the threshold (TID 2010)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import CodedConcept
from pydicom import Dataset

from patchclip_node.dicom import codes
from patchclip_node.domain.records import ResultKind, ResultVariant
from patchclip_node.product import MANUFACTURER
from patchclip_node.results.context import AnalysedImage, ResultContext
from patchclip_node.results.equipment import finish
from patchclip_node.results.instance import names_of_study, unname_images
from patchclip_node.results.series import series_description, series_number
from patchclip_node.results.source import evidence, requests
from patchclip_node.results.sr_content import observing_device
from patchclip_node.results.wording import credentials, state_line

_USUAL: Final = ResultVariant(ResultKind.KO)


def build_ko(
    images: Sequence[AnalysedImage], context: ResultContext, variant: ResultVariant = _USUAL
) -> Dataset | None:
    """Return the selection of the images with a present finding, None where there is none."""
    chosen = [image for image in images if image.findings.present]
    if not chosen:
        return None
    source, model = chosen[0].source, chosen[0].findings.model
    names = names_of_study(variant, chosen[0], context)
    sources = [evidence(image.source) for image in chosen]
    selection = KeyObjectSelectionDocument(
        evidence=sources,
        content=KeyObjectSelection(
            CodedConcept.from_code(codes.OF_INTEREST),
            sources,
            observer_device_context=observing_device(model, context),
            description=_description(chosen, context),
        ),
        series_instance_uid=context.uids.uid("series", *names),
        series_number=series_number(variant, context),
        sop_instance_uid=context.uids.uid("instance", *names),
        instance_number=1,
        manufacturer=MANUFACTURER,
        requested_procedures=requests(source) or None,
    )
    unname_images(selection)
    finish(selection, source, model, context, series_description(variant, model, context))
    return selection


def _description(chosen: Sequence[AnalysedImage], context: ResultContext) -> str:
    lines = {
        state_line(context.definitions[finding.key].name, finding, context.wording): None
        for image in chosen
        for finding in image.findings.present
    }
    found = context.wording.say("AI: above the threshold: {found}.", found="; ".join(lines))
    return " ".join((found, *credentials(chosen[0].findings.model, context.wording)))
