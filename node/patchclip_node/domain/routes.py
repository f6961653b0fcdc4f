"""Which images are analysed and where their results go, by what is known of each: conditions, routes and verdicts.

A condition holds, does not hold, or is undecided: what an image does not say is neither inside nor outside, unless the
condition says what missing counts as. `none` of something undecided is undecided, too (Kleene's three values), so that
"not a child" is never true of a patient whose age is missing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Final, NamedTuple, Protocol

from patchclip_node.domain.release import ALL_OF_IT, STRICTEST_FIRST, Held, Hold, Release


class ImageField(StrEnum):
    """What conditions look at, by the word that settings use."""

    SENDER = "sender"
    MODALITY = "modality"
    BODY_PART = "body_part"
    VIEW = "view"
    STATION = "station"
    DESCRIPTION = "description"
    PRIORITY = "priority"

    @property
    def words(self) -> str:
        """As a sentence calls it."""
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What conditions may look at. texts: of each field all that is said, in one or several elements; none: missing.

    age_years: with its fraction; None where it is missing.
    """

    texts: Mapping[ImageField, tuple[str, ...]]
    age_years: float | None = None

    def said(self, what: ImageField) -> tuple[str, ...]:
        """Return all that is said of a field."""
        return self.texts.get(what, ())


class Verdict(NamedTuple):
    """Whether a condition holds, and why. holds: None where it is undecided."""

    holds: bool | None
    why: str


class Condition(Protocol):
    """Something that holds of an image or does not."""

    def verdict(self, facts: ImageFacts) -> Verdict:
        """Judge an image."""
        ...


@dataclass(frozen=True, slots=True)
class TextCondition:
    """One of the words that an image says is as wanted, and none as unwanted. `*` and `?` stand for other characters.

    Case does not count. missing: what it counts as where nothing is said; None: undecided.
    """

    what: ImageField
    one_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    missing: bool | None = None

    def verdict(self, facts: ImageFacts) -> Verdict:
        """Judge an image."""
        said = facts.said(self.what)
        if not said:
            return _of_missing(self.what.words, self.missing)
        shown = f"{self.what.words} is {' and '.join(said)}"
        if (unwanted := _first_match(self.none_of, said)) is not None:
            return Verdict(False, f"{shown}, which {unwanted} excludes")
        if self.one_of and (wanted := _first_match(self.one_of, said)) is not None:
            return Verdict(True, shown if wanted in said else f"{shown}, as in {wanted}")
        if self.one_of:
            return Verdict(False, f"{shown}, not {_listed(self.one_of)}")
        if self.none_of:
            return Verdict(True, f"{shown}, not {_listed(self.none_of)}")
        return Verdict(not self.missing, f"{shown}, not missing")


@dataclass(frozen=True, slots=True)
class AgeCondition:
    """The patient's age in years is at least, or below. missing: as of `TextCondition`."""

    at_least: float | None = None
    below: float | None = None
    missing: bool | None = None

    def verdict(self, facts: ImageFacts) -> Verdict:
        """Judge an image."""
        age = facts.age_years
        if age is None:
            return _of_missing("age", self.missing)
        shown = f"age is {_years(age)}"
        if self.at_least is not None and age < self.at_least:
            return Verdict(False, f"{shown}, not at least {self.at_least:g}")
        if self.below is not None and age >= self.below:
            return Verdict(False, f"{shown}, not below {self.below:g}")
        if self.at_least is None and self.below is None:
            return Verdict(not self.missing, f"{shown}, not missing")
        return Verdict(True, shown)


