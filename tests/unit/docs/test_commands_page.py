"""docs/commands.md describes each command of both programs, each in its own section, with its options and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from patchclip_node.cli import app as node
from patchclip_trainer.cli import app as trainer

PAGE = (Path(__file__).parents[3] / "docs" / "commands.md").read_text(encoding="utf-8")
PROGRAMS = {"patchclip-node": node, "patchclip-trainer": trainer}


def sections(program: str) -> dict[str, str]:
    """Return command -> the text of its section; one heading may name several commands."""
    of_program = PAGE.split(f"\n## `{program}`\n")[1].split("\n## ")[0]
    parts = re.split(r"^### (.*)$", of_program, flags=re.MULTILINE)[1:]
    return {
        name: text
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
        for name in re.findall(r"`([^`]+)`", heading)
    }


def commands(program: str) -> dict[str, Any]:
    """Return command as typed after the program's name -> the command."""
    return dict(_commands(get_command(PROGRAMS[program])))


def _commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if children := getattr(command, "commands", None):
        for child_name, child in children.items():
            yield from _commands(child, f"{name} {child_name}".strip())
    else:
        yield name, command


def option_rows(section: str) -> dict[str, str]:
    """Return option -> what the section's table says of it."""
    rows = re.findall(r"^\| (`--.*?`) \| (.*) \|$", section, flags=re.MULTILINE)
    return {option: text for cell, text in rows for option in re.findall(r"--[a-z0-9-]+", cell)}


def options(command: Any) -> dict[str, Any]:
    """Return each long option, `--no-...` included -> its parameter."""
    return {
        option: parameter
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }


ALL = [(program, name) for program in PROGRAMS for name in commands(program)]


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_command_has_a_section_and_each_section_a_command(program: str) -> None:
    assert sorted(sections(program)) == sorted(commands(program))


@pytest.mark.parametrize(("program", "name"), ALL)
def test_a_section_has_the_options_of_its_command_and_no_others(program: str, name: str) -> None:
    assert sorted(option_rows(sections(program)[name])) == sorted(options(commands(program)[name]))


@pytest.mark.parametrize(("program", "name"), ALL)
def test_a_section_states_the_defaults_of_its_command(program: str, name: str) -> None:
    rows = option_rows(sections(program)[name])
    stated = {
        option: parameter.default
        for option, parameter in options(commands(program)[name]).items()
        if isinstance(parameter.default, int | float | str | Path) and not isinstance(parameter.default, bool)
    }

    wrong = {
        option: f"{default:g}" if isinstance(default, float) else str(default)
        for option, default in stated.items()
        if not re.search(
            rf"default:? `?{re.escape(f'{default:g}' if isinstance(default, float) else str(default))}\b"
            rf"|`{re.escape(str(default))}` \(the default\)",
            rows[option],
        )
    }

    assert wrong == {}


@pytest.mark.parametrize(("program", "name"), ALL)
def test_a_section_shows_how_its_command_is_typed(program: str, name: str) -> None:
    lines = re.findall(rf"^    ({program} .*)$", sections(program)[name], flags=re.MULTILINE)
    needed = [parameter for parameter in commands(program)[name].params if parameter.required]

    assert len(lines) == 1
    for parameter in needed:
        if parameter.param_type_name == "option":
            assert any(option in lines[0] for option in parameter.opts), parameter.opts
    arguments = [parameter for parameter in commands(program)[name].params if parameter.param_type_name == "argument"]
    typed = re.sub(r" --[a-z-]+ \S+", "", lines[0]).removeprefix(program).split()
    assert len([word for word in typed if word.isupper() or "|" in word or "..." in word]) == len(arguments)
