"""Checkpoints: a folder with `card.json` and the weights it names, verified before anything is built from them.

Weights are safetensors; nothing is ever unpickled. Architectures are built in or come from other packages by an entry
point in the group `patchclip.models`: a callable (folder, card, device) -> Analyzer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from patchclip_core.errors import CheckpointError
from patchclip_core.places.preprocess import PreprocessSettings
from patchclip_core.values.definitions import NonEmpty
from patchclip_core.values.results import Analyzer, ModelIdentity

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"
PLUG_IN_GROUP = "patchclip.models"

_PACKAGE_WEIGHTS = Path(__file__).parents[1] / "weights"
_BUILT_IN = {
    "patchclip": "patchclip_core.checkpoints.loading:load_patch_clip",
    "lrclr": "patchclip_core.checkpoints.loading:load_lrclr",
}
_CHUNK_BYTES = 1 << 20

ArchitectureLoader = Callable[[Path, "ModelCard", str], Analyzer]
_AnySizeLoader = Callable[[Path, "ModelCard", str, int], Analyzer]


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
    not_evaluated: str = ""
    """Why the finding is never said to be present or absent, such as too little evidence; empty: it is decided."""
    evidence: Evidence | None = None
    """What is known of how well it is found; None: nothing."""


class ModelCard(BaseModel):
    """A checkpoint's card: what it is, what it was made from, and all settings that its use depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    version: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    architecture: str
    """Name of a built-in architecture or of a plug-in's entry point."""
    weights_files: Annotated[tuple[str, ...], Field(min_length=1)] = (WEIGHTS_FILE,)
    weights_digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    """SHA-256 over the bytes of the weights files, one after the other."""
    trained: bool
    calibrated: bool
    calibration: str = ""
    """Where calibration and operating points come from."""
    training_data: NonEmpty
    licence: NonEmpty
    statement: NonEmpty
    """One sentence for the reader of a result: what the weights are and are not for."""
    preprocess: PreprocessSettings
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

    @property
    def identity(self) -> ModelIdentity:
        """The part of the card that goes into every result."""
        return ModelIdentity(
            name=self.name,
            version=self.version,
            weights_digest=self.weights_digest,
            trained=self.trained,
            calibrated=self.calibrated,
            training_data=self.training_data,
            licence=self.licence,
            statement=self.statement,
        )


def load(name_or_path: str | Path, device: str = "auto", *, input_px: int | None = None) -> Analyzer:
    """Load a checkpoint: the name of one that the package ships, or a folder.

    device: 'auto' takes a GPU where there is one; 'cpu', 'cuda'. input_px: height and width of the model's input, where
    they are not to be those that it was trained with. A larger input has more patches, each smaller on the radiograph;
    operating points and calibration were set at the card's size, so the model then calls itself uncalibrated. Raises
    `CheckpointError`, which says what to do.
    """
    folder = find(name_or_path)
    card = read_card(folder)
    verify_weights(folder, card)
    load_architecture = _architecture(card.architecture)
    if input_px is None:
        return load_architecture(folder, card, device)
    if card.architecture not in _BUILT_IN:
        raise CheckpointError(
            f"{card.name} can be opened at its own {card.preprocess.input_px} px only: the plug-in of "
            f"'{card.architecture}' takes no other input size"
        )
    return cast(_AnySizeLoader, load_architecture)(folder, card, device, input_px)


def shipped() -> list[str]:
    """Names of the checkpoints that the package ships."""
    return sorted(card.parent.name for card in _PACKAGE_WEIGHTS.glob(f"*/{CARD_FILE}"))


def find(name_or_path: str | Path) -> Path:
    """Return the checkpoint's folder; a shipped name comes before a folder in the current directory."""
    if str(name_or_path) in shipped():
        return _PACKAGE_WEIGHTS / str(name_or_path)
    folder = Path(name_or_path)
    if folder.is_dir():
        return folder
    raise CheckpointError(
        f"there is no checkpoint '{name_or_path}': give a folder with {CARD_FILE}, or one of: {', '.join(shipped())}"
    )


def read_card(folder: Path) -> ModelCard:
    """Read and validate `card.json`. Raises `CheckpointError`, which names each key that is wrong."""
    path = folder / CARD_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{folder} is no checkpoint: cannot read {CARD_FILE} ({error.strerror})") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); copy the checkpoint again") from error
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in item['loc']) or 'card'}: {item['msg']}" for item in error.errors()]
        raise CheckpointError(f"{path} is not a card that this version understands:\n" + "\n".join(lines)) from error


def digest_of(paths: Sequence[Path]) -> str:
    """Return 'sha256:' and the SHA-256 over the bytes of these files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def verify_weights(folder: Path, card: ModelCard) -> None:
    """Raise `CheckpointError` where a weights file is missing or its bytes are not those of the card."""
    paths = [folder / name for name in card.weights_files]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}; copy the whole checkpoint again")
    try:
        found = digest_of(paths)
    except OSError as error:
        raise CheckpointError(f"the weights in {folder} cannot be read: {error.strerror}") from error
    if found != card.weights_digest:
        raise CheckpointError(
            f"the weights in {folder} are not those of its card: {found} instead of {card.weights_digest}. They are "
            "damaged or were exchanged; copy the checkpoint again from where it came from"
        )


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `card.json`, in the same bytes for the same card."""
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _architecture(name: str) -> ArchitectureLoader:
    built_in = _BUILT_IN.get(name)
    if built_in is not None:
        return cast(ArchitectureLoader, metadata.EntryPoint(name, built_in, PLUG_IN_GROUP).load())
    plug_ins = {entry.name: entry for entry in metadata.entry_points(group=PLUG_IN_GROUP)}
    if name not in plug_ins:
        known = ", ".join(sorted({*_BUILT_IN, *plug_ins}))
        raise CheckpointError(
            f"the checkpoint needs the architecture '{name}', which is not installed here; installed are: {known}"
        )
    try:
        return cast(ArchitectureLoader, plug_ins[name].load())
    except (ImportError, AttributeError) as error:
        raise CheckpointError(f"the plug-in {plug_ins[name].value} of '{name}' cannot be loaded: {error}") from error
