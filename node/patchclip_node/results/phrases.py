"""What results say: the sentences that reports, segments, annotations, pictures and pages share, in one language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Finding, ModelIdentity
from patchclip_core.values.statement import Statement, statement
from patchclip_core.values.wording import (
    ENGLISH,
    RESEARCH_STATEMENT,
    Wording,
    calibration_line,
    model_line,
    training_line,
)
from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.results.facts import AnalysedImage, SkippedImage, SourceFacts

SIDE_NOT_STATED: Final = "Left and right are those of the image; its header does not state the patient's side."


@dataclass(frozen=True, slots=True)
class Phrases:
    """A language that is spoken, and the names that findings have in it.

    definitions: key -> definition, its name in that language, for each finding that is spoken of.
    """

    wording: Wording = ENGLISH
    definitions: Mapping[str, FindingDefinition] = field(default_factory=lambda: MappingProxyType({}))

    def say(self, sentence: str, **values: object) -> str:
        """Say an English sentence that the program knows, with its {names} filled in."""
        return self.wording.say(sentence, **values)

    def name(self, finding: Finding) -> str:
        """Return what a finding is called."""
        return self.definitions[finding.key].name

    def honesty(self, model: ModelIdentity) -> tuple[str, ...]:
        """Return what every result says of the model before it says anything of the patient."""
        sentences = [self.say(RESEARCH_STATEMENT)]
        if not model.trained:
            sentences.append(
                self.say("UNTRAINED MODEL: its weights are random, nothing that it reports has a meaning.")
            )
        if model.statement:
            sentences.append(self.wording.repeat(model.statement))
        if model.trained:
            sentences.append(calibration_line(model, self.wording))
        return tuple(sentences)

    def credentials(self, model: ModelIdentity) -> tuple[str, ...]:
        """Return `honesty`, and what the weights were trained on, which takes a card's own words and their length."""
        return (*self.honesty(model), *((training_line(model, self.wording),) if model.trained else ()))

    def introduction(self, images: Sequence[AnalysedImage]) -> tuple[str, ...]:
        """Return what a report begins with: of the model `credentials` and who it is, the images, what was asked."""
        findings = images[0].findings
        return (
            *self.credentials(findings.model),
            f"{PRODUCT_NAME} {PRODUCT_VERSION}, {model_line(findings.model, self.wording)}.",
            *self.which_images(images),
            self.say("Looked for, and nothing else: {findings}.", findings=", ".join(map(self.name, findings))),
        )

    def statement(self, finding: Finding, facts: SourceFacts | None = None) -> Statement:
        """Return what is said of a finding. facts: of its image, by which its places are named."""
        places = () if facts is None else facts.places(finding.regions, self.wording)
        return statement(finding, self.definitions, self.wording, places)

    def lines(self, image: AnalysedImage) -> Iterator[str]:
        """Yield what is said of each finding of an image, a line each: what was found first, the surest before."""
        for finding in image.findings.in_order:
            yield self.statement(finding, image.facts).line

    def image_prefix(self, image: AnalysedImage) -> str:
        """Return what a sentence about one of several images begins with."""
        return "" if image.number is None else self.say("Image {number}: ", number=image.number)

    def which_images(self, images: Sequence[AnalysedImage]) -> Iterator[str]:
        """Yield which image each number means, as viewers name it; nothing where no image has a number.

        'Image 1: PA, series 2, image 7, 12:51'; where that is not enough to tell it from the others, with its UID.
        """
        names = [", ".join(self._known_by(image.facts)) for image in images]
        for image, name in zip(images, names, strict=True):
            if image.number is not None:
                uid = "" if name and names.count(name) == 1 else f"UID {image.facts.sop_instance_uid}"
                yield self.image_prefix(image) + ", ".join(filter(None, (name, uid)))

    def _known_by(self, facts: SourceFacts) -> Iterator[str]:
        if facts.view:
            yield facts.view
        if facts.series_number:
            yield self.say("series {number}", number=facts.series_number)
        if facts.instance_number:
            yield self.say("image {number}", number=facts.instance_number)
        if facts.time_of_day:
            yield facts.time_of_day

    def remarks(self, image: AnalysedImage) -> Iterator[str]:
        """Yield what the reader should know of an image: its quality, its header, whose left and right is meant."""
        for remark in dict.fromkeys((*image.remarks, *image.findings.remarks)):
            yield self.wording.repeat(remark)
        if not image.facts.states_side:
            yield self.say(SIDE_NOT_STATED)

    def not_analysed(self, image: SkippedImage) -> str:
        """Say which image was left out, and why."""
        reason = self.wording.repeat(image.reason)
        return self.say("Not analysed: image {uid}: {reason}", uid=image.sop_instance_uid, reason=reason)
