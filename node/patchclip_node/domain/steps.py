"""How long each step of a study's way takes, as counts in classes of seconds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Step(StrEnum):
    """A step.

    RECEIVE: from the first image until the study is closed. WAIT: until a worker has it. FETCH to STORE: of the
    analysis, by its own names. DELIVER: from when an object is due until it has arrived; CONFIRM: the same where
    the destination has to commit to it. WHOLE: from the first image until the study is RETURNED.
    """

    RECEIVE = "receive"
    WAIT = "wait"
    FETCH = "fetch"
    SELECT = "select"
    DECODE = "decode"
    MODEL = "model"
    OVERLAY = "overlay"
    RESULTS = "results"
    STORE = "store"
    DELIVER = "deliver"
    CONFIRM = "confirm"
    WHOLE = "whole"


BOUNDS_S: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 86_400.0)
"""Ends of the classes, in seconds, inclusive; the last class has none."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """What a step took so far. numbers: in each class of `BOUNDS_S`, and in the last one. total_s: all together."""

    step: Step
    numbers: tuple[int, ...]
    total_s: float


def class_of(seconds: float) -> int:
    """Return the number of the class that a time falls into; times before 0 count as 0."""
    return bisect_left(BOUNDS_S, max(seconds, 0.0))


def known_steps(seconds: Mapping[str, float]) -> dict[Step, float]:
    """Return of named times those that are steps."""
    return {Step(name): value for name, value in seconds.items() if name in set(Step)}
