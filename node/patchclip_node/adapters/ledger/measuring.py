"""Figures that the ledger keeps with what they are of: times by step, and the last probabilities of each finding.

They are written in the transaction of the change itself. So they are the same for all processes and hosts, outlast
each of them, and no look at them reads a study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger as Big
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.schema import metadata, row_id, studies
from patchclip_node.adapters.ledger.tracing import trace_steps
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.steps import BOUNDS_S, Step, StepTimes, class_of

KEPT_SCORES: Final = 20_000
"""Probabilities of the last images that are kept: of 20 findings those of 1,000 images."""

step_times = Table(
    "step_times",
    metadata,
    Column("step", String(16), primary_key=True),
    Column("time_class", Integer, primary_key=True),
    Column("number", Big, nullable=False),
    Column("total_s", Float, nullable=False),
)
"""One row for each step and class of `BOUNDS_S`: how often it took that long, and all together."""

scores = Table(
    "scores",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("weights_digest", Text, nullable=False),
    Column("finding", String(32), nullable=False),
    Column("probability", Float, nullable=False),
)
"""One row for each finding of the last images, whose they are is not kept."""


class SqlFigures:
    """The port `Figures`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def times(self) -> list[StepTimes]:
        """See the port."""
        with self._database.read() as connection:
            kept = {(row.step, row.time_class): row for row in connection.execute(select(step_times))}
        return [
            StepTimes(
                step,
                tuple(kept[key].number if (key := (step.value, number)) in kept else 0 for number in _CLASSES),
                sum(kept[key].total_s for number in _CLASSES if (key := (step.value, number)) in kept),
            )
            for step in Step
        ]

    def oldest(self, states: Iterable[StudyState]) -> dict[StudyState, datetime]:
        """See the port."""
        with self._database.read() as connection:
            found = {state: _oldest(connection, state) for state in states}
        return {state: at for state, at in found.items() if at is not None}

    def probabilities(self, weights_digest: str) -> dict[str, list[float]]:
        """See the port."""
        of_model = select(scores).where(scores.c.weights_digest == weights_digest).order_by(scores.c.id)
        found: dict[str, list[float]] = {}
        with self._database.read() as connection:
            for row in connection.execute(of_model):
                found.setdefault(row.finding, []).append(row.probability)
        return found


_CLASSES: Final = range(len(BOUNDS_S) + 1)
_ONE_MORE: Final = (
    update(step_times)
    .where((step_times.c.step == bindparam("of_step")) & (step_times.c.time_class == bindparam("of_class")))
    .values(number=step_times.c.number + 1, total_s=step_times.c.total_s + bindparam("more_s"))
)


def took(
    connection: Connection, study_id: int, ended_at: datetime, times: Mapping[Step, float], destination: str = ""
) -> None:
    """Count how long steps of a study took, in seconds, in the writing transaction of what ended them.

    Where spans are told, each is one as well. destination: of what went there.
    """
    trace_steps(connection, study_id, ended_at, times, destination)
    for step, seconds in times.items():
        this = {"of_step": step.value, "of_class": class_of(seconds), "more_s": max(seconds, 0.0)}
        if not connection.execute(_ONE_MORE, this).rowcount:
            first = {"step": step.value, "time_class": this["of_class"], "number": 1, "total_s": this["more_s"]}
            connection.execute(insert(step_times).values(**first))


def scored(connection: Connection, weights_digest: str, found: Sequence[tuple[str, float]]) -> None:
    """Keep probabilities of findings, and of all the last ones alone."""
    if not found:
        return
    rows = [{"weights_digest": weights_digest, "finding": key, "probability": value} for key, value in found]
    connection.execute(insert(scores), rows)
    last = connection.execute(select(func.max(scores.c.id))).scalar_one()
    connection.execute(delete(scores).where(scores.c.id <= last - KEPT_SCORES))


def _oldest(connection: Connection, state: StudyState) -> datetime | None:
    first = select(studies.c.state_since).where(studies.c.state == state.value).order_by(studies.c.state_since).limit(1)
    found: datetime | None = connection.execute(first).scalar_one_or_none()
    return found
