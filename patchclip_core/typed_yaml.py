"""What people write in YAML, read into typed models: the one reader of settings, recipes and tables.

Each error names the file, line and path of every key that is wrong, the key that may be meant, and what to do. A caller
says which model it wants, which error it raises, and what the file is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)

_MERGE = "tag:yaml.org,2002:merge"
_KEY = "[key]"
"""What pydantic calls the key of a mapping, where that is wrong and not its value."""
_PLAIN_WORDS = {
    "dict_type": "must hold 'key: value' lines",
    "mapping_type": "must hold 'key: value' lines",
    "model_type": "must hold 'key: value' lines",
    "list_type": "must hold a list, each entry after a '-'",
    "tuple_type": "must hold a list, each entry after a '-'",
    "string_type": "must be text: put it in quotes",
}
"""What pydantic says in terms of Python, by its type of error."""


Place = tuple[str | int, ...]
"""Keys of mappings and places in lists, from the file's beginning on."""


class Written(dict[str, Any]):
    """The keys of a file and their values, and the line in which each stands."""

    def __init__(self, content: Mapping[str, Any], lines: Mapping[Place, int]) -> None:
        super().__init__(content)
        self._lines = lines

    def line_of(self, place: Place) -> int | None:
        """Return the line of a key, or of the nearest one above it; None where the file has neither."""
        return next((self._lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in self._lines), None)

    def owner_of(self, place: Place) -> str:
        """Return the name of the innermost entry that a key belongs to and that has a `name`; '' where none has."""
        name, inner = "", self
        for part in place:
            try:
                inner = inner[part]  # type: ignore[index]  # a list takes the numbers of its places
            except (KeyError, IndexError, TypeError):
                break
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                name = inner["name"]
        return name


NOT_WRITTEN = Written({}, {})
"""What does not come from a file."""


class Problem(NamedTuple):
    """One thing that is wrong.

    place: the path of its key, '' for the whole file. line: where it stands in the file, if it does. owner: the name
    of the entry that the key belongs to, where entries have names.
    """

    place: str
    said: str
    line: int | None = None
    owner: str = ""

    def __str__(self) -> str:
        line = f"line {self.line}: " if self.line is not None else ""
        place = f"{self.place} (of '{self.owner}'): " if self.owner else f"{self.place}: " if self.place else ""
        return f"{line}{place}{self.said}"


class PlacedError(ValueError):
    """What a model's validator finds wrong with a key deep below it. place: of that key, from the model on."""

    def __init__(self, place: Place, said: str) -> None:
        super().__init__(said)
        self.place = place


class DoubledKeyError(yaml.YAMLError):
    """A key is given twice in one mapping; PyYAML would keep the last one silently."""


class _Loader(yaml.SafeLoader):
    """Reads as `yaml.safe_load` does, but for a key that is given twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise DoubledKeyError(
                    f"line {line}: the key '{key.value}' is given twice (first in line {lines[name]}): keep one of them"
                )
            lines[name] = line
        return node


def parse(text: str) -> Any:
    """Return what YAML text says. Raises `yaml.YAMLError`, also for a key that is given twice."""
    return _read(text)[0]


def _read(text: str) -> tuple[Any, dict[Place, int]]:
    """Return what YAML text says, and in which line each of its keys stands."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return (None, {}) if node is None else (loader.construct_document(node), dict(_lines(node)))
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except ValueError as error:  # of a value that only looks like a date
        raise yaml.YAMLError(str(error)) from error
    finally:
        loader.dispose()


def _lines(node: yaml.Node, under: Place = ()) -> Iterator[tuple[Place, int]]:
    """Yield the line of each key below a node. What an alias repeats stands where it was written first."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                yield (*under, key.value), key.start_mark.line + 1
                yield from _lines(value, (*under, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*under, index), value.start_mark.line + 1
            yield from _lines(value, (*under, index))


def read_yaml(path: Path, error: type[Exception], what: str) -> Written:
    """Return the keys of a YAML file; an empty file has none. what: what the file is, such as 'the configuration'."""
    try:
        content, lines = _read(path.read_text(encoding="utf-8"))
    except OSError as found:
        raise error(f"cannot read {path} as {what}: {found.strerror}; give a file that can be read") from found
    except UnicodeDecodeError as found:
        raise error(f"{path} is not text in UTF-8 (byte {found.start + 1}): save it as UTF-8") from found
    except DoubledKeyError as found:
        raise error(f"{path}, {found}") from found
    except yaml.YAMLError as found:
        raise error(f"{path} is not valid YAML: {_told(found)}") from found
    if content is None:
        return Written({}, {})
    if not isinstance(content, dict):
        raise error(f"{path} must hold 'key: value' lines, it holds a {type(content).__name__}")
    if unnamed := [key for key in content if not isinstance(key, str)]:
        raise error(f"{path}: the key {unnamed[0]!r} is not text: put it in quotes, or write the key that is meant")
    return Written(content, lines)


def _told(found: yaml.YAMLError) -> str:
    """Return what a reader of YAML found, and where; its own words name a file that is none."""
    if not isinstance(found, yaml.MarkedYAMLError) or found.problem_mark is None:
        return str(found)
    mark = found.problem_mark
    return f"line {mark.line + 1}, character {mark.column + 1}: {found.problem}"


def read_model(kind: type[Model], path: Path, error: type[Exception], what: str) -> Model:
    """Read a YAML file into a model. Raises `error`; `what` is what the file is, such as 'the findings file'."""
    content = read_yaml(path, error, what)
    return checked(kind, content, error, what, unusable(path, what))


def unusable(path: Path, what: str) -> str:
    """Return the title of an error about the keys of a file."""
    return f"{path}, read as {what}, cannot be used; mend these keys:"


def checked(
    kind: type[Model], content: Any, error: type[Exception], what: str, title: str, under: Sequence[str] = ()
) -> Model:
    """Return content as a model. Raises `error`: the title, then a line for each thing that is wrong.

    under: the keys that the content stands under, where it is part of a file.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as found:
        written = content if isinstance(content, Written) else NOT_WRITTEN
        raise error(described(title, problems(kind, found, what, written, under))) from found


