"""What builders are given: everything that varies from run to run, and what the one object is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.results import ModelIdentity
from patchclip_core.values.wording import ENGLISH, Wording
from patchclip_node.domain.variants import ResultVariant
from patchclip_node.ports.uid_generator import UidGenerator
from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION
from patchclip_node.results.facts import AnalysedImage, SkippedImage, SourceFacts
from patchclip_node.results.phrases import Phrases


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
    predecessors: the results of earlier revisions; a report names the one of the same variant, which went the same way.
    wordings: language -> how to speak it, for every language that a variant names.
    """

    revision: int
    uids: UidGenerator
    now: datetime
    station_name: str
    definitions: Mapping[str, FindingDefinition]
    predecessors: tuple[Predecessor, ...] = ()
    wordings: Mapping[str, Wording] = field(default_factory=lambda: MappingProxyType({"en": ENGLISH}))

    def phrases(self, language: str) -> Phrases:
        """Return a language to speak: its sentences and its names of findings."""
        names = {key: definition.in_language(language) for key, definition in self.definitions.items()}
        return Phrases(self.wordings[language], names)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What one object is about: all that its builder is given.

    images: those that the object shows and refers to, at least one: of the study, or the one that it is of.
    study: all analysed images of the study. skipped: those that were not analysed.
    """

    variant: ResultVariant
    context: ResultContext
    phrases: Phrases
    images: tuple[AnalysedImage, ...]
    study: tuple[AnalysedImage, ...]
    skipped: tuple[SkippedImage, ...]

    @property
    def image(self) -> AnalysedImage:
        """The image that the object is of; of several the first, which stands for the study."""
        return self.images[0]

    @property
    def facts(self) -> SourceFacts:
        """The facts of `image`."""
        return self.image.facts

    @property
    def model(self) -> ModelIdentity:
        """The model that found what is shown."""
        return self.image.findings.model

    @property
    def device_uid(self) -> str:
        """Device UID (0018,1002): the same product with other weights is another device."""
        return self.context.uids.uid("device", PRODUCT_NAME, PRODUCT_VERSION, self.model.weights_digest)

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID of all that is made of `image`, in every revision."""
        return self.context.uids.uid("frame of reference", *self._of_image)

    @property
    def _of_image(self) -> tuple[str, str]:
        """What names `image`: a PACS that merges or splits studies keeps one instance in two of them."""
        return self.facts.study_instance_uid, self.facts.sop_instance_uid

    @property
    def moment(self) -> tuple[str, str]:
        """When the object is made, as DA and TM, in the time zone of its source."""
        moment = self.facts.local_time(self.context.now)
        return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")

    def one_by_one(self) -> tuple[Subject, ...]:
        """Return the subject narrowed to each of its images."""
        return tuple(replace(self, images=(image,)) for image in self.images)

    def uid(self, role: str) -> str:
        """Return a UID of this object, such as that of its instance, which derives from all that makes it another."""
        kind = self.variant.kind
        about = (self.facts.study_instance_uid,) if kind.of_study else self._of_image
        revision, digest = str(self.context.revision), self.model.weights_digest
        return self.context.uids.uid(role, kind.value, *about, revision, digest, *self.variant.names)

    def tracking(self, definition: FindingDefinition, index: int) -> tuple[str, str]:
        """Return Tracking ID and Tracking UID of a region of `image`; of index 0 for the finding and its segment.

        The UID depends on image and weights, not on the revision: the same region keeps it in a later report.
        """
        names = (*self._of_image, self.model.weights_digest, definition.key, str(index))
        uid = self.context.uids.uid("tracking", *names)
        return f"{definition.name} {index + 1}", uid


def numbered(images: Sequence[AnalysedImage]) -> list[AnalysedImage]:
    """Return the analysed images of a study with the numbers that all results of it mean them by."""
    if len(images) == 1:
        return list(images)
    return [replace(image, number=number) for number, image in enumerate(images, 1)]
