"""docs/paper.md: each command is one that the trainer has, and each folder one that `prepare` recognises."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from patchclip_core.values.definitions import conf_dir
from patchclip_trainer.cli import app
from patchclip_trainer.data.adapters import adapter_for
from tests.support.docs import fenced, page

PAGE = page("docs/paper.md")
COMMANDS = [line for block in fenced(PAGE, "sh") for line in block.splitlines()]
FOLDERS = {block.split("/")[0]: block.split() for block in fenced(PAGE, "text")}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_can_be_pasted(line: str) -> None:
    program, name, *words = shlex.split(line)
    command: Any = get_command(app)

    assert program == "patchclip-trainer"
    with command.commands[name].make_context(name, words, resilient_parsing=False) as context:
        recipe = context.params.get("recipe")
    assert recipe is None or (conf_dir() / "recipes" / f"{recipe}.yaml").is_file()


def test_what_a_command_reads_is_what_an_earlier_one_wrote() -> None:
    written = {f"~/cxr/{name}" for name in FOLDERS}
    for line in COMMANDS:
        words = shlex.split(line)
        read = [words[2]] if words[1] == "prepare" else [
            value for option, value in pairwise(words) if option in {"--data", "--checkpoint"}
        ]  # fmt: skip
        read += [word.partition("=")[2].removesuffix("/checkpoint") for word in words if word.startswith("start=")]
        assert {path.removesuffix("/checkpoint") for path in read} <= written, line
        written.add(words[words.index("--out") + 1])


@pytest.mark.parametrize(
    ("folder", "adapter"), [("mimic-cxr-jpg", "mimic-cxr"), ("vindr-cxr", "vindr-cxr"), ("own", "generic")]
)
def test_a_folder_as_it_is_drawn_is_recognised(tmp_path: Path, folder: str, adapter: str) -> None:
    for path in FOLDERS[folder]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")

    assert adapter_for(tmp_path / folder).name == adapter
    assert len(FOLDERS) == 3
