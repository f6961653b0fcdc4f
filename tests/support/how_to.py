"""Follows a how-to page: writes its titled blocks into a copy of the packages, and runs its commands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """language: of the fence. title: the file that it is, or changes; empty for commands."""

    language: str
    title: str
    text: str


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of `docs/how-to/PAGE.md`."""
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    return [Block(*found) for found in _BLOCK.findall(text)]


def copy_of_packages(folder: Path) -> None:
    """Copy the core's code, and link what no how-to changes."""
    shutil.copytree(
        ROOT / "patchclip_core", folder / "patchclip_core", ignore=shutil.ignore_patterns("weights", "__pycache__")
    )
    for name in ("patchclip_core/weights", "trainer", "conf"):
        (folder / name).symlink_to(ROOT / name)


def follow(blocks: list[Block], folder: Path) -> list[Path]:
    """Write and change the files that titled blocks speak of; returns files that are new. Commands are left."""
    new = []
    for block in blocks:
        path = folder / block.title
        if block.title and block.language == "diff":
            path.write_text(_changed(path.read_text(encoding="utf-8"), block.text), encoding="utf-8")
        elif block.title:
            assert not path.exists(), f"{block.title} is there already"
            path.write_text(block.text, encoding="utf-8")
            new.append(path)
    return new


def run(command: str, folder: Path) -> str:
    """Run a command of the page in the copy; returns what it says. `patchclip-trainer` is the copy's own."""
    words = shlex.split(command)
    if words[0] == "patchclip-trainer":
        words = ["python", "-m", "patchclip_trainer", *words[1:]]
    assert words[0] == "python"
    environment = os.environ | {"PYTHONPATH": f"{folder}:{folder / 'trainer'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _changed(text: str, difference: str) -> str:
    """Add the lines that begin with + behind those that begin with a space, which must be there once."""
    lines = difference.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line.startswith(" "))
    after = "".join(line[1:] for line in lines)
    assert text.count(before) == 1, f"these lines are there {text.count(before)} times:\n{before}"
    return text.replace(before, after)