def described(title: str, found: Sequence[Problem]) -> str:
    """Return the text of an error: a title, and a line for each thing that is wrong."""
    return "\n".join([title, *(f"  {problem}" for problem in found)])


def problems(
    kind: type[BaseModel],
    found: ValidationError,
    what: str,
    written: Written = NOT_WRITTEN,
    under: Sequence[str] = (),
) -> list[Problem]:
    """Say what pydantic found in the words of who wrote the file, with the key that may be meant for an unknown one.

    written: the file's content, which tells line and entry of each.
    """
    return [_problem(kind, item, what, written, under) for item in found.errors(include_url=False)]


def _problem(
    kind: type[BaseModel], item: Mapping[str, Any], what: str, written: Written, under: Sequence[str]
) -> Problem:
    sort, loc = str(item["type"]), tuple(item["loc"])
    if isinstance(placed := item.get("ctx", {}).get("error"), PlacedError):
        loc = (*loc, *placed.place)
    unknown = sort == "extra_forbidden"
    parts, annotations = _followed(kind, loc[:-1] if unknown else loc)
    if unknown:
        parts.append(loc[-1])
    elif loc and loc[-1] == _KEY:  # pydantic writes a key that is not text as a number
        parts = [*_followed(kind, loc[:-2])[0], str(item["input"])]
    place = _dotted(under, parts)
    if unknown:
        said = f"{what} has no key '{place}'"
        if near := get_close_matches(str(loc[-1]), _keys(annotations), 1):
            said += f"; '{_dotted(under, parts[:-1], near)}' may be meant"
        elif known := _keys(annotations):
            said += f"; the keys here are {', '.join(known)}"
    elif sort == "missing":
        said = f"{what} needs the key '{place}'"
    else:
        said = _PLAIN_WORDS.get(sort, str(item["msg"]).removeprefix("Value error, "))
    return Problem(place, said, written.line_of(tuple(parts)), written.owner_of(tuple(parts)))


def _dotted(*parts: Sequence[str | int]) -> str:
    return ".".join(str(part) for some in parts for part in some)


def _followed(kind: type[BaseModel], loc: Sequence[str | int]) -> tuple[list[str | int], list[Any]]:
    """Follow a place that pydantic names into a model; returns the keys that the file has there, and what may stand.

    Between the keys, pydantic names which of several types it tried; no file has those.
    """
    parts: list[str | int] = []
    annotations: list[Any] = [kind]
    for part in loc:
        inner = [within for one in annotations for within in _within(one, part)]
        if inner:
            parts.append(part)
            annotations = inner
    return parts, annotations


def _within(annotation: Any, part: str | int) -> Iterator[Any]:
    """Yield the types of what stands under a key, or at a place of a list."""
    for one in _alternatives(annotation):
        origin, arguments = get_origin(one), get_args(one)
        if isinstance(one, type) and issubclass(one, BaseModel):
            if part in one.model_fields:
                yield one.model_fields[str(part)].annotation
        elif isinstance(origin, type) and issubclass(origin, Mapping) and part != _KEY:
            yield arguments[1]
        elif isinstance(origin, type) and issubclass(origin, Sequence) and isinstance(part, int):
            yield arguments[0]


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin is Union or origin is UnionType:
        for one in get_args(annotation):
            yield from _alternatives(one)
    else:
        yield annotation


def _keys(annotations: Sequence[Any]) -> list[str]:
    models = [one for annotation in annotations for one in _alternatives(annotation) if isinstance(one, type)]
    return list(dict.fromkeys(key for one in models if issubclass(one, BaseModel) for key in one.model_fields))
