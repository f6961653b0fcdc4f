"""Conditions say yes, no or undecided; routes are tried in their order; a study takes the stricter of its routes."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from patchclip_node.domain.release import AtTimeOut, Hold, Release
from patchclip_node.domain.routes import (
    EVERYTHING_ELSE,
    AgeCondition,
    All,
    AnyOf,
    Condition,
    Dispatch,
    ImageFacts,
    ImageField,
    NoneOf,
    Route,
    Routes,
    TextCondition,
    Verdict,
)

SENDER = ImageField.SENDER
ANYTHING = ImageFacts({})


class Fixed:
    """A condition whose verdict is known."""

    def __init__(self, holds: bool | None) -> None:
        self.holds = holds

    def verdict(self, facts: ImageFacts) -> Verdict:
        return Verdict(self.holds, str(self.holds))


def facts(*senders: str, age: float | None = None) -> ImageFacts:
    return ImageFacts({SENDER: senders} if senders else {}, age)


@pytest.mark.parametrize(
    ("wanted", "said", "holds"),
    [
        ("ER1", "ER1", True),
        ("er1", "ER1", True),
        ("ER1", "ER12", False),
        ("ER*", "ER", True),
        ("ER*", "ER12", True),
        ("*CHEST*", "XR Chest PA", True),
        ("ER?", "ER1", True),
        ("ER?", "ER", False),
        ("ER?", "ER12", False),
        ("A.B", "AxB", False),
        ("[AB]", "A", False),
        ("(PA", "(PA", True),
        ("*a*b*", "xaxxbx", True),
    ],
)
def test_a_pattern_is_a_word_with_two_signs_for_others(wanted: str, said: str, holds: bool) -> None:
    assert TextCondition(SENDER, (wanted,)).verdict(facts(said)).holds is holds
    assert TextCondition(SENDER, none_of=(wanted,)).verdict(facts(said)).holds is not holds


def test_one_of_several_words_is_enough_and_an_unwanted_one_is_stronger() -> None:
    wanted = TextCondition(SENDER, ("PA",), ("PORT*",))

    assert wanted.verdict(facts("frontal", "PA")).holds
    assert not wanted.verdict(facts("PA", "PORTABLE")).holds


@pytest.mark.parametrize("missing", [True, False, None])
@pytest.mark.parametrize(
    "condition",
    [
        lambda missing: TextCondition(SENDER, ("A",), (), missing),
        lambda missing: TextCondition(SENDER, (), ("A",), missing),
        lambda missing: AgeCondition(18, None, missing),
        lambda missing: AgeCondition(None, 18, missing),
    ],
)
def test_what_is_missing_counts_as_the_condition_says(condition: type[TextCondition], missing: bool | None) -> None:
    verdict = condition(missing).verdict(ANYTHING)  # type: ignore[arg-type]  # a function of `missing` alone

    assert verdict.holds is missing
    assert "is missing" in verdict.why


@pytest.mark.parametrize("missing", [True, False])
def test_missing_alone_asks_whether_something_is_there(missing: bool) -> None:
    assert TextCondition(SENDER, missing=missing).verdict(facts("A")).holds is not missing
    assert AgeCondition(missing=missing).verdict(facts(age=3)).holds is not missing


@pytest.mark.parametrize(
    ("age", "holds"), [(17.99, False), (18.0, True), (64.9, True), (65.0, False), (0.0, False), (120.0, False)]
)
def test_an_age_is_at_least_and_below(age: float, holds: bool) -> None:
    assert AgeCondition(18, 65).verdict(facts(age=age)).holds is holds


@pytest.mark.parametrize(("one", "other"), list(product([True, False, None], repeat=2)))
def test_all_any_and_none_are_kleenes(one: bool | None, other: bool | None) -> None:
    parts: tuple[Condition, ...] = (Fixed(one), Fixed(other))
    both = False if False in {one, other} else None if None in {one, other} else True
    either = True if True in {one, other} else None if None in {one, other} else False

    assert All(parts).verdict(ANYTHING).holds is both
    assert AnyOf(parts).verdict(ANYTHING).holds is either
    assert NoneOf(parts).verdict(ANYTHING).holds is (None if either is None else not either)


def test_nothing_said_holds_for_every_image() -> None:
    assert All().verdict(ANYTHING).holds


def test_the_first_route_that_holds_takes_an_image_and_later_ones_are_not_asked() -> None:
    first, second, third = (Route(name, Fixed(holds)) for name, holds in (("a", None), ("b", True), ("c", True)))

    choice = Routes((first, second, third)).choose(ANYTHING)

    assert choice.route is second
    assert [(route.name, verdict.holds) for route, verdict in choice.verdicts] == [("a", None), ("b", True)]


def test_what_no_route_takes_is_treated_as_without_routes() -> None:
    choice = Routes((Route("a", Fixed(False), analyse=False),)).choose(ANYTHING)

    assert choice.route is EVERYTHING_ELSE
    assert choice.route.analyse
    assert Dispatch.of([choice.route]).destinations(["pacs", "emr"]) == ["pacs", "emr"]


def held(name: str, **how: Any) -> Route:
    return Route(name, release=Release.HELD, hold=Hold(**how))


def test_of_the_routes_of_a_study_the_one_that_never_releases_counts_first() -> None:
    dispatch = Dispatch.of([EVERYTHING_ELSE, held("a"), Route("shadow", release=Release.NEVER)])

    assert dispatch.destinations(["pacs"]) == []
    assert "shadow" in dispatch.kept(["pacs"])
    assert Dispatch.of([EVERYTHING_ELSE, held("a")]).kept(["pacs"]) == ""


def test_no_common_destination_is_a_reason_to_keep_results() -> None:
    one, other = (Route(name, destinations=frozenset({name})) for name in ("pacs", "emr"))

    assert "pacs, emr" in Dispatch.of([one, other]).kept(["pacs", "emr"])
    assert Dispatch.of([one]).kept(["pacs", "emr"]) == ""
    assert Dispatch.of([EVERYTHING_ELSE]).kept([]) == ""


@pytest.mark.parametrize(
    ("how", "destination", "found", "holds"),
    [
        ({}, "pacs", (), True),
        ({"destinations": frozenset({"emr"})}, "pacs", (), False),
        ({"destinations": frozenset({"emr"})}, "emr", (), True),
        ({"findings": frozenset({"nodule"})}, "pacs", ("opacity",), False),
        ({"findings": frozenset({"nodule"})}, "pacs", ("opacity", "nodule"), True),
        ({"findings": frozenset({"nodule"}), "destinations": frozenset({"emr"})}, "pacs", ("nodule",), False),
    ],
)
def test_a_hold_may_be_for_a_destination_or_a_finding(
    how: dict[str, Any], destination: str, found: tuple[str, ...], holds: bool
) -> None:
    assert (Dispatch.of([held("a", **how)]).held(destination, found) is not None) is holds


def test_of_several_holds_the_least_willing_and_then_the_longest_counts() -> None:
    release, drop = AtTimeOut.RELEASE, AtTimeOut.DROP
    day, week, thrown = (
        held("a", after_h=24, then=release),
        held("b", after_h=168, then=release),
        held("c", after_h=1, then=drop),
    )

    def counts(*routes: Route) -> tuple[float | None, AtTimeOut]:
        hold = Dispatch.of(routes).held("pacs", ())
        assert hold is not None
        return hold.after_h, hold.then

    assert counts(day, week) == counts(week, day) == (168, release)
    assert counts(day, thrown) == (1, drop)
    assert counts(thrown, held("d")) == (None, AtTimeOut.KEEP)


def test_a_destination_gets_results_only_where_the_routes_of_all_images_name_it() -> None:
    both, one = Route("a", destinations=frozenset({"pacs", "emr"})), Route("b", destinations=frozenset({"emr"}))

    assert Dispatch.of([both, one, both]).destinations(["pacs", "emr"]) == ["emr"]
    assert Dispatch.of([both, EVERYTHING_ELSE]).destinations(["pacs", "emr", "third"]) == ["pacs", "emr"]
    assert Dispatch.of([one, Route("c", destinations=frozenset({"pacs"}))]).destinations(["pacs", "emr"]) == []
