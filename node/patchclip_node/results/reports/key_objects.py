"""The Key Object Selection of a study: its images with a finding above the threshold (TID 2010)."""

from __future__ import annotations

from highdicom.ko import KeyObjectSelection
from highdicom.sr import CodedConcept
from pydicom import Dataset

from patchclip_core.values.results import Findings
from patchclip_node.dicom import codes
from patchclip_node.results.context import Subject
from patchclip_node.results.reports.document import document, observing_device, unname_references


def is_key_image(findings: Findings) -> bool:
    """Tell whether an image is selected."""
    return bool(findings.found)


def key_objects(subject: Subject) -> Dataset:
    """Return the content of the selection."""
    selection = KeyObjectSelection(
        CodedConcept.from_code(codes.OF_INTEREST),
        [image.facts.evidence() for image in subject.images],
        observer_device_context=observing_device(subject),
        description=_description(subject),
    )
    content = selection[0]
    unname_references(content)
    return document(content, subject)


def _description(subject: Subject) -> str:
    phrases = subject.phrases
    lines = [
        phrases.image_prefix(image) + phrases.statement(finding, image.facts).in_short
        for image in subject.images
        for finding in image.findings.found
    ]
    found = phrases.say("AI: above the threshold: {found}.", found="; ".join(lines))
    named = [f"{image}." for image in phrases.which_images(subject.study)]
    return " ".join((found, *named, *phrases.credentials(subject.model)))
