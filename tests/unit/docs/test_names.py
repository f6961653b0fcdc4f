"""Modules, functions and files that pages name are there."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docs import PAGES, ROOT, fenced, in_code

PACKAGES = ("patchclip_core", "patchclip_node", "patchclip_trainer")
CORE_ROOMS = ("values", "io", "places", "models", "drawing", "inference", "checkpoints", "notebook")
TOP = ("benchmarks/", "conf/", "docs/", "node/", "patchclip_core/", "tests/", "tools/", "trainer/", ".ci/")


def code_of(page: Path) -> Iterator[str]:
    """Yield what stands between backticks on a page's lines, fenced blocks left out."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for line in text.splitlines():
        yield from in_code(line)


def dotted(page: Path) -> Iterator[str]:
    """Yield the full dotted names that a page has; on the model's page, rooms of the core stand without the package."""
    for code in code_of(page):
        (name,) = re.findall(r"^[a-z_]+(?:\.\w+)+(?=\(|$)", code) or [""]
        if name.startswith(PACKAGES):
            yield name
        elif page.name == "model.md" and name.split(".")[0] in CORE_ROOMS:
            yield f"patchclip_core.{name}"


def is_there(name: str) -> bool:
    """Tell whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_module_that_a_page_runs_is_there(page: Path) -> None:
    run = re.findall(r"python -m ((?:patchclip|benchmarks)[\w.]*)", page.read_text(encoding="utf-8"))

    assert sorted({name for name in run if not is_there(name)}) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_dotted_name_of_a_page_can_be_imported(page: Path) -> None:
    assert sorted({name for name in dotted(page) if not is_there(name)}) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_file_or_folder_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    commands = [*code_of(page), *"\n".join(fenced(text, "sh")).splitlines()]
    words = {word for command in commands for word in command.split()}
    paths = {word for word in words if word.startswith(TOP) and re.fullmatch(r"[\w./-]+", word)}
    paths -= {path for path in paths if any(part.isupper() for part in path.split("/"))}  # for the reader to fill in
    paths -= set(re.findall(r"A new file, `([^`]+)`", page.read_text(encoding="utf-8")))  # for the reader to write

    assert sorted(path for path in paths if not (ROOT / path).exists()) == []
