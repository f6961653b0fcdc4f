"""A model's card: what it is, what it was made from, what is known of it, and all settings that its use depends on."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.values.definitions import NonEmpty
from patchclip_core.values.results import USEFUL_SENSITIVITY, ModelIdentity, Sensitivity
from patchclip_core.values.scores import Scores

WEIGHTS_FILE = "weights.safetensors"

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""SHA-256 of something, with the name of the function before it."""


class Interval(BaseModel):
    """A measure and its 95 % interval over patients; ends are None where it has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float | None = None
    high: float | None = None


class Evidence(BaseModel):
    """What a finding's operating points and calibration come from: predictions of images that were not trained on.

    What depends on a choice (calibration, thresholds) is measured on other folds of patients than it was chosen on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    judged_by: NonEmpty
    """Who says what is true: radiologists, or labels mined from text."""
    positives: Annotated[int, Field(ge=0)]
    """Images with the finding. As many as the training data happen to have: no prevalence."""
    negatives: Annotated[int, Field(ge=0)]
    auc: Interval | None = None
    sensitivity: Interval | None = None
    """At the threshold; so is the specificity."""
    specificity: Interval | None = None
    firm_sensitivity: Interval | None = None
    """At the firm threshold; so is the specificity."""
    firm_specificity: Interval | None = None
    scores: Scores | None = None
    """Calibrated probabilities of the images with and without it: what a number is worth."""
    calibration_error: Interval | None = None
    calibration_error_before: Interval | None = None
    lesions: Annotated[int, Field(ge=0)] = 0
    """Boxes of radiologists in the images in which its place is judged."""
    mean_sensitivity: Interval | None = None
    """Over lesions, at 0.125, 0.25, 0.5, 1 and 2 false positives an image."""
    region_sensitivity: Interval | None = None
    """Lesions that a place of at least `region_threshold` lies in, in images called present."""
    region_false_positives: Interval | None = None
    """Such places outside of lesions, an image."""
    region_overlap: Interval | None = None
    """Intersection over union of regions and boxes, in images with boxes that are called present."""


class TrainingCounts(BaseModel):
    """How many training images were said to show a finding, how many not to, and how many boxes mark it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    positive: Annotated[int, Field(ge=0)]
    negative: Annotated[int, Field(ge=0)]
    boxes: Annotated[int, Field(ge=0)]


class FindingCard(BaseModel):
    """What a checkpoint says of one finding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    positive: tuple[NonEmpty, ...] = ()
    """The sentences it was trained with."""
    negative: tuple[NonEmpty, ...] = ()
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Operating point, on calibrated probabilities."""
    firm_threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    """From which probability on the finding is said to be present, and not only possible; fewer images without it reach
    this one. None: nothing is known of such a point, or the threshold is as firm. 1: never, such as where too few
    images taught the finding."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divides the image logit before it becomes a probability; fitted on held-out predictions."""
    bias: float = 0.0
    """Added to the logit after it was divided by the temperature."""
    region_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Patch probability from which on a place belongs to a region."""
    smoothing_patches: Annotated[float, Field(ge=0, le=4)] = 0.0
    """Standard deviation of the Gaussian that smooths the finding's map, in the model's own patches; 0: none does."""
    extent: Literal["localised", "image"] = "localised"
    """'image': no map and no regions."""
    reported: bool = True
    """False: trained and measured, but an analysis says nothing of it."""
    trained_on: TrainingCounts | None = None
    """None: nothing that counts images by finding, such as pairs of images and texts."""
    lookalikes: tuple[str, ...] = ()
    """Keys of findings that may be seen as this one: where the model does not evaluate one of them, this one is never
    said to be absent."""
    not_evaluated: str = ""
    """Why the finding is never said to be present or absent, such as too little evidence; empty: it is decided."""
    evidence: Evidence | None = None
    """What is known of how well it is found; None: nothing."""
    held_out: Evidence | None = None
    """The same of these very weights, on images that no fold and no choice had a part in; None: there were none."""

    @model_validator(mode="after")
    def _is_firmer(self) -> Self:
        if self.firm_threshold is not None and self.firm_threshold <= self.threshold:
            raise ValueError(
                f"{self.key}: firm_threshold {self.firm_threshold} has to be above the threshold {self.threshold}"
            )
        return self

    @property
    def scores(self) -> Scores | None:
        """What the model said of images of which the truth is known; None: that was not kept."""
        return None if self.evidence is None else self.evidence.scores

    @property
    def sensitivity(self) -> Sensitivity | None:
        """What was measured at the threshold; None: nothing."""
        if self.evidence is None or (measured := self.evidence.sensitivity) is None:
            return None
        return Sensitivity(
            measured.value, measured.low, measured.high, self.evidence.positives, self.evidence.judged_by
        )


class Provenance(BaseModel):
    """What a run's weights came out of. What was measured of one run holds for another one of equal provenance.

    recipe: all that decides what a step does, the network included; not names, places or who was held out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: dict[str, Any]
    recipe_digest: Digest
    data_digest: Digest
    """Of the train split's images, and of what is known of them."""
    folds_digest: Digest
    """Of who is in which fold."""
    selection: NonEmpty
    """Which epoch's weights are kept."""
    epochs: Annotated[int, Field(ge=0)]
    """For how many the kept weights were trained."""
    left_out_fold: int | None = None
    """Whose patients had no part in the run."""


class ModelCard(BaseModel):
    """A checkpoint's card: what it is, what it was made from, and all settings that its use depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    version: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    architecture: str
    """Name of a built-in architecture or of a plug-in's entry point."""
    weights_files: Annotated[tuple[str, ...], Field(min_length=1)] = (WEIGHTS_FILE,)
    weights_digest: Digest
    """SHA-256 over the bytes of the weights files, one after the other."""
    trained: bool
    calibrated: bool
    calibration: str = ""
    """Where calibration and operating points come from."""
    held_out: str = ""
    """On which images these very weights were tried, that had no part in them."""
    training_data: NonEmpty
    provenance: Provenance | None = None
    """None: from no run, or from one of an earlier version."""
    licence: NonEmpty
    statement: NonEmpty
    """One sentence for the reader of a result: what the weights are and are not for."""
    preprocess: PreprocessSettings
    useful_sensitivity: Annotated[float, Field(gt=0, le=1)] = USEFUL_SENSITIVITY
    """A finding below its threshold is said to be absent where the lower end of its measured sensitivity's interval
    reaches this; else it is not seen by this model."""
    mirrored: bool = False
    """Whether an analysis also looks at the mirror image, and takes the mean: it costs a second pass."""
    findings: Annotated[tuple[FindingCard, ...], Field(min_length=1)]
    settings: dict[str, Any] = Field(default_factory=dict)
    """The architecture's own settings; it validates them."""

    @model_validator(mode="after")
    def _names_are_sound(self) -> Self:
        keys = [finding.key for finding in self.findings]
        if doubled := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"findings defined twice: {', '.join(doubled)}")
        if foreign := [name for name in self.weights_files if Path(name).name != name]:
            raise ValueError(f"weights files lie beside the card, these do not: {', '.join(foreign)}")
        return self

    def unevaluated_lookalikes(self, finding: FindingCard) -> tuple[str, ...]:
        """Return the keys of findings that may be seen as this one and of which the model says nothing."""
        decided = {each.key for each in self.findings if each.reported and not each.not_evaluated}
        return tuple(key for key in finding.lookalikes if key not in decided)

    @property
    def identity(self) -> ModelIdentity:
        """The part of the card that goes into every result."""
        return ModelIdentity(**{field.name: getattr(self, field.name) for field in fields(ModelIdentity)})
