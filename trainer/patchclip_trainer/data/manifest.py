"""What is known of the images of a data set before any of them is decoded: frozen values, the same for every source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from patchclip_core.values.results import Box

SplitName = Literal["train", "val", "test", ""]
"""A part that training knows; empty where the source does not say."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a list and the line in it (the first is 1), or a file as a whole."""

    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        """`boxes.csv:17`."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image and what its source says of it.

    image: path of the file, relative to the source's folder, with forward slashes; unique in a manifest.
    patient_id: whose image it is; in prepared data a keyed hash. Images of one patient never part.
    split: the part it belongs to: a `SplitName`, or another word of the source's in lower case, which evaluation may
    ask for; in prepared data always train, val or test.
    source: name of the data set, as `conf/label_domains.yaml` knows it.
    licence_class: `open` or `cc-nc`, or what the source says; empty where unknown.
    view: PA, AP, `AP supine` or empty.
    sex, age_years: F or M or empty; None where unknown. Ages above 89 are given as 90.
    labels, label_source: findings that the source names for the whole image, and how they came about.
    uncertain: findings that it names as possible; they are neither positive nor negative.
    rsna_class: what the radiologists of the RSNA challenge said: Normal, No Lung Opacity / Not Normal, Lung Opacity.
    adjudicated: a later reading by experts, `Pneumothorax=NO` and the like; a finding they did not look for is missing.
    chestxdet: findings that ChestX-Det's radiologists named, or `no abnormality boxed`; empty: not read by them.
    chestxdet10: the same of ChestX-Det10, which knows 10 of ChestX-Det's 13 findings.
    text: a real report's words on this image; in prepared data what is kept of it.
    synthetic_text: a template from labels and boxes; it is not a report.
    width_px, height_px: as the source says; 0 where it does not.
    drawn_px: (width, height) of the image that its boxes are drawn on, where the source says; (0, 0): the file's own.
    """

    image: str
    patient_id: str
    split: str = ""
    source: str = ""
    licence_class: str = ""
    view: str = ""
    sex: str = ""
    age_years: int | None = None
    labels: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    label_source: str = ""
    rsna_class: str = ""
    adjudicated: tuple[str, ...] = ()
    chestxdet: tuple[str, ...] = ()
    chestxdet10: tuple[str, ...] = ()
    text: str = ""
    synthetic_text: str = ""
    width_px: int = 0
    height_px: int = 0
    drawn_px: tuple[int, int] = (0, 0)
    quality_flags: tuple[str, ...] = ()
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class BoxRow:
    """One box in pixels of the source image.

    finding: as the source calls it. kind: a finding, anatomy (lungs) or a device (tubes).
    source: who drew it, as `conf/label_domains.yaml` knows them; reader: which of them, where several drew apart.
    trust: `high` where radiologists drew it, `medium` or `low`.
    """

    image: str
    finding: str
    box: Box
    kind: Literal["finding", "anatomy", "device"] = "finding"
    source: str = ""
    trust: str = "high"
    reader: str = ""
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a source: where, what, and what was done about it.

    kind: a short name to count by, such as `missing image`.
    """

    place: Place
    kind: str
    what: str
    action: str

    def __str__(self) -> str:
        """`boxes.csv:17: box outside: ...; left out`."""
        return f"{self.place}: {self.kind}: {self.what}; {self.action}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that a source lists, and all that is wrong with it; nothing is dropped without a problem that says so."""

    images: tuple[ImageRow, ...]
    boxes: tuple[BoxRow, ...]
    problems: tuple[Problem, ...] = ()
