"""From a study's files to its results, without ledger, spool or network: what the worker and `analyze` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, TypeVar

from PIL import Image
from pydicom import Dataset

from patchclip_core.drawing import as_jpeg, draw_overlay, prepared_picture
from patchclip_core.errors import UnreadableImageError, UnsuitableImageError
from patchclip_core.io.likeness import REASON, REMARK, load_likeness
from patchclip_core.io.vocabulary import Vocabulary
from patchclip_core.values.results import Analyzer, Findings, Radiograph
from patchclip_node.dicom.headers import read_dataset
from patchclip_node.dicom.image_facts import image_facts
from patchclip_node.dicom.select import select
from patchclip_node.domain.errors import UnreadableInstanceError
from patchclip_node.domain.pixel_check import PixelCheck
from patchclip_node.domain.routes import NO_ROUTES, Route, Routes
from patchclip_node.domain.variants import STANDARD_VARIANTS, Drawing, PictureStyle, ResultVariant
from patchclip_node.results import ResultContext, each_result
from patchclip_node.results.facts import AnalysedImage, Picture, SkippedImage
from patchclip_node.results.phrases import Phrases
from patchclip_node.results.source import read_facts
from patchclip_node.services.analyse.outcome import (
    Analysed,
    AnalysedFile,
    Rejected,
    SkippedFile,
    StepTimer,
    StudyImage,
    StudyOutcome,
)
from patchclip_node.services.analyse.patients import NAMES_NO_PATIENT, Patient, two_patients

BATCH_IMAGES = 8
"""Images that are decoded and analysed together: bounds the memory that a study of many images takes."""

_T = TypeVar("_T")


class Decoder(Protocol):
    """Turns a file into pixels; `patchclip_core.io.DecodingProcess` does it in a process that can be killed."""

    def read(self, path: Path) -> Radiograph:
        """Decode; raises `UnreadableImageError`, `UnsuitableImageError`, `DecoderTimeoutError`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    image: StudyImage
    source: Dataset
    remarks: tuple[str, ...]
    route: Route


@dataclass(frozen=True, slots=True, eq=False)
class _Base:
    """A radiograph, and the picture of it that is drawn on; None where that has not been made."""

    radiograph: Radiograph
    picture: Image.Image | None = None


class Taker:
    """Is given at once what is made of a study, while the rest is being made; this one does nothing with it."""

    def drawn(self, file: AnalysedFile) -> None:
        """An image is analysed, and its picture drawn."""

    def built(self, variant: ResultVariant, dataset: Dataset) -> None:
        """A result is built."""


_NO_TAKER: Final = Taker()


class _LeftOut:
    """The images that are not analysed, each with its reason; whoever watches hears of each at once."""

    def __init__(self, settled: Callable[[StudyImage], None]) -> None:
        self.files: list[SkippedFile] = []
        self._settled = settled

    def add(self, file: SkippedFile) -> None:
        """Remember one."""
        self.files.append(file)
        self._settled(file.image)


