"""What is known of a source image, as values: `source` reads them once, and builders see nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import MappingProxyType

from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.sr.coding import Code

from patchclip_core.places.where import places_of, side_of, states_side
from patchclip_core.values.display import Display
from patchclip_core.values.results import Findings, Region
from patchclip_core.values.wording import ENGLISH, Wording
from patchclip_node.dicom import codes
from patchclip_node.domain.variants import PictureStyle


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of a data set as text, ready to be written into another: keyword and value, None for an empty one."""

    values: tuple[tuple[str, str | None], ...] = ()

    def get(self, keyword: str) -> str:
        """Return a value, '' where there is none."""
        return dict(self.values).get(keyword) or ""

    def dataset(self) -> Dataset:
        """Return the attributes as new elements: what is done to them later changes no other data set."""
        dataset = Dataset()
        for keyword, value in self.values:
            tag = tag_for_keyword(keyword)
            assert tag is not None, keyword
            dataset.add(DataElement(tag, dictionary_VR(keyword), value, validation_mode=IGNORE))
        return dataset


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What results take over from a source image, in valid values where that is possible.

    patient_and_study: what every result shares with it. deidentification: items of De-identification Method Code
        Sequence. requests: the orders behind it, items of a Referenced Request Sequence.
    equipment: the device that acquired it; empty where its manufacturer is not stated.
    body_part: Body Part Examined and Laterality of its series. lossy_compression: empty where it never was.
    view, series_number, instance_number, time_of_day: what viewers name it by, '' where not stated; HH:MM.
    spacing_mm: distance of rows and of columns. pixel_aspect_ratio: height and width of a pixel as a ratio.
    patient_orientation: direction of rows and of columns (PS3.3 C.7.6.1.1.1). utc_offset: of its dates and times.
        All of these are None where they are not stated, or nonsense.
    character_sets: Specific Character Set. foreign_texts: its values that are not ASCII, without padding.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    rows: int
    columns: int
    patient_and_study: Attributes
    deidentification: tuple[Attributes, ...]
    requests: tuple[Attributes, ...]
    equipment: Attributes
    body_part: Attributes
    lossy_compression: Attributes
    view: str
    series_number: str
    instance_number: str
    time_of_day: str
    burned_in_annotation: str
    spacing_mm: tuple[float, float] | None
    pixel_aspect_ratio: tuple[int, int] | None
    patient_orientation: tuple[str, str] | None
    utc_offset: timedelta | None
    character_sets: tuple[str, ...]
    foreign_texts: frozenset[str]

    @property
    def states_side(self) -> bool:
        """Whether the header says where the patient's left is."""
        return states_side(self.patient_orientation)

    def places(self, regions: Sequence[Region], wording: Wording = ENGLISH) -> tuple[str, ...]:
        """Say where regions are, each place once: the patient's side where the header states it."""
        return places_of(regions, self.patient_orientation, self.rows, self.columns, wording)

    def laterality(self, site: str, region: Region) -> Code | None:
        """Return the patient's side, if the site, a SNOMED CT code, has two and the header says where they are."""
        if site not in codes.PAIRED_SITES or self.patient_orientation is None:
            return None
        side = side_of(region, self.patient_orientation, self.rows, self.columns)
        return None if side is None else {"L": codes.LEFT, "R": codes.RIGHT}[side]

    def local_time(self, moment: datetime) -> datetime:
        """Return a moment in the time zone that the source's own dates and times are in, where it says so."""
        return moment if self.utc_offset is None else moment.astimezone(timezone(self.utc_offset))

    def reference(self) -> Dataset:
        """Return the item that refers to the image (PS3.3 10-11, SOP Instance Reference Macro)."""
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = self.sop_class_uid, self.sop_instance_uid
        return item

    def evidence(self) -> Dataset:
        """Return the little that highdicom needs to know of a source, as if it had one pixel.

        The envelope adds patient and study. Foreign values stay out of highdicom's hands: it refuses some and copies
        others unchecked.
        """
        needed = Attributes(tuple((keyword, "") for keyword, _ in self.patient_and_study.values)).dataset()
        needed.SOPClassUID, needed.SOPInstanceUID = self.sop_class_uid, self.sop_instance_uid
        needed.StudyInstanceUID, needed.SeriesInstanceUID = self.study_instance_uid, self.series_instance_uid
        needed.Modality = self.modality or "OT"
        needed.Rows = needed.Columns = 1
        needed.update(self.lossy_compression.dataset())
        return needed


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture in colour. rgb: red, green and blue of each pixel, a byte each, row by row from the top."""

    rows: int
    columns: int
    rgb: bytes


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedImage:
    """A source image, and what the model says of it.

    display: how the analysis showed its stored values.
    remarks: what the reader should know of the image, from its selection; the findings bring their own.
    pictures: the image as the model saw it, with what was found drawn into it, in each style that a variant names.
    number: what results call the image, from 1, where its study has several; None for the only one.
    """

    facts: SourceFacts
    findings: Findings
    display: Display
    remarks: tuple[str, ...] = ()
    pictures: Mapping[PictureStyle, Picture] = field(default_factory=lambda: MappingProxyType({}))
    number: int | None = None


@dataclass(frozen=True, slots=True)
class SkippedImage:
    """An image of the study that was not analysed, and why."""

    sop_class_uid: str
    sop_instance_uid: str
    reason: str
