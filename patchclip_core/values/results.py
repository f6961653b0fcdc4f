"""The values that pass between the rooms: what goes into a model and what comes out.

Coordinates are continuous and image-relative, in pixels: (0, 0) is the outer corner of the top-left pixel, pixel
(row r, column c) covers [c, c + 1) x [r, r + 1) and has its centre at (c + 0.5, r + 0.5). This is the convention of
SCOORD (PS3.3 C.18.6.1.1) and of graphic annotations in PIXEL units (PS3.3 C.10.5): nothing is shifted on the way out.

Values alone: nothing here reads, draws or computes with a network, and numpy is imported by whoever makes an array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

from patchclip_core.errors import UnknownFindingError, not_known
from patchclip_core.values.display import Display
from patchclip_core.values.scores import Scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FloatArray: TypeAlias = "NDArray[np.float32]"
Mask: TypeAlias = "NDArray[np.bool_]"


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """A decoded frontal radiograph, ready to be looked at: no identity, no file, no header.

    pixels: (rows, columns) float32 in [0, 1], 1 is white (dense tissue is bright), modality and VOI transforms and the
        photometric interpretation already applied.
    pixel_aspect_ratio: height of a pixel divided by its width, 1 for square pixels (PS3.3 C.7.6.3.1.7).
    remarks: what a reader of the result should know about the image, in plain language.
    display: how its stored values were shown; None where it has none, such as an array or a picture file.
    """

    pixels: FloatArray
    pixel_aspect_ratio: float = 1.0
    remarks: tuple[str, ...] = ()
    display: Display | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or 0 in self.pixels.shape:
            raise ValueError(f"a radiograph has (rows, columns) pixels, this one has shape {self.pixels.shape}")
        if self.pixels.dtype != "float32":
            raise ValueError(f"radiograph pixels are float32, these are {self.pixels.dtype}")
        if not (isfinite(self.pixel_aspect_ratio) and self.pixel_aspect_ratio > 0):
            raise ValueError(f"pixel_aspect_ratio must be positive, it is {self.pixel_aspect_ratio}")

    @property
    def rows(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def columns(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in pixels: left edge x, top edge y, width w, height h."""

    x: float
    y: float
    w: float
    h: float

    def contains(self, x: float, y: float) -> bool:
        """Tell whether the point (x, y) lies in the box, edges included."""
        return self.x <= x <= self.x + self.w and self.y <= y <= self.y + self.h

    def clipped(self, columns: int, rows: int) -> Box:
        """Return the part of the box that lies in an image of this size."""
        left, top = min(max(self.x, 0.0), columns), min(max(self.y, 0.0), rows)
        right, bottom = min(max(self.x + self.w, 0.0), columns), min(max(self.y + self.h, 0.0), rows)
        return Box(left, top, right - left, bottom - top)


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """Where a model's patches lie on its own input.

    rows, columns: size of the grid.
    pitch_px: distance between neighbouring patch centres, in input pixels.
    centre_px: continuous coordinate of the centre of the first patch, the same in x and y, in input pixels. It is
        pitch_px / 2 unless the convolutions before the patches shift their centres.
    """

    rows: int
    columns: int
    pitch_px: float
    centre_px: float