def analyse_instances(
    images: Sequence[StudyImage],
    decoder: Decoder,
    analyzer: Analyzer,
    context: ResultContext,
    variants: Sequence[ResultVariant] = STANDARD_VARIANTS,
    overlay: PictureStyle | None = None,
    vocabulary: Vocabulary | None = None,
    pixel_check: PixelCheck = PixelCheck.OFF,
    settled: Callable[[StudyImage], None] = lambda _: None,
    routes: Routes = NO_ROUTES,
    packed: Callable[[Image.Image], bytes] = as_jpeg,
    taker: Taker = _NO_TAKER,
) -> StudyOutcome:
    """Analyse the images of one study and build its result objects, those that `variants` name.

    overlay: how a picture of each image is drawn, for whoever looks without a viewer, None where none does; packed: as
    what file.
    vocabulary: in which words headers name part and view; by default the shipped one. pixel_check: what becomes of an
    image that does not look like a frontal chest radiograph. settled: called with each image as soon as it is analysed
    or left out. routes: which of the frontal chest radiographs are analysed. taker: is given what is made, in the order
    in which it is returned.

    An image that cannot be read or is not a frontal chest radiograph gets its reason and does not keep the others from
    being analysed. `DecoderTimeoutError`, `OSError` and whatever the model raises pass through: the caller decides
    whether to try again.
    """
    timer = StepTimer()
    styles = dict.fromkeys(variant.picture for variant in variants if variant.picture)
    if overlay is not None:
        styles.setdefault(overlay)
    skipped = _LeftOut(settled)
    with timer.step("select"):
        sources = list(_read_sources(images, skipped))
        patients = [Patient.of(source) for _, source in sources]
        if reason := two_patients(patients):
            for image, _ in sources:
                settled(image)
            return Rejected(reason, tuple(SkippedFile(image, reason) for image in images))
        candidates = list(_select(list(_named(sources, patients, skipped)), vocabulary, routes, skipped))
    analysed: list[AnalysedFile] = []
    for batch in _batches(candidates, BATCH_IMAGES):
        with timer.step("decode"):
            decoded = list(_look_at(_decode(batch, decoder, skipped), pixel_check, skipped))
        if not decoded:
            continue
        radiographs = [radiograph for _, radiograph in decoded]
        # What does not depend on the findings is done while the model is at work.
        with timer.step("model"), ThreadPoolExecutor(1, thread_name_prefix="preparing") as beside:
            prepare = partial(_prepared, styles=styles)
            prepared = beside.map(prepare, radiographs) if styles else [None] * len(radiographs)
            found = analyzer.analyze_batch(radiographs)
        with timer.step("overlay"):
            for (candidate, radiograph), findings, picture in zip(decoded, found, prepared, strict=True):
                base = _Base(radiograph, picture)
                file = _analysed(candidate, base, findings, context, styles, overlay, packed)
                analysed.append(file)
                taker.drawn(file)
                settled(candidate.image)
    if not analysed:
        return Rejected(_reason_for_all(skipped.files), tuple(skipped.files))
    with timer.step("results"):
        left_out = [
            SkippedImage(file.image.sop_class_uid, file.image.sop_instance_uid, file.reason) for file in skipped.files
        ]
        results = []
        for variant, dataset in each_result([file.result for file in analysed], left_out, context, variants):
            results.append((variant, dataset))
            taker.built(variant, dataset)
    return Analysed(tuple(analysed), tuple(skipped.files), tuple(results), timer.seconds)


def _read_sources(images: Sequence[StudyImage], skipped: _LeftOut) -> Iterator[tuple[StudyImage, Dataset]]:
    for image in images:
        try:
            yield image, read_dataset(image.path)
        except UnreadableInstanceError as error:
            skipped.add(SkippedFile(image, str(error)))


def _named(
    sources: Sequence[tuple[StudyImage, Dataset]], patients: Sequence[Patient], skipped: _LeftOut
) -> Iterator[tuple[StudyImage, Dataset]]:
    """Leave out images that name no patient beside such as do: it is unknown whose their results would be."""
    are_named = [patient.is_named for patient in patients]
    for (image, source), is_named in zip(sources, are_named, strict=True):
        if is_named or not any(are_named):
            yield image, source
        else:
            skipped.add(SkippedFile(image, NAMES_NO_PATIENT))


def _select(
    sources: Sequence[tuple[StudyImage, Dataset]],
    vocabulary: Vocabulary | None,
    routes: Routes,
    skipped: _LeftOut,
) -> Iterator[_Candidate]:
    for image, source in sources:
        selection = select(source, vocabulary)
        if not selection.accepted:
            skipped.add(SkippedFile(image, selection.reason or "not a frontal chest radiograph"))
            continue
        route = routes.choose(image_facts(source, image.sender, image.priority, vocabulary)).route
        if route.analyse:
            yield _Candidate(image, source, selection.remarks, route)
        else:
            skipped.add(SkippedFile(image, route.refusal))


