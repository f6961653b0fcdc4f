"""Pictures of what was found are drawn when someone asks for one, from the image and the findings that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from PIL import Image

from patchclip_core.drawing import as_jpeg
from patchclip_core.errors import (
    DecoderTimeoutError,
    KeptFindingsError,
    UnreadableImageError,
    UnsuitableImageError,
)
from patchclip_core.values.results import Radiograph
from patchclip_node.dicom.headers import read_dataset
from patchclip_node.domain.errors import (
    CannotDrawError,
    DamagedFileError,
    SpoolUnavailableError,
    StorageFullError,
    UnreadableInstanceError,
)
from patchclip_node.domain.records import InstanceRecord, NewResult, StudyRecord
from patchclip_node.domain.variants import PictureStyle, ResultVariant
from patchclip_node.ports.ledger import Studies
from patchclip_node.ports.spool import Spool
from patchclip_node.results import ResultContext, each_result, encode
from patchclip_node.results.facts import AnalysedImage
from patchclip_node.results.source import read_facts
from patchclip_node.services.analyse.images import Decoder, draw_picture, with_pictures
from patchclip_node.services.analyse.issuer import ResultIssuer
from patchclip_node.services.analyse.keeping import delete, new_result
from patchclip_node.services.analyse.maps import decode_findings
from patchclip_node.services.analyse.study import newest_copies
from patchclip_node.services.study_summary import ImageSummary, read_summary


@dataclass(frozen=True, slots=True)
class Painter:
    """Draws what a revision's images show. For several threads; it owns no decoder."""

    studies: Studies
    spool: Spool
    decoder: Decoder
    issuer: ResultIssuer

    def picture(self, study: StudyRecord, image: ImageSummary, now: datetime) -> bytes:
        """Return the picture of an image as the pages show it: a JPEG file, or what an earlier version kept.

        A drawn one has at most `domain.variants.LONGEST_SIDE_PX` a side, legend included. Raises `CannotDrawError`.
        """
        if image.overlay_key is None:
            return as_jpeg(self.drawn(study, image, now))
        with _told(), self.spool.local_path(image.overlay_key) as kept:
            return kept.read_bytes()

    def drawn(self, study: StudyRecord, image: ImageSummary, now: datetime) -> Image.Image:
        """Draw the picture of an image as the pages show it: RGB; see `picture`. Raises `CannotDrawError`."""
        radiograph, analysed = self._read(self._copies(study), image)
        return draw_picture(radiograph, analysed, self.issuer.context(study.revision, now), PictureStyle())

    def build(self, study: StudyRecord, variant: ResultVariant, now: datetime) -> list[NewResult]:
        """Build a revision's objects of a variant of pictures, and keep them in the spool.

        Raises `CannotDrawError`; then none is left there.
        """
        style, summary = variant.picture, read_summary(study.summary_json)
        assert style is not None, "only pictures are drawn later"
        if summary is None:
            raise CannotDrawError("nothing is kept of what was found")
        context, copies = self.issuer.context(study.revision, now), self._copies(study)
        images = [self._with_picture(copies, image, context, style) for image in summary.images]
        kept: list[NewResult] = []
        try:
            with _told():
                for _, dataset in each_result(images, (), context, (variant,)):
                    kept.append(new_result(variant, dataset, self.spool.write([encode(dataset)])))
        except BaseException:
            self.discard(kept)
            raise
        return kept

    def discard(self, results: list[NewResult]) -> None:
        """Delete what was built and is not wanted."""
        delete((one.spool_key for one in results), self.spool)

    def _with_picture(
        self, copies: dict[str, InstanceRecord], image: ImageSummary, context: ResultContext, style: PictureStyle
    ) -> AnalysedImage:
        radiograph, analysed = self._read(copies, image)
        return with_pictures(analysed, {style: draw_picture(radiograph, analysed, context, style)})

    def _copies(self, study: StudyRecord) -> dict[str, InstanceRecord]:
        held = self.studies.instances(study.study_instance_uid)
        return newest_copies([one for one in held if not one.own_result and one.revision <= study.revision])

    def _read(self, copies: dict[str, InstanceRecord], image: ImageSummary) -> tuple[Radiograph, AnalysedImage]:
        """Read an image again, and what was found in it."""
        record = copies.get(image.sop_instance_uid)
        if record is None or record.instance.spool_key is None or image.maps_key is None:
            raise CannotDrawError("the image is not kept, or nothing of what was found in it")
        with _told(), self.spool.local_path(image.maps_key) as kept:
            findings = decode_findings(kept.read_bytes())
        with _told(), self.spool.local_path(record.instance.spool_key) as path:
            radiograph, facts = self.decoder.read(path), read_facts(read_dataset(path))
        assert radiograph.display is not None, "what is decoded of a DICOM file says how it was displayed"
        remarks = tuple(remark for remark in image.remarks if remark not in findings.remarks)
        return radiograph, AnalysedImage(facts, findings, radiograph.display, remarks)


@contextmanager
def _told() -> Iterator[None]:
    """Say why a picture can't be drawn. Raises `CannotDrawError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise CannotDrawError("the image, or what was found in it, is no longer in the spool") from error
    except (SpoolUnavailableError, StorageFullError, DecoderTimeoutError, DamagedFileError) as error:
        raise CannotDrawError(str(error), may_pass=True) from error
    except (KeptFindingsError, UnreadableImageError, UnsuitableImageError, UnreadableInstanceError) as error:
        raise CannotDrawError(str(error)) from error


__all__ = ["Painter"]
