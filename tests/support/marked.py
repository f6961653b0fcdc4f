"""Radiographs with a bright rectangle, and the results that the model of tests/plugins makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.io import read_radiograph
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import Analyzer, Findings, ModelIdentity, Radiograph
from patchclip_node.dicom.headers import read_header
from patchclip_node.domain.variants import PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.results import encode
from patchclip_node.services.analyse import Analysed, StudyImage, analyse_instances
from tests.support.pictures import Box
from tests.support.synthetic import TRAINED, findings_for, result_context, source_image

CHECKPOINT = Path(__file__).parents[1] / "plugins" / "bright_checkpoint"

VARIANTS = (
    ResultVariant(ResultKind.SR),
    ResultVariant(ResultKind.SEG, PlaneGeometry.IDENTITY),
    ResultVariant(ResultKind.SC),
    ResultVariant(ResultKind.GSPS),
    ResultVariant(ResultKind.TEXT_SR),
)


@dataclass(frozen=True, slots=True, eq=False)
class MarkedStudy:
    """A study of one image on disk, with its results.

    files: the source, then each result. objects: kind -> its file, for each kind that was built.
    rectangle: the bright rectangle in source pixels, None where there is none.
    """

    uid: str
    source: Path
    objects: Mapping[ResultKind, Path]
    findings: Findings
    rectangle: Box | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.source, *self.objects.values())

    @property
    def half_a_patch_px(self) -> tuple[float, float]:
        """Half of a patch's width and height, in source pixels."""
        geometry = self.findings.geometry
        return geometry.grid.pitch_px / geometry.scale_x / 2, geometry.grid.pitch_px / geometry.scale_y / 2

    @property
    def places(self) -> dict[str, list[Box]]:
        """Key -> where its present finding is, in source pixels: the bright rectangle, else the regions."""
        return {
            finding.key: [self.rectangle]
            if self.rectangle
            else [Box(region.x, region.y, region.x + region.w, region.y + region.h) for region in finding.regions]
            for finding in self.findings.found
        }


class InThisProcess:
    """Decodes files that the tests made themselves, where no process has to be killed."""

    def read(self, path: Path) -> Radiograph:
        return read_radiograph(path)


def radiograph_with_rectangle(*, bright: bool = True, **attributes: Any) -> tuple[Dataset, Box]:
    """Return a radiograph that displays a grey ramp and, off its middle both ways, a bright rectangle.

    attributes: of the header, as of `source_image`; the stored values follow Bits Stored and the photometric
    interpretation, so that all of them look alike.
    """
    uids = {name: generate_uid(None) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    source = source_image(**(uids | {"ViewPosition": "PA"} | attributes))
    rows, columns = int(source.Rows), int(source.Columns)
    rectangle = Box(round(columns * 0.55), round(rows * 0.52), round(columns * 0.8), round(rows * 0.74))
    shown = np.full((rows, columns), 0.1) + 0.3 * np.linspace(0, 1, rows)[:, np.newaxis]
    if bright:  # and not white, so that white lines over it can be told from it
        shown[int(rectangle.top) : int(rectangle.bottom), int(rectangle.left) : int(rectangle.right)] = 0.85
    if source.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    highest = 2**source.BitsStored - 1
    source.WindowCenter, source.WindowWidth = (highest + 1) / 2, highest + 1
    stored = (shown * highest).round().astype("<u2" if source.BitsAllocated == 16 else "u1")
    source.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    source["PixelData"].VR = "OW" if source.BitsAllocated == 16 else "OB"
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return source, rectangle


def as_a_study(path: Path) -> Dataset:
    """Read a real file and make it a separate study, with the File Meta Information that a network gives it."""
    source = dcmread(path, force=True)
    if "TransferSyntaxUID" not in getattr(source, "file_meta", ()):
        source.file_meta = FileMetaDataset()
        source.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID = (generate_uid(None) for _ in range(3))
    source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
    return source


@dataclass(frozen=True, slots=True)
class Says:
    """A model that says the same of every image: key -> cells, as `findings_for` takes them, none for no place."""

    present: Mapping[str, Sequence[tuple[int, int, int, int]]]
    identity: ModelIdentity = TRAINED

    @property
    def finding_keys(self) -> tuple[str, ...]:
        return tuple(load_findings())

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        return [
            findings_for(source_image(Rows=one.rows, Columns=one.columns), self.present, self.identity)
            for one in radiographs
        ]


def analysed_study(
    folder: Path, source: Path, rectangle: Box | None = None, analyzer: Analyzer | None = None
) -> MarkedStudy:
    """Analyse one file as a worker does, write each kind of result beside it, and return what is there."""
    header = read_header(source)
    image = StudyImage(source, header.sop_class_uid, header.sop_instance_uid)
    outcome = analyse_instances(
        [image], InThisProcess(), analyzer or load(CHECKPOINT, "cpu"), result_context(), VARIANTS
    )
    assert isinstance(outcome, Analysed), outcome
    objects = {}
    for variant, dataset in outcome.results:
        objects[variant.kind] = folder / f"{source.stem}-{variant.kind.value}.dcm"
        objects[variant.kind].write_bytes(encode(dataset))
    return MarkedStudy(header.study_instance_uid, source, objects, outcome.images[0].result.findings, rectangle)
