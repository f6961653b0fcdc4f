"""docs/decisions/index.md lists each page of decisions and each decision in it, with a date and a status."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from tests.support.docs import PAGES, ROOT

FOLDER = ROOT / "docs" / "decisions"
INDEX = (FOLDER / "index.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## \[(.+?)\]\((.+?)\).*\n\n((?:\|.*\n)+)", INDEX, flags=re.MULTILINE)
ROWS = {name: [row.split(" | ") for row in rows.splitlines()[2:]] for name, _, rows in SECTIONS}
STATUSES = {"in force", "dropped"}


def decisions(page: Path) -> list[str]:
    """Return the first words of each decision of a page, which stand in bold."""
    found = re.findall(r"^- \*\*(.+?)\*\*", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(words.split()).rstrip(".:") for words in found]


def test_each_page_of_decisions_has_a_section() -> None:
    pages = [page.name for page in PAGES if page.parent == FOLDER and page.name != "index.md"]

    assert sorted(ROWS) == sorted(pages)
    assert all(name == link for name, link, _ in SECTIONS)


@pytest.mark.parametrize("name", ROWS)
def test_each_decision_of_a_page_has_a_row(name: str) -> None:
    listed = [row[0].removeprefix("| ") for row in ROWS[name]]

    assert [words for words in decisions(FOLDER / name) if words not in listed] == []
    assert len(listed) == len(set(listed)) == max(1, len(decisions(FOLDER / name)))


@pytest.mark.parametrize("name", ROWS)
def test_each_row_has_a_day_and_a_status(name: str) -> None:
    for _, since, status in ROWS[name]:
        assert since == date.fromisoformat(since).isoformat()
        assert status.removesuffix(" |") in STATUSES or status.startswith("replaced by [")
