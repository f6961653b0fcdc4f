from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from patchclip_core.typed_yaml import checked, parse, read_model, read_yaml


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Circle(Strict):
    kind: Literal["circle"]
    radius: float = 1.0


class Square(Strict):
    kind: Literal["square"]
    side_mm: float = 1.0


class Drawing(Strict):
    colour: str
    shapes: tuple[Annotated[Circle | Square, Field(discriminator="kind")], ...] = ()
    background: Circle | None = None
    named: Mapping[str, Square] = {}
    border: int | tuple[int, int] = 1
    tags: dict[str, str] = {}

    @model_validator(mode="after")
    def _visible(self) -> Drawing:
        if self.colour == "clear":
            raise ValueError("nothing would be seen: take another colour")
        return self


class SketchError(Exception):
    pass


def sketch(text: str, folder: Path) -> Drawing:
    path = folder / "sketch.yaml"
    path.write_text(text, encoding="utf-8")
    return read_model(Drawing, path, SketchError, "a sketch")


def test_a_file_becomes_the_model(tmp_path: Path) -> None:
    drawing = sketch("colour: red\nshapes: [{kind: circle, radius: 2}]\nnamed: {a: {kind: square}}", tmp_path)

    assert drawing == Drawing(
        colour="red", shapes=(Circle(kind="circle", radius=2),), named={"a": Square(kind="square")}
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("color: red", "color: a sketch has no key 'color'; 'colour' may be meant"),
        ("color: red", "colour: a sketch needs the key 'colour'"),
        ("colour: red\nzzz: 1", "zzz: a sketch has no key 'zzz'; the keys here are colour, shapes, background, named"),
        (
            "colour: red\nbackground: {kind: circle, radios: 1}",
            "background.radios: a sketch has no key 'background.radios'; 'background.radius' may be meant",
        ),
        (
            "colour: red\nshapes: [{kind: circle}, {kind: square, side: 3}]",
            "shapes.1.side: a sketch has no key 'shapes.1.side'; 'shapes.1.side_mm' may be meant",
        ),
        (
            "colour: red\nnamed: {a: {kind: square, sidemm: 3}}",
            "named.a.sidemm: a sketch has no key 'named.a.sidemm'; 'named.a.side_mm' may be meant",
        ),
        ("colour: red\nshapes: [{kind: square, side_mm: wide}]", "shapes.0.side_mm: Input should be a valid number"),
        ("colour: red\nborder: wide", "border: Input should be a valid integer"),
        ("colour: red\nborder: wide", "border: must hold a list, each entry after a '-'"),
        ("colour: red\nshapes: 3", "shapes: must hold a list, each entry after a '-'"),
        ("colour: red\nbackground: 3", "background: must hold 'key: value' lines"),
        ("colour: red\ntags: {no: nein}", "tags.False: must be text: put it in quotes"),
        ("colour: 3", "colour: must be text: put it in quotes"),
        ("colour: clear", "nothing would be seen: take another colour"),
    ],
)
def test_what_is_wrong_is_named_by_the_path_of_its_key(text: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(SketchError) as refused:
        sketch(text, tmp_path)

    title, *lines = str(refused.value).split("\n")
    assert title == f"{tmp_path / 'sketch.yaml'}, read as a sketch, cannot be used; mend these keys:"
    assert any(f"  {line}" in said or f": {line}" in said for said in lines), lines


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("colour: red\n\n# a comment\nzzz: 1", "line 4: zzz: a sketch has no key 'zzz'"),
        ("colour: red\nshapes:\n  - kind: circle\n  - kind: square\n    side: 3", "line 5: shapes.1.side: "),
        ("colour: red\nshapes:\n  - kind: circle\n  - side_mm: 3", "line 4: shapes.1: "),
        ("colour: red\nshapes: [{kind: circle},\n {kind: square, side: 3}]", "line 3: shapes.1.side: "),
        ("colour: red\nnamed:\n  a: {kind: square}\n  b:\n    kind: square\n    sidemm: 3", "line 6: named.b.sidemm: "),
        ("colour: red\nnamed:\n  a:\n    side_mm: 3", "line 3: named.a.kind: a sketch needs the key"),
        ("x: 1", "colour: a sketch needs the key 'colour'"),
        ("\ncolour: clear", "nothing would be seen"),
        ("colour: red\nborder: wide", "line 2: border: "),
        ("colour: red\nbackground: &b {kind: circle, radios: 2}", "line 2: background.radios: "),
    ],
)
def test_a_problem_says_its_line(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(SketchError) as refused:
        sketch(text, tmp_path)

    assert any(line.startswith(f"  {problem}") for line in str(refused.value).splitlines()), str(refused.value)


class Room(Strict):
    name: str
    height_mm: float = 1.0
    doors: tuple[Room, ...] = ()


class House(Strict):
    rooms: tuple[Room, ...] = ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rooms:\n- {name: hall}\n- {name: attic, heigth_mm: 2}", "line 3: rooms.1.heigth_mm (of 'attic'): "),
        ("rooms:\n- {name: hall, height_mm: low}", "line 2: rooms.0.height_mm (of 'hall'): "),
        (
            "rooms:\n- name: hall\n  doors: [{name: east, hieght_mm: 1}]",
            "line 3: rooms.0.doors.0.hieght_mm (of 'east'): ",
        ),
        ("rooms:\n- height_mm: 3", "line 2: rooms.0.name: "),
        ("rooms:\n- {name: 3, height_mm: low}", "line 2: rooms.0.height_mm: "),
    ],
)
def test_a_problem_of_a_named_entry_says_whose_it_is(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(SketchError) as refused:
        read_model(House, path, SketchError, "a house")

    assert any(line.startswith(f"  {problem}") for line in str(refused.value).splitlines()), str(refused.value)


def test_the_keys_of_a_part_are_those_of_the_file_that_it_stands_in() -> None:
    with pytest.raises(SketchError, match=r"^title\n  settings\.colour: a sketch needs the key 'settings\.colour'$"):
        checked(Drawing, {}, SketchError, "a sketch", "title", under=("settings",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' is given twice (first in line 1): keep one of them"),
        ("a: 1\na: 1", "line 2: the key 'a' is given twice (first in line 1)"),
        ("{a: 1, a: 2}", "line 1: the key 'a' is given twice (first in line 1)"),
        ("a:\n  - b: {c: 1,\n      c: 2}", "line 3: the key 'c' is given twice (first in line 2)"),
        ("x: &x {a: 1, a: 2}\ny: *x", "line 1: the key 'a' is given twice"),
        ("1: a\n1: b", "line 2: the key '1' is given twice"),
    ],
)
def test_a_key_that_is_given_twice_is_an_error_that_says_its_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(SketchError) as refused:
        read_yaml(tmp_path / "a.yaml", SketchError, "a sketch")

    assert str(refused.value).startswith(f"{tmp_path / 'a.yaml'}, {said}")


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("", None),
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}", {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}),
        ("a: {x: 1}\nb: {x: 1}", {"a": {"x": 1}, "b": {"x": 1}}),
        ("1: a\n'1': b", {1: "a", "1": "b"}),
        ("[{a: 1}, {a: 2}]", [{"a": 1}, {"a": 2}]),
    ],
)
def test_all_else_is_read_as_yaml_says(text: str, content: Any) -> None:
    assert parse(text) == yaml.safe_load(text) == content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [", "is not valid YAML: "),
        (b"a: 2026-13-45", "is not valid YAML: month must be in 1..12"),
        (b"a: " + b"[" * 5000, "is not valid YAML: it is nested too deeply"),
        (b"a: !!python/object:os.system {}", "line 1, character 4: could not determine a constructor"),
        (b"a: tri\xe9", "is not text in UTF-8 (byte 7): save it as UTF-8"),
        (b"[1, 2]", "must hold 'key: value' lines, it holds a list"),
        (b"on: 3", ": the key True is not text: put it in quotes"),
    ],
)
def test_what_is_not_a_table_of_keys_is_refused_with_what_to_do(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(content)

    with pytest.raises(SketchError) as refused:
        read_yaml(tmp_path / "a.yaml", SketchError, "a sketch")

    assert str(refused.value).startswith(str(tmp_path / "a.yaml"))
    assert said in str(refused.value)