@dataclass(frozen=True, slots=True)
class Geometry:
    """The way from source pixels to model input to patches, and back.

    input = source * scale + offset, in x and y apart, in continuous coordinates. The offset is the padding (or, where
    negative, the crop). `grid` says where patches lie on the input.
    """

    source_rows: int
    source_columns: int
    input_rows: int
    input_columns: int
    scale_x: float
    scale_y: float
    offset_x_px: float
    offset_y_px: float
    grid: PatchGrid

    def to_input(self, x: float, y: float) -> tuple[float, float]:
        """Map a point from source pixels to input pixels."""
        return x * self.scale_x + self.offset_x_px, y * self.scale_y + self.offset_y_px

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Map a point from input pixels to source pixels."""
        return (x - self.offset_x_px) / self.scale_x, (y - self.offset_y_px) / self.scale_y

    def patch_centre(self, row: float, column: float) -> tuple[float, float]:
        """Return the centre (x, y) of a patch in source pixels; fractional indices lie between patches."""
        grid = self.grid
        return self.to_source(grid.centre_px + column * grid.pitch_px, grid.centre_px + row * grid.pitch_px)

    def patch_index(self, x: float, y: float) -> tuple[float, float]:
        """Return the fractional (row, column) of a source point; the inverse of `patch_centre`."""
        input_x, input_y = self.to_input(x, y)
        grid = self.grid
        return (input_y - grid.centre_px) / grid.pitch_px, (input_x - grid.centre_px) / grid.pitch_px

    def patch_box(self, row: int, column: int) -> Box:
        """Return the cell of one patch in source pixels, not clipped to the image."""
        x, y = self.patch_centre(row - 0.5, column - 0.5)
        return Box(x, y, self.grid.pitch_px / self.scale_x, self.grid.pitch_px / self.scale_y)


class FindingState(StrEnum):
    """What is said of a finding: its verdict, in the word that every result uses, the surest first.

    POSSIBLE: at or above the operating point, where many images without the finding are, too. NOT_SEEN: below it, by a
    model of which it is not known that it finds nearly all of them; no absence. NOT_EVALUATED is a separate thing,
    not a weak ABSENT.
    """

    PRESENT = "present"
    POSSIBLE = "possible"
    ABSENT = "absent"
    NOT_SEEN = "not seen by this model"
    NOT_EVALUATED = "not evaluated"

    @property
    def is_found(self) -> bool:
        """Whether the finding reached its operating point."""
        return self in (FindingState.PRESENT, FindingState.POSSIBLE)


_Z_95: Final = 1.96
USEFUL_SENSITIVITY: Final = 0.9
"""What the lower end of a sensitivity's interval has to reach before an absence is said, where a card says no other."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The part of images with a finding that a model called present, at its operating point, on images not trained on.

    low, high: ends of its 95 % interval, None where it has none. positives: images with the finding. judged_by: who
    says that they have it.
    """

    value: float
    low: float | None
    high: float | None
    positives: int
    judged_by: str

    @property
    def at_least(self) -> float:
        """What the model finds at the very least: the lower end of the interval, 0 where it has none.

        A bootstrap has no width where every image was found; there Wilson's interval speaks, which knows how few
        images these were (all of 35 say 90 %).
        """
        if self.low is None or self.positives <= 0:
            return 0.0
        return min(self.low, wilson(self.value, self.positives)[0])


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share that was seen in `count` cases."""
    n, p, z = count, share, _Z_95
    half = z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    middle = p + z**2 / (2 * n)
    return max(0.0, (middle - half) / (1 + z**2 / n)), min(1.0, (middle + half) / (1 + z**2 / n))


NEVER_FIRM = 1.0
"""Firm threshold of a finding that is possible at most, whatever its probability."""


def verdict(
    probability: float,
    threshold: float,
    sensitivity: Sensitivity | None = None,
    useful: float = USEFUL_SENSITIVITY,
    lookalikes: Sequence[str] = (),
    firm_threshold: float | None = None,
) -> FindingState:
    """Decide what is said of an evaluated finding; the one place where that is decided.

    A finding that reaches its threshold is present, and only possible below `firm_threshold`, which fewer images
    without it reach. A finding below its threshold is absent only where the model finds nearly all of its kind (the
    lower end of the measured sensitivity's interval reaches `useful`), and where no finding that looks like it went
    unevaluated.

    sensitivity: None where it was never measured. lookalikes: findings that look like this one and that the model
    does not evaluate. firm_threshold: None where none was measured, or where the threshold itself is as firm;
    `NEVER_FIRM` where no probability is.
    """
    if probability >= threshold:
        is_firm = firm_threshold is None or (firm_threshold < NEVER_FIRM and probability >= firm_threshold)
        return FindingState.PRESENT if is_firm else FindingState.POSSIBLE
    finds_nearly_all = sensitivity is not None and sensitivity.at_least >= useful
    return FindingState.ABSENT if finds_nearly_all and not lookalikes else FindingState.NOT_SEEN


