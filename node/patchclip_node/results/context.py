"""What the builders of results are given: images with findings, and everything that varies from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from pydicom import Dataset

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import Findings
from patchclip_core.values.wording import ENGLISH, Wording
from patchclip_node.domain.variants import PictureStyle
from patchclip_node.ports.uid_generator import UidGenerator


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A result of an earlier revision of the same study; `variant`: the key of its `ResultVariant`."""

    variant: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class ResultContext:
    """What the builders need beside the images. The same context and images give the same bytes.

    revision: of the study, from 1; part of every UID.
    now: when the results are made, timezone-aware. It is written in the source's Timezone Offset From UTC where there
        is one, in its own time zone otherwise.
    definitions: key -> definition, for each finding that an image may have.
    predecessors: the results of earlier revisions; a report names the one of its own variant, which went the same way.
    wordings: language -> how to speak it, for every language that a variant names. wording: the one that is spoken.
    """

    revision: int
    uids: UidGenerator
    now: datetime
    station_name: str
    definitions: Mapping[str, FindingDefinition]
    predecessors: tuple[Predecessor, ...] = ()
    wordings: Mapping[str, Wording] = field(default_factory=lambda: MappingProxyType({"en": ENGLISH}))
    wording: Wording = ENGLISH

    def in_language(self, language: str) -> ResultContext:
        """Return the context in which a language is spoken: its sentences and its names of findings."""
        wording = self.wordings[language]
        names = {key: definition.in_language(language) for key, definition in self.definitions.items()}
        return replace(self, wording=wording, definitions=names)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture in colour. rgb: red, green and blue of each pixel, a byte each, row by row from the top."""

    rows: int
    columns: int
    rgb: bytes


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedImage:
    """A source image, as `dicom.headers.read_dataset` gives it, and what the model says of it.

    remarks: what the reader should know of the image, from its selection; the findings bring their own.
    pictures: the image as the model saw it, with what was found drawn into it, in each style that is asked for.
    number: what results call the image, from 1, where its study has several; None for the only one.
    """

    source: Dataset
    findings: Findings
    remarks: tuple[str, ...] = ()
    pictures: Mapping[PictureStyle, Picture] = field(default_factory=lambda: MappingProxyType({}))
    number: int | None = None

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID of the source."""
        return str(self.source.SOPClassUID)

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID of the source."""
        return str(self.source.SOPInstanceUID)


def numbered(images: Sequence[AnalysedImage]) -> list[AnalysedImage]:
    """Return the analysed images of a study with the numbers that all results of it mean them by."""
    if len(images) == 1:
        return list(images)
    return [replace(image, number=number) for number, image in enumerate(images, 1)]


@dataclass(frozen=True, slots=True)
class SkippedImage:
    """An image of the study that was not analysed, and why."""

    sop_class_uid: str
    sop_instance_uid: str
    reason: str
