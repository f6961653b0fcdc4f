"""What a node would do with an image, and why, without doing it: header's rule, pixel check and routes side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from patchclip_core.errors import DecoderTimeoutError, UnreadableImageError, UnsuitableImageError
from patchclip_core.io.likeness import REASON, load_likeness
from patchclip_core.io.selection import Selection
from patchclip_core.io.vocabulary import Vocabulary
from patchclip_node.dicom.headers import read_dataset, read_header
from patchclip_node.dicom.image_facts import image_facts
from patchclip_node.dicom.select import select
from patchclip_node.domain.pixel_check import PixelCheck
from patchclip_node.domain.records import InstanceHeader
from patchclip_node.domain.routes import Choice, Dispatch, ImageFacts, Routes
from patchclip_node.services.analyse.images import Decoder


@dataclass(frozen=True, slots=True)
class PixelOutlook:
    """What the pixel check sees. recognised: None where it could not look, for the reason in `trouble`."""

    recognised: bool | None
    score: float | None = None
    trouble: str = ""

    @property
    def line(self) -> str:
        """In words."""
        if self.recognised is None:
            return self.trouble
        return "they look like an upright frontal chest radiograph" if self.recognised else REASON


NOT_LOOKED_AT = PixelOutlook(None, trouble="not looked at")


@dataclass(frozen=True, slots=True)
class ImageOutlook:
    """What would become of an image.

    header: what the rule of the header says. reason: why it would not be analysed; None: it would be.
    """

    path: Path
    instance: InstanceHeader
    facts: ImageFacts
    header: Selection
    pixels: PixelOutlook
    choice: Choice
    reason: str | None

    @property
    def is_analysed(self) -> bool:
        """Whether it would be analysed."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Foresight:
    """Judges images as a node with these settings would.

    decoder: turns files into pixels; None: pixels are not looked at. check: what becomes of unlikely ones.
    """

    routes: Routes
    check: PixelCheck
    decoder: Decoder | None = None
    vocabulary: Vocabulary | None = None

    def of(self, path: Path, sender: str = "") -> ImageOutlook:
        """Judge an image that `sender` would send. Raises `UnreadableInstanceError` and `OSError`."""
        instance, dataset = read_header(path), read_dataset(path)
        header = select(dataset, self.vocabulary)
        facts = image_facts(dataset, sender, instance.priority, self.vocabulary)
        choice, pixels = self.routes.choose(facts), self._pixels(path)
        return ImageOutlook(path, instance, facts, header, pixels, choice, self._reason(header, choice, pixels))

    def _pixels(self, path: Path) -> PixelOutlook:
        if self.decoder is None:
            return NOT_LOOKED_AT
        try:
            score = load_likeness().score(self.decoder.read(path).pixels)
        except (UnreadableImageError, UnsuitableImageError, DecoderTimeoutError) as error:
            return PixelOutlook(None, trouble=str(error))
        return PixelOutlook(score >= load_likeness().threshold, score)

    def _reason(self, header: Selection, choice: Choice, pixels: PixelOutlook) -> str | None:
        """Say why an image is not analysed, in the order in which a node looks."""
        if not header.accepted:
            return header.reason or "not a frontal chest radiograph"
        if not choice.route.analyse:
            return choice.route.refusal
        if pixels.recognised is None and pixels is not NOT_LOOKED_AT:
            return pixels.trouble
        return REASON if self.check is PixelCheck.REJECT and pixels.recognised is False else None


def dispatch_by_study(outlooks: Iterable[ImageOutlook]) -> dict[str, Dispatch]:
    """Return, by Study Instance UID, what would become of the results; studies without any are left out."""
    routes: dict[str, list[ImageOutlook]] = {}
    for one in outlooks:
        if one.is_analysed:
            routes.setdefault(one.instance.study_instance_uid, []).append(one)
    return {uid: Dispatch.of(one.choice.route for one in images) for uid, images in routes.items()}