@dataclass(frozen=True, slots=True)
class Region:
    """Where a finding is: a box in source pixels, clipped to the image, and the highest patch probability in it."""

    x: float
    y: float
    w: float
    h: float
    score: float

    @property
    def box(self) -> Box:
        """The region's box without its score."""
        return Box(self.x, self.y, self.w, self.h)


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One finding of one image.

    probability: calibrated if the model card says so, in [0, 1]; None when not evaluated.
    threshold: the operating point the state was decided at; None when not evaluated.
    firm_threshold: from which probability on it is present and not only possible; None where the threshold says both,
        `NEVER_FIRM` where it is possible at most.
    patch_map: (grid rows, grid columns) float32 patch probabilities in [0, 1], smoothed where the model's card asks for
        it; None when the model has no map for it.
    region_threshold: the patch probability from which on a place belongs to a region.
    regions: only for a finding that is present or possible, highest score first; empty when the model names no place.
    reason: why the finding was not evaluated, in plain language.
    experimental: asked by free text at run time; never reported as absent.
    sensitivity: what was measured of the model at this operating point; None where nothing was.
    lookalikes: keys of findings that look like this one and that the model does not evaluate.
    scores: what the model said of images of which the truth is known; None where that was never kept.
    """

    key: str
    state: FindingState
    probability: float | None
    threshold: float | None
    patch_map: FloatArray | None = None
    regions: tuple[Region, ...] = ()
    reason: str | None = None
    experimental: bool = False
    region_threshold: float = 0.5
    sensitivity: Sensitivity | None = None
    lookalikes: tuple[str, ...] = ()
    firm_threshold: float | None = None
    scores: Scores | None = None

    def __post_init__(self) -> None:
        if self.state is FindingState.NOT_EVALUATED:
            if self.probability is not None or self.threshold is not None or not self.reason:
                raise ValueError(f"{self.key}: a finding that was not evaluated has a reason and no probability")
        elif self.probability is None or self.threshold is None:
            raise ValueError(f"{self.key}: an evaluated finding has a probability and a threshold")
        elif self.probability < self.threshold if self.state.is_found else self.probability > self.threshold:
            raise ValueError(f"{self.key}: {self.state} at {self.probability}, with the threshold {self.threshold}")
        if self.regions and not self.state.is_found:
            raise ValueError(f"{self.key}: only a finding that is present or possible has regions")
        if self.experimental and self.state is FindingState.ABSENT:
            raise ValueError(f"{self.key}: an experimental finding is never reported as absent")
        if self.state is FindingState.ABSENT and (self.sensitivity is None or self.lookalikes):
            raise ValueError(f"{self.key}: an absence has a measured sensitivity and no lookalike left open")


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What a result must say about the model that made it.

    weights_digest: "sha256:" and 64 hexadecimal digits over the weights.
    trained: False for random weights; every result says so.
    calibrated: whether probabilities were calibrated on held-out predictions.
    statement: one sentence for the reader of a result: what the weights are and are not for.
    """

    name: str
    version: str
    weights_digest: str
    trained: bool
    calibrated: bool
    training_data: str
    licence: str
    statement: str


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """All that a model says of one radiograph: one `Finding` a key, in the order of the model's card.

    body: (rows, columns) bool, a coarse picture of the whole image that says where the body is; no region leaves it.
        None where it was not looked for: all of the image.
    """

    items: tuple[Finding, ...]
    geometry: Geometry
    model: ModelIdentity
    remarks: tuple[str, ...] = ()
    body: Mask | None = None

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.items)

    def __getitem__(self, key: str) -> Finding:
        for item in self.items:
            if item.key == key:
                return item
        known = not_known(key, (item.key for item in self.items))
        raise UnknownFindingError(f"there is no finding '{key}' in this result; {known}")

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the maps as plain values, as JSON has them: numbers in source pixels."""
        return {
            "model": {"name": self.model.name, "version": self.model.version, "weights": self.model.weights_digest},
            "rows": self.geometry.source_rows,
            "columns": self.geometry.source_columns,
            "remarks": list(self.remarks),
            "findings": [
                {
                    "key": item.key,
                    "state": item.state.value,
                    "probability": item.probability,
                    "threshold": item.threshold,
                    "firm_threshold": item.firm_threshold,
                    "reason": item.reason,
                    "experimental": item.experimental,
                    "regions": [asdict(region) for region in item.regions],
                }
                for item in self.items
            ],
        }

    @property
    def found(self) -> tuple[Finding, ...]:
        """The findings that are present, then those that are possible, the surest first."""
        return tuple(item for item in self.in_order if item.state.is_found)

    @property
    def in_order(self) -> tuple[Finding, ...]:
        """All findings as they are to be read: what was found, the surest first, then all else in the card's order."""
        return tuple(sorted(self.items, key=_rank))


def _rank(finding: Finding) -> tuple[int, float, float]:
    """Return by what findings are put in order: verdict, the share of images without it that look as ill, probability.

    A probability alone ranks nothing: 20 % of a rare finding may be as telling as 80 % of a frequent one.
    """
    verdict_of = list(FindingState).index(finding.state)
    if not finding.state.is_found or finding.probability is None:
        return verdict_of, 0.0, 0.0
    alike = 1.0 if finding.scores is None else finding.scores.at_least(finding.probability)[1]
    return verdict_of, alike, -finding.probability


@runtime_checkable
class Analyzer(Protocol):
    """What the node, the trainer and a notebook (`patchclip_core.notebook.Model`) need of any model."""

    @property
    def identity(self) -> ModelIdentity:
        """Name, version, digest and honesty statement."""
        ...

    @property
    def finding_keys(self) -> tuple[str, ...]:
        """The findings that the model can speak of."""
        ...

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        """Analyse several radiographs at once; the results are in their order."""
        ...