@dataclass(frozen=True, slots=True)
class All:
    """Holds where each part does; without parts always."""

    parts: tuple[Condition, ...] = ()

    def verdict(self, facts: ImageFacts) -> Verdict:
        """Judge an image."""
        found = [part.verdict(facts) for part in self.parts]
        for holds in (False, None):
            if against := [one for one in found if one.holds is holds]:
                return against[0]
        return Verdict(True, "; ".join(one.why for one in found) or "it takes every image")


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where one part does."""

    parts: tuple[Condition, ...]

    def verdict(self, facts: ImageFacts) -> Verdict:
        """Judge an image."""
        found = [part.verdict(facts) for part in self.parts]
        for holds in (True, None):
            if among := [one for one in found if one.holds is holds]:
                return among[0]
        return Verdict(False, "; ".join(one.why for one in found))


@dataclass(frozen=True, slots=True)
class NoneOf:
    """Holds where no part does."""

    parts: tuple[Condition, ...]

    def verdict(self, facts: ImageFacts) -> Verdict:
        """Judge an image."""
        found = AnyOf(self.parts).verdict(facts)
        return Verdict(None if found.holds is None else not found.holds, found.why)


@dataclass(frozen=True, slots=True)
class Route:
    """What becomes of the images that it takes.

    analyse: False: they are not analysed. destinations: names of those that may get results; None: all. release: how
    results leave; hold: of HELD, what waits for a person.
    """

    name: str
    when: Condition = field(default_factory=All)
    analyse: bool = True
    destinations: frozenset[str] | None = None
    release: Release = Release.AUTOMATIC
    hold: Hold = ALL_OF_IT

    @property
    def refusal(self) -> str:
        """Why an image that it takes is not analysed."""
        return f"the route {self.name} says that such images are not analysed"


EVERYTHING_ELSE: Final = Route("everything else")
"""Takes what no route takes: it is analysed, and all destinations get results, as in a node without routes."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The route of an image.

    verdicts: of each route that was looked at, in their order; the last one took it, unless `EVERYTHING_ELSE` did.
    """

    route: Route
    verdicts: tuple[tuple[Route, Verdict], ...]


@dataclass(frozen=True, slots=True)
class Routes:
    """All routes of a node: the first one whose condition holds takes an image."""

    routes: tuple[Route, ...] = ()

    def choose(self, facts: ImageFacts) -> Choice:
        """Return the route of an image, and why."""
        verdicts: list[tuple[Route, Verdict]] = []
        for route in self.routes:
            verdict = route.when.verdict(facts)
            verdicts.append((route, verdict))
            if verdict.holds:
                return Choice(route, tuple(verdicts))
        return Choice(EVERYTHING_ELSE, tuple(verdicts))


NO_ROUTES: Final = Routes()


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What becomes of the results of a study. routes: of its analysed images, each once, in the order of the images.

    Where they differ, the stricter one holds: a destination gets results only where all of them name it, results that
    one of them holds are held, and where one of them never releases any, none go out.
    """

    routes: tuple[Route, ...] = (EVERYTHING_ELSE,)

    @classmethod
    def of(cls, routes: Iterable[Route]) -> Dispatch:
        """Return the dispatch of a study whose analysed images took these routes."""
        return cls(tuple(dict.fromkeys(routes)))

    def allows(self, destination: str) -> bool:
        """Tell whether a destination may get results."""
        return all(
            route.release is not Release.NEVER and (route.destinations is None or destination in route.destinations)
            for route in self.routes
        )

    def destinations(self, names: Iterable[str]) -> list[str]:
        """Return those of the destinations that may get results."""
        return [name for name in names if self.allows(name)]

    def kept(self, names: Collection[str]) -> str:
        """Say why nothing goes to any of these destinations; '' where something may."""
        shadowed = [route.name for route in self.routes if route.release is Release.NEVER]
        if shadowed:
            return f"the route {' and '.join(shadowed)} keeps results here"
        if names and not self.destinations(names):
            return f"no destination is one of each route's: {', '.join(route.name for route in self.routes)}"
        return ""

    def waits(self, destination: str) -> str:
        """Say for what a destination's results wait, whatever is found; '' where they go at once."""
        holds = [route.hold.line(destination) for route in self.routes if route.release is Release.HELD]
        return "; ".join(dict.fromkeys(line for line in holds if line))

    def held(self, destination: str, found: Collection[str]) -> Held | None:
        """Return what holds a destination's results, where findings are present or possible; None: nothing does.

        Of several holds the one counts that is least willing to let go by itself, then the longest.
        """
        holds = [
            (route.name, route.hold)
            for route in self.routes
            if route.release is Release.HELD and route.hold.concerns(destination, found)
        ]
        if not holds:
            return None
        strictest = min((hold for _, hold in holds), key=lambda hold: (STRICTEST_FIRST.index(hold.then), -_hours(hold)))
        names = " and ".join(name for name, _ in holds)
        return Held(f"held by the route {names}", strictest.after_h, strictest.then)


EVERYWHERE: Final = Dispatch()
"""What becomes of results in a node without routes."""


def _hours(hold: Hold) -> float:
    return inf if hold.after_h is None else hold.after_h


def _first_match(patterns: Sequence[str], said: Collection[str]) -> str | None:
    return next((one for one in patterns if any(_matches(one, word) for word in said)), None)


def _matches(pattern: str, word: str) -> bool:
    parts = re.split(r"([*?])", pattern.casefold())
    expression = "".join({"*": ".*", "?": "."}.get(part) or re.escape(part) for part in parts)
    return re.fullmatch(expression, word.casefold(), re.DOTALL) is not None


def _of_missing(words: str, counts_as: bool | None) -> Verdict:
    undecided = f"{words} is missing, and it is not said what missing counts as"
    return Verdict(counts_as, undecided if counts_as is None else f"{words} is missing")


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"one of {', '.join(words)}"


def _years(age: float) -> str:
    return f"{age:.1f}".removesuffix(".0")
