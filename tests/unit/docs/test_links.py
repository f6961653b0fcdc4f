"""Links between pages lead somewhere, and every page can be reached from docs/index.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.docs import PAGES, ROOT

INDEX = ROOT / "docs" / "index.md"


def links(page: Path) -> list[tuple[Path, str]]:
    """Return the file and the anchor of each relative link of a page; of `#anchor` alone, the page itself."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    relative = [target.partition("#") for target in targets if not re.match(r"[a-z]+:", target)]
    return [((page.parent / file).resolve() if file else page, anchor) for file, _, anchor in relative]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    dead = [str(file) for file, _ in links(page) if not file.exists()]
    lost = [
        f"{file.name}#{anchor}"
        for file, anchor in links(page)
        if anchor and file.suffix == ".md" and file.exists() and anchor not in anchors(file)
    ]

    assert dead == []
    assert lost == []


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, waiting = {INDEX}, [INDEX]
    while waiting:
        for file, _ in links(waiting.pop()):
            if file in PAGES and file not in reached:
                reached.add(file)
                waiting.append(file)

    assert sorted(str(page.relative_to(ROOT)) for page in set(PAGES) - reached) == []


def first_cells(page: Path) -> list[Path]:
    """Return the files that the rows of a page's tables begin with a link to."""
    targets = re.findall(r"^\| \[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [(page.parent / target).resolve() for target in targets]


def test_the_index_lists_every_page_of_docs_once_but_those_of_decisions() -> None:
    listed = first_cells(INDEX)
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs") and page.parent.name != "decisions"}

    assert sorted(str(page.relative_to(ROOT)) for page in pages - {*listed, INDEX}) == []
    assert sorted(page.name for page in set(listed) if listed.count(page) > 1) == []
