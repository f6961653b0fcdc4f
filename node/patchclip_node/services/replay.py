"""Kept studies are analysed by another model, and compared with what was said of them; nothing is returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from patchclip_core.io.vocabulary import Vocabulary
from patchclip_core.values.results import Analyzer, FindingState
from patchclip_node.domain.errors import CannotDrawError
from patchclip_node.domain.pixel_check import PixelCheck
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.routes import NO_ROUTES, Routes
from patchclip_node.domain.variants import PictureStyle
from patchclip_node.ports.ledger import Studies
from patchclip_node.ports.spool import Spool
from patchclip_node.results import ResultContext
from patchclip_node.services.analyse.images import Decoder, analyse_instances
from patchclip_node.services.analyse.outcome import AnalysedFile, Rejected
from patchclip_node.services.analyse.study import newest_copies, study_image
from patchclip_node.services.study_summary import FindingSummary, ImageSummary, read_summary


@dataclass(frozen=True, slots=True)
class Said:
    """What a model says of a finding; probability: None where it is not evaluated."""

    state: FindingState
    probability: float | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One finding of one image. before, after: None where that model knows nothing of the finding."""

    finding: str
    before: Said | None
    after: Said | None

    @property
    def has_changed(self) -> bool:
        """Whether a reader is told something else."""
        return (self.before and self.before.state) != (self.after and self.after.state)


@dataclass(frozen=True, slots=True, eq=False)
class ReplayedImage:
    """One image, by both models. before_file, after_file: a picture by each, JPEG or PNG.

    None where it can't be drawn.
    """

    sop_instance_uid: str
    findings: tuple[Compared, ...]
    before_file: bytes | None
    after_file: bytes | None


@dataclass(frozen=True, slots=True, eq=False)
class ReplayedStudy:
    """One study, by both models. before: name, version and digest of what had analysed it; '' where nothing had.

    trouble: why there is nothing to compare, '' where there is.
    """

    study_instance_uid: str
    revision: int
    before: str
    images: tuple[ReplayedImage, ...]
    trouble: str = ""

    @property
    def changed(self) -> list[Compared]:
        """What a reader is told otherwise."""
        return [one for image in self.images for one in image.findings if one.has_changed]


@dataclass(frozen=True, slots=True)
class Replay:
    """Analyses studies of the ledger by another model. It owns neither decoder nor model, and writes nothing.

    draw: a picture of an image of a revision, as it was analysed before; see `services.pictures`.
    """

    studies: Studies
    spool: Spool
    decoder: Decoder
    analyzer: Analyzer
    context: Callable[[], ResultContext]
    draw: Callable[[StudyRecord, ImageSummary], bytes]
    vocabulary: Vocabulary | None = None
    pixel_check: PixelCheck = PixelCheck.OFF
    routes: Routes = NO_ROUTES

    def run(self, study_instance_uid: str) -> ReplayedStudy:
        """Analyse a study once more. Raises `KeyError` for one that is unknown, and what `analyse_instances` raises."""
        revisions = self.studies.revisions(study_instance_uid)
        if not revisions:
            raise KeyError(study_instance_uid)
        analysed = [(one, found) for one in revisions if (found := read_summary(one.summary_json)) is not None]
        if not analysed:
            newest = revisions[-1].revision
            return ReplayedStudy(study_instance_uid, newest, "", (), "nothing of it was analysed before")
        study, summary = analysed[-1]
        before = f"{summary.model.name} {summary.model.version} {summary.model.weights_digest}"
        records = [one for one in self.studies.instances(study_instance_uid) if not one.own_result]
        with ExitStack() as held:
            try:
                copies = newest_copies([one for one in records if one.revision <= study.revision])
                images = [study_image(record, held, self.spool) for record in copies.values()]
            except FileNotFoundError:
                return ReplayedStudy(study_instance_uid, study.revision, before, (), "an image is not in the spool")
            outcome = analyse_instances(
                images,
                self.decoder,
                self.analyzer,
                self.context(),
                (),
                PictureStyle(),
                vocabulary=self.vocabulary,
                pixel_check=self.pixel_check,
                routes=self.routes,
            )
            if isinstance(outcome, Rejected):
                return ReplayedStudy(study_instance_uid, study.revision, before, (), outcome.reason)
            after = {file.image.sop_instance_uid: file for file in outcome.images}
            images_said = tuple(self._image(study, one, after.get(one.sop_instance_uid)) for one in summary.images)
            return ReplayedStudy(study_instance_uid, study.revision, before, images_said)

    def _image(self, study: StudyRecord, before: ImageSummary, after: AnalysedFile | None) -> ReplayedImage:
        """Lay both answers side by side. after: None where the image is left out now."""
        said = {}
        if after is not None:
            said = {one.key: Said(one.state, one.probability) for one in after.result.findings}
        return ReplayedImage(
            before.sop_instance_uid,
            compared(before.findings, said),
            self._picture(study, before),
            None if after is None else after.overlay,
        )

    def _picture(self, study: StudyRecord, image: ImageSummary) -> bytes | None:
        try:
            return self.draw(study, image)
        except CannotDrawError:
            return None


def told_otherwise(studies: Sequence[ReplayedStudy]) -> dict[str, tuple[int, int]]:
    """Return of each finding in how many studies it is told now and was not, and was told and is not now."""
    counted: dict[str, tuple[int, int]] = {}
    for study in studies:
        findings = [one for image in study.images for one in image.findings]
        for key in dict.fromkeys(one.finding for one in findings):
            before = any(one.before is not None and one.before.state.is_found for one in findings if one.finding == key)
            now = any(one.after is not None and one.after.state.is_found for one in findings if one.finding == key)
            more, less = counted.get(key, (0, 0))
            counted[key] = (more + (now and not before), less + (before and not now))
    return counted


def compared(before: Sequence[FindingSummary], after: Mapping[str, Said]) -> tuple[Compared, ...]:
    """Lay what two models say of an image side by side; findings that one of them alone knows come last."""
    said = {one.key: Said(one.state, one.probability) for one in before}
    keys = [*said, *(key for key in after if key not in said)]
    return tuple(Compared(key, said.get(key), after.get(key)) for key in keys)
