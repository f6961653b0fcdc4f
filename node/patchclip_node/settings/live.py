"""Which settings a running node takes up, and by which of its processes; all others need a restart.

A field says it itself, by `live(...)` in its annotation, and so for all that is below it. This one mark is what `config
apply` goes by, and what the schema and docs/settings.md show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Process = Literal["receive", "work", "deliver", "web"]
"""A process of the node, by the command that starts it."""

EVERY_PROCESS: Final[tuple[Process, ...]] = get_args(Process)


@dataclass(frozen=True, slots=True)
class Live:
    """Who takes a setting up while the node runs. processes: they look at it; none: it needs a restart."""

    processes: frozenset[Process]


def live(*processes: Process) -> Live:
    """Mark a field as one that these processes take up while the node runs."""
    return Live(frozenset(processes))


NEEDS_A_RESTART: Final = live()


def live_of(field: FieldInfo, around: Live = NEEDS_A_RESTART) -> Live:
    """Return the mark of a field; `around`: that of the field that its section belongs to, which holds otherwise."""
    return next((mark for mark in field.metadata if isinstance(mark, Live)), around)


def takers(settings: type[BaseModel], key: str) -> frozenset[Process]:
    """Return who takes a setting up; none: it needs a restart. key: such as `port` or `limits.max_associations`."""
    name, _, part = key.partition(".")
    mark = live_of(settings.model_fields[name])
    for section in sections_in(settings.model_fields[name].annotation):
        if part in section.model_fields:
            return live_of(section.model_fields[part], mark).processes
    return mark.processes


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the sections that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from sections_in(part)
