"""Routes as settings: readable conditions made of fields, lists and bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from patchclip_node.domain.release import AtTimeOut, Hold, Release
from patchclip_node.domain.routes import (
    AgeCondition,
    All,
    AnyOf,
    Condition,
    ImageField,
    NoneOf,
    Route,
    TextCondition,
)
from patchclip_node.settings.section import Name, Section

Pattern = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
"""A word; `*` stands for any characters in it, `?` for one. Case does not count."""

PriorityName = Literal["STAT", "HIGH", "ROUTINE", "LOW", "BACKFILL"]
T = TypeVar("T")


def _not_empty(value: tuple[T, ...]) -> tuple[T, ...]:
    if not value:
        raise ValueError("name at least one, or leave the key out")
    return value


Some = Annotated[tuple[T, ...], AfterValidator(_not_empty)]
Years = Annotated[float, Field(ge=0, le=150)]


class TextTestSettings(Section):
    """What is wanted of a word, where a list of wanted ones is not all."""

    one_of: tuple[Pattern, ...] = ()
    """Wanted; `*` and `?` stand for other characters."""
    none_of: tuple[Pattern, ...] = ()
    """Unwanted, and stronger than what is wanted."""
    missing: bool | None = None
    """What it counts as where the image does not say it; None: the route does not take such an image."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.one_of and not self.none_of and self.missing is None:
            raise ValueError("say one_of, none_of or missing")
        return self


def _form(value: object) -> str:
    return "tested" if isinstance(value, (dict, TextTestSettings)) else "listed"


Words = Annotated[
    Annotated[Some[Pattern], Tag("listed")] | Annotated[TextTestSettings, Tag("tested")],
    Discriminator(_form),
]


class AgeTestSettings(Section):
    """What is wanted of the patient's age at the study, in years: 0.5 are six months."""

    at_least: Years | None = None
    """This old, or older."""
    below: Years | None = None
    """Younger."""
    missing: bool | None = None
    """What it counts as where the image says neither age nor birth; None: the route does not take such an image."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.at_least is None and self.below is None and self.missing is None:
            raise ValueError("say at_least, below or missing")
        if self.at_least is not None and self.below is not None and self.at_least >= self.below:
            raise ValueError(f"no one is at least {self.at_least:g} and below {self.below:g} years old")
        return self


class ConditionSettings(Section):
    """Which images a route takes: all that is said here has to hold; nothing is said: it takes every image."""

    sender: Words | None = None
    """Calling AE title of whoever sent the image."""
    modality: Words | None = None
    """Modality (0008,0060)."""
    body_part: Words | None = None
    """Body Part Examined, and what the node hears in it and in descriptions, such as chest."""
    view: Words | None = None
    """View Position, and what the node hears in it, in view codes and in descriptions, such as PA, AP or lateral."""
    station: Words | None = None
    """Station Name (0008,1010)."""
    description: Words | None = None
    """Study Description or Series Description."""
    age: AgeTestSettings | None = None
    """The patient's age."""
    priority: Some[PriorityName] | None = None
    """One of these; an image that says none is ROUTINE, one that was pulled by `backfill` is BACKFILL."""
    all: Some[ConditionSettings] | None = None
    """Each of these holds."""
    any: Some[ConditionSettings] | None = None
    """One of these holds at least."""
    none: Some[ConditionSettings] | None = None
    """None of these holds: not."""

    @property
    def condition(self) -> Condition:
        """The same for who judges images by it."""
        parts = tuple(self._parts())
        return parts[0] if len(parts) == 1 else All(parts)

    def _parts(self) -> Iterator[Condition]:
        for what in ImageField:
            wanted = getattr(self, what.value)
            if isinstance(wanted, TextTestSettings):
                yield TextCondition(what, wanted.one_of, wanted.none_of, wanted.missing)
            elif wanted is not None:
                yield TextCondition(what, wanted)
        if self.age is not None:
            yield AgeCondition(self.age.at_least, self.age.below, self.age.missing)
        if self.all is not None:
            yield All(tuple(one.condition for one in self.all))
        if self.any is not None:
            yield AnyOf(tuple(one.condition for one in self.any))
        if self.none is not None:
            yield NoneOf(tuple(one.condition for one in self.none))


def _names(given: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if given is None else frozenset(given)


class HoldSettings(Section):
    """What a route with `release: held` holds, and for how long."""

    destinations: Some[str] | None = None
    """Whose results wait; those of others go by themselves; None: all."""
    findings: Some[str] | None = None
    """Results wait only where one of these findings, by its key, is present or possible; None: whatever was found."""
    after_h: Annotated[float, Field(gt=0, le=24 * 366)] | None = None
    """Hours after which `then` happens."""
    then: AtTimeOut = AtTimeOut.KEEP
    """release: they go; drop: they never go; keep: they stay held."""

    @model_validator(mode="after")
    def _time_and_deed_agree(self) -> Self:
        if (self.after_h is None) != (self.then is AtTimeOut.KEEP):
            raise ValueError("after_h and then: release or then: drop belong together; without both, results stay held")
        return self

    @property
    def hold(self) -> Hold:
        """The same for who holds."""
        return Hold(_names(self.destinations), _names(self.findings), self.after_h, self.then)


class RouteSettings(Section):
    """What becomes of some images. Of the routes that hold for an image the first one takes it."""

    name: Name
    """Yours, for reasons, logs and status pages."""
    when: ConditionSettings = ConditionSettings()
    """Which images it takes."""
    analyse: bool = True
    """False: they are not analysed, and have that as their reason."""
    destinations: Some[str] | None = None
    """Names of the destinations that may get results; None: all."""
    release: Release = Release.AUTOMATIC
    """automatic: results go at once; held: once a person has released them; never: they are kept here (shadow mode)."""
    hold: HoldSettings = HoldSettings()
    """With `release: held`: what is held, and for how long; nothing is said: everything, until a person decides."""

    @model_validator(mode="after")
    def _only_what_is_held_is_held(self) -> Self:
        if self.release is not Release.HELD and self.hold != HoldSettings():
            raise ValueError("hold: goes with release: held alone")
        return self

    @property
    def route(self) -> Route:
        """The same for who takes it."""
        return Route(
            self.name,
            self.when.condition,
            self.analyse,
            _names(self.destinations),
            self.release,
            self.hold.hold,
        )


__all__ = ["AgeTestSettings", "ConditionSettings", "HoldSettings", "RouteSettings", "TextTestSettings"]
