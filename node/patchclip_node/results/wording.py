"""What results say: the sentences that the reports, the segments, the annotations and the pages share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

from patchclip_core.values.results import Finding, FindingState, ModelIdentity, Region
from patchclip_core.values.wording import (
    ENGLISH,
    RESEARCH_STATEMENT,
    Wording,
    calibration_line,
    model_line,
    percent,
    training_line,
)
from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.results.context import AnalysedImage, ResultContext, SkippedImage
from patchclip_node.results.source import states_side, valid_text

SIDE_NOT_STATED = "Left and right are those of the image; its header does not state the patient's side."

_STATE_LINES = {
    FindingState.PRESENT: "{name}: present, probability {probability}, threshold {threshold}",
    FindingState.ABSENT: "{name}: absent, probability {probability}, threshold {threshold}",
}


def honesty(model: ModelIdentity, wording: Wording = ENGLISH) -> tuple[str, ...]:
    """Return what every result says of the model before it says anything of the patient."""
    sentences = [wording.say(RESEARCH_STATEMENT)]
    if not model.trained:
        sentences.append(wording.say("UNTRAINED MODEL: its weights are random, nothing that it reports has a meaning."))
    if model.statement:
        sentences.append(wording.repeat(model.statement))
    if model.trained:
        sentences.append(calibration_line(model, wording))
    return tuple(sentences)


def credentials(model: ModelIdentity, wording: Wording = ENGLISH) -> tuple[str, ...]:
    """Return `honesty`, and what the weights were trained on, which takes a card's own words and their length."""
    return (*honesty(model, wording), *((training_line(model, wording),) if model.trained else ()))


def introduction(images: Sequence[AnalysedImage], context: ResultContext) -> tuple[str, ...]:
    """Return what a report begins with: of the model `credentials` and who it is, the images, what was asked."""
    findings, wording = images[0].findings, context.wording
    asked = ", ".join(context.definitions[finding.key].name for finding in findings)
    return (
        *credentials(findings.model, wording),
        f"{PRODUCT_NAME} {PRODUCT_VERSION}, {model_line(findings.model, wording)}.",
        *which_images(images, wording),
        wording.say("Looked for, and nothing else: {findings}.", findings=asked),
    )


def state_line(name: str, finding: Finding, wording: Wording = ENGLISH) -> str:
    """Say in one line what was found: 'pleural effusion: present, probability 87 %, threshold 50 %'."""
    if finding.state is FindingState.NOT_EVALUATED:
        reason = wording.repeat(finding.reason or "")
        return wording.say("{name}: not evaluated, {reason}", name=name, reason=reason)
    assert finding.probability is not None
    assert finding.threshold is not None
    line = wording.say(
        _STATE_LINES[finding.state],
        name=name,
        probability=percent(finding.probability),
        threshold=percent(finding.threshold),
    )
    return f"{line} ({wording.say('asked by free text, experimental')})" if finding.experimental else line


def image_prefix(image: AnalysedImage, wording: Wording) -> str:
    """Return what a sentence about one of several images begins with."""
    return "" if image.number is None else wording.say("Image {number}: ", number=image.number)


def which_images(images: Sequence[AnalysedImage], wording: Wording) -> Iterator[str]:
    """Yield which image each number means, as viewers name it; nothing where no image has a number.

    'Image 1: PA, series 2, image 7, 12:51'; where that is not enough to tell it from the others, with its UID.
    """
    names = [", ".join(_known_by(image, wording)) for image in images]
    for image, name in zip(images, names, strict=True):
        if image.number is not None:
            uid = "" if name and names.count(name) == 1 else f"UID {image.sop_instance_uid}"
            yield image_prefix(image, wording) + ", ".join(filter(None, (name, uid)))


def _known_by(image: AnalysedImage, wording: Wording) -> Iterator[str]:
    source = image.source
    if view := valid_text(source, "ViewPosition"):
        yield view
    if series := valid_text(source, "SeriesNumber"):
        yield wording.say("series {number}", number=series)
    if instance := valid_text(source, "InstanceNumber"):
        yield wording.say("image {number}", number=instance)
    time = valid_text(source, "AcquisitionTime") or valid_text(source, "ContentTime")
    if len(time) >= 4:
        yield f"{time[:2]}:{time[2:4]}"


def remarks(image: AnalysedImage, wording: Wording) -> Iterator[str]:
    """Yield what the reader should know of an image: its quality, its header, whose left and right is meant."""
    for remark in dict.fromkeys((*image.remarks, *image.findings.remarks)):
        yield wording.repeat(remark)
    if not states_side(image.source):
        yield wording.say(SIDE_NOT_STATED)


def not_analysed(image: SkippedImage, wording: Wording) -> str:
    """Say which image was left out, and why."""
    reason = wording.repeat(image.reason)
    return wording.say("Not analysed: image {uid}: {reason}", uid=image.sop_instance_uid, reason=reason)


class Half(Enum):
    """One half of an image: left or upper, right or lower."""

    FIRST = "first"
    SECOND = "second"


def half_of(start: float, extent: float, whole: int) -> Half | None:
    """Return the half that holds three quarters or more of [start, start + extent], None where neither does."""
    middle = whole / 2
    in_first = (min(start + extent, middle) - min(start, middle)) / extent if extent else 0.5
    if in_first >= 0.75:
        return Half.FIRST
    return Half.SECOND if in_first <= 0.25 else None


def image_side(region: Region, columns: int) -> str | None:
    """Return 'left' or 'right' of the image for a region that lies mostly in one half, None for one in the middle."""
    half = half_of(region.x, region.w, columns)
    return None if half is None else {Half.FIRST: "left", Half.SECOND: "right"}[half]
