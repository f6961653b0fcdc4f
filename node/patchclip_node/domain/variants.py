"""What is returned, and how a destination wants it: kinds of results, and the variants of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, NamedTuple, Self

_KEY: Final = re.compile(r"[a-z][a-z_]{0,15}")


class _Row(NamedTuple):
    """What is told of a kind of result, here and nowhere else; `results/build.py` has its builder.

    series_number: what the Series Numbers of its series begin at, unless a profile says otherwise. series_description:
    in English, before what is always said of the model. of_study: a study has one for all of its images, not one for
    each. has_geometry: its plane is a matter of choice. is_picture: it is made of a picture; drawing and size are one.
    """

    series_number: int
    series_description: str
    of_study: bool = False
    has_geometry: bool = False
    is_picture: bool = False


class ResultKind(StrEnum):
    """The kinds of objects that are returned: key and row.

    The key is what settings, the ledger, file names and the derivation of UIDs call it: it never changes.
    """

    series_number: int
    series_description: str
    of_study: bool
    has_geometry: bool
    is_picture: bool

    SR = "sr", _Row(8000, "AI findings", of_study=True)
    SEG = "seg", _Row(9000, "AI regions", has_geometry=True)
    SC = "sc", _Row(20_000, "AI overlay", is_picture=True)
    GSPS = "gsps", _Row(10_000, "AI annotations")
    TEXT_SR = "text_sr", _Row(8200, "AI findings as text", of_study=True)
    KO = "ko", _Row(8400, "AI key images", of_study=True)
    FRACTIONAL_SEG = "fractional_seg", _Row(30_000, "AI probability maps", has_geometry=True)
    PARAMETRIC_MAP = "parametric_map", _Row(40_000, "AI patch probabilities")

    def __new__(cls, key: str, row: _Row | None = None) -> Self:  # a type checker reads `ResultKind(key)` as this
        """Make the member of a row."""
        if row is None:
            raise TypeError(f"the kind of result {key!r} needs a row that says what it is")
        if _KEY.fullmatch(key) is None:
            raise ValueError(
                f"{key!r} cannot be a kind of result: the ledger takes 1 to 16 of the characters a-z and _"
            )
        member = str.__new__(cls, key)
        member._value_ = key
        for name, value in row._asdict().items():
            setattr(member, name, value)
        return member


class NoteKind(StrEnum):
    """The kinds of objects that go the way of results and are none: no analysis makes them, no profile asks for them.

    REJECTION_NOTE: it tells a destination that results which it has are withdrawn.
    """

    REJECTION_NOTE = "rejection_note"


class ForwardedKind(StrEnum):
    """What goes the way of results and is none, at a node that hands on what it receives. IMAGE: as it came."""

    IMAGE = "image"


SentKind = ResultKind | NoteKind | ForwardedKind
"""All that goes to a destination."""


def sent_kind(value: str) -> SentKind:
    """Return the kind that the ledger calls this. Raises `ValueError` for an unknown one."""
    for kinds in (NoteKind, ForwardedKind):
        if value in set(kinds):
            return kinds(value)
    return ResultKind(value)


class PlaneGeometry(StrEnum):
    """What a segmentation says of its plane. A projection has none, and viewers differ in what they need to draw one.

    IDENTITY: its own frame of reference, the plane at its origin; what most viewers draw.
    ORIENTATION_ONLY: rows along x and columns along y, no position, no frame of reference.
    NONE: nothing, as a projection is.
    """

    IDENTITY = "identity"
    ORIENTATION_ONLY = "orientation_only"
    NONE = "none"


class Drawing(StrEnum):
    """How a picture shows a place: its outline, or the model's map in the finding's colour."""

    CONTOUR = "contour"
    HEAT_MAP = "heat_map"


LONGEST_SIDE_PX: Final = 1600
"""A picture is at most this high or wide, unless a profile says otherwise."""


@dataclass(frozen=True, slots=True)
class PictureStyle:
    """What a picture of findings looks like; `longest_side_px` bounds its height and its width."""

    drawing: Drawing = Drawing.CONTOUR
    language: str = "en"
    longest_side_px: int = LONGEST_SIDE_PX


@dataclass(frozen=True, slots=True)
class ResultVariant:
    """A kind of result as a destination wants it: another plane, drawing or language is another object.

    geometry: of a kind that has one, and only there. drawing, longest_side_px: of a picture. language: RFC 5646 tag of
    all that is said in words. series_number: the first of the numbers that its series get, None for the kind's own.
    series_description: what its series are called, before what is always added about the model; '' for the kind's own.
    """

    kind: ResultKind
    geometry: PlaneGeometry | None = None
    drawing: Drawing = Drawing.CONTOUR
    longest_side_px: int = LONGEST_SIDE_PX
    language: str = "en"
    series_number: int | None = None
    series_description: str = ""

    def __post_init__(self) -> None:
        if self.kind.has_geometry != (self.geometry is not None):
            raise ValueError(f"a segmentation has a geometry and no other result has one, not {self.kind}")
        drawn = self.drawing is not Drawing.CONTOUR or self.longest_side_px != LONGEST_SIDE_PX
        if drawn and not self.kind.is_picture:
            raise ValueError(f"a picture has a drawing and a size and no other result has them, not {self.kind}")

    @classmethod
    def usual(cls, kind: ResultKind, language: str = "en") -> Self:
        """Return the variant that a kind has where settings name none."""
        return cls(kind, PlaneGeometry.IDENTITY if kind.has_geometry else None, language=language)

    @property
    def names(self) -> tuple[str, ...]:
        """What tells this variant from the usual one of its kind; its UIDs derive from it, too."""
        usual = ResultVariant.usual(self.kind)
        return tuple(
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(usual, field.name)
        )

    @property
    def key(self) -> str:
        """The variant in one line, as the ledger remembers it."""
        return " ".join((self.kind.value, *self.names))

    @property
    def picture(self) -> PictureStyle | None:
        """The picture that the result is made of; None for one that is made of none."""
        return PictureStyle(self.drawing, self.language, self.longest_side_px) if self.kind.is_picture else None


STANDARD_VARIANTS: Final = (ResultVariant.usual(ResultKind.SR), ResultVariant.usual(ResultKind.SEG))
"""What is built where no destination says otherwise."""
