"""The settings as a JSON schema (draft 2020-12), with what the code says of each: for editors and docs/settings.md."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from patchclip_node.settings.live import NEEDS_A_RESTART, Live, live_of, sections_in
from patchclip_node.settings.node import NodeSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"

TAKES_EFFECT: Final = "x-takes-effect"
"""The keyword that says how a change of a setting reaches a running node."""
_WORDS: Final = {True: "by config apply", False: "at a restart"}


def settings_schema() -> dict[str, Any]:
    """Return what a configuration file may hold, each key with its meaning and its default."""
    schema = NodeSettings.model_json_schema()
    described = {"": schema, **schema.get("$defs", {})}
    for kind in _models(NodeSettings):
        here = described["" if kind is NodeSettings else kind.__name__]
        here["description"] = _one_line(inspect.getdoc(kind) or "")
        for name, said in _said_of(kind).items():
            if name in here["properties"]:
                here["properties"][name]["description"] = said
    for kind, around in _marked(NodeSettings):
        here = described["" if kind is NodeSettings else kind.__name__]
        for name, field in kind.model_fields.items():
            if name in here["properties"]:
                here["properties"][name][TAKES_EFFECT] = _WORDS[bool(live_of(field, around).processes)]
    return {"$schema": DIALECT, **schema, "title": "Configuration of a Patch-CLIP node"}


def _marked(kind: type[BaseModel], around: Live = NEEDS_A_RESTART) -> Iterator[tuple[type[BaseModel], Live]]:
    """Yield a model and those below it, with the mark of the field that each belongs to."""
    yield kind, around
    for field in kind.model_fields.values():
        for section in sections_in(field.annotation):
            if section is not kind:
                yield from _marked(section, live_of(field, around))


def _models(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and those that its settings are made of, each once."""
    seen: list[type[BaseModel]] = [kind]
    for one in seen:
        yield one
        for field in one.model_fields.values():
            seen += [found for found in sections_in(field.annotation) if found not in seen]


def _said_of(kind: type[BaseModel]) -> dict[str, str]:
    """Return the text below each field of a class. Python keeps none of it, so that the source is read."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    said = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            said[field.target.id] = _one_line(str(text.value.value))
    return said


def _one_line(text: str) -> str:
    return " ".join(text.split())
