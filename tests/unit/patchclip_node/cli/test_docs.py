"""docs/commands.md names every command and option that there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from patchclip_node.cli import app

TEXT = (Path(__file__).parents[4] / "docs" / "commands.md").read_text(encoding="utf-8")
SHELL_COMPLETION = {"--install-completion", "--show-completion"}


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name as typed, command) for every command that does something."""
    if children := getattr(command, "commands", None):
        for child_name, child in children.items():
            yield from commands(child, f"{name} {child_name}".strip())
    else:
        yield name, command


ALL = dict(commands(get_command(app)))


@pytest.mark.parametrize("name", list(ALL))
def test_every_command_is_described(name: str) -> None:
    assert f"`{name}" in TEXT


@pytest.mark.parametrize("name", list(ALL))
def test_every_option_is_described(name: str) -> None:
    longest = [max(parameter.opts, key=len) for parameter in ALL[name].params]

    missing = {option for option in longest if option.startswith("--") and option not in TEXT} - SHELL_COMPLETION

    assert missing == set()