def _decode(
    batch: Sequence[_Candidate], decoder: Decoder, skipped: _LeftOut
) -> Iterator[tuple[_Candidate, Radiograph]]:
    for candidate in batch:
        try:
            yield candidate, decoder.read(candidate.image.path)
        except (UnreadableImageError, UnsuitableImageError) as error:
            skipped.add(SkippedFile(candidate.image, str(error)))


def _look_at(
    decoded: Iterable[tuple[_Candidate, Radiograph]], check: PixelCheck, skipped: _LeftOut
) -> Iterator[tuple[_Candidate, Radiograph]]:
    """Ask the pixels, too, whether an image is a frontal chest radiograph."""
    for candidate, radiograph in decoded:
        if check is PixelCheck.OFF or load_likeness().recognises(radiograph.pixels):
            yield candidate, radiograph
        elif check is PixelCheck.REMARK:
            yield candidate, replace(radiograph, remarks=(*radiograph.remarks, REMARK))
        else:
            skipped.add(SkippedFile(candidate.image, REASON))


def _analysed(
    candidate: _Candidate,
    base: _Base,
    findings: Findings,
    context: ResultContext,
    styles: Collection[PictureStyle],
    overlay: PictureStyle | None,
    packed: Callable[[Image.Image], bytes],
) -> AnalysedFile:
    radiograph = base.radiograph
    beside = (*candidate.remarks, *radiograph.remarks)
    assert radiograph.display is not None, "what is decoded of a DICOM file says how it was displayed"
    result = AnalysedImage(
        read_facts(candidate.source),
        findings,
        radiograph.display,
        tuple(remark for remark in dict.fromkeys(beside) if remark not in findings.remarks),
    )
    drawn = {style: _drawn(base, result, context, style) for style in styles}
    return AnalysedFile(
        candidate.image,
        with_pictures(result, drawn),
        None if overlay is None else packed(drawn[overlay]),
        candidate.route,
    )


def with_pictures(image: AnalysedImage, drawn: Mapping[PictureStyle, Image.Image]) -> AnalysedImage:
    """Return an image with the pictures that were drawn of it."""
    pictures = {style: Picture(one.height, one.width, one.tobytes()) for style, one in drawn.items()}
    return replace(image, pictures=pictures)


def draw_picture(
    radiograph: Radiograph, image: AnalysedImage, context: ResultContext, style: PictureStyle
) -> Image.Image:
    """Return a picture of what was found in an image, in a style."""
    return _drawn(_Base(radiograph), image, context, style)


def _prepared(radiograph: Radiograph, styles: Collection[PictureStyle]) -> Image.Image | None:
    """Return what the first style is drawn on; mostly there is one at most."""
    return next((prepared_picture(radiograph, style.longest_side_px) for style in styles), None)


def _drawn(base: _Base, image: AnalysedImage, context: ResultContext, style: PictureStyle) -> Image.Image:
    """Return a picture of what was found, which says of the image what a report says: it may be all that arrives."""
    spoken = context.phrases(style.language)
    return draw_overlay(
        base.radiograph,
        image.findings,
        spoken.definitions,
        heat_map=style.drawing is Drawing.HEAT_MAP,
        remarks=Phrases().remarks(image),
        wording=spoken.wording,
        longest_side_px=style.longest_side_px,
        orientation=image.facts.patient_orientation,
        prepared=base.picture,
    )


def _reason_for_all(skipped: Sequence[SkippedFile]) -> str:
    if not skipped:
        return "the study holds no image"
    if len(skipped) == 1:
        return skipped[0].reason
    counted = Counter(file.reason for file in skipped)
    reasons = "; ".join(reason if count == 1 else f"{count} images: {reason}" for reason, count in counted.items())
    return f"none of the {len(skipped)} images can be analysed: {reasons}"


def _batches(items: Sequence[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
