"""The pages of the repository, as the tests of documentation read them."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
"""All Markdown pages that a reader is sent to."""


def page(name: str) -> str:
    """Return the text of a page by its path from the repository's root."""
    return (ROOT / name).read_text(encoding="utf-8")


def table(text: str, first_header: str) -> list[list[str]]:
    """Return the cells of each row of the one table whose first header this is."""
    (rows,) = re.findall(rf"^\| {re.escape(first_header)} \|.*\n\|[-|: ]+\|\n((?:\|.*\n?)+)", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows.splitlines()]


def in_code(text: str) -> list[str]:
    """Return what stands between backticks in a line of text, in its order."""
    return re.findall(r"`([^`]+)`", text)


def fenced(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@cache
def defined_in(file: str) -> frozenset[str]:
    """Return the names of the tests that a file defines, without running it; of no file, none."""
    path = ROOT / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(node.name for node in found if node.name.startswith("test_"))


def not_there(named: list[str]) -> list[str]:
    """Return what names no test, of `path::name` each."""
    return [text for text in named if text.partition("::")[2] not in defined_in(text.partition("::")[0])]
