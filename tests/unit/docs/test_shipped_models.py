"""Pages that speak of the shipped models name those that are shipped, and the one that is the default."""

from __future__ import annotations

import re

import pytest

from patchclip_node.settings import NodeSettings
from tests.support.docs import PAGES, ROOT, in_code

SHIPPED = sorted(path.parent.name for path in (ROOT / "patchclip_core" / "weights").glob("*/card.json"))
COUNTS = {"One": 1, "Two": 2, "Three": 3, "Four": 4}
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
MUST_SPEAK = {"README.md", "CHANGELOG.md", "docs/administrator.md", "docs/model.md", "docs/tutorial.md"}


def paragraph(text: str) -> str | None:
    """Return the paragraph that counts the shipped models, or None."""
    paragraphs = re.split(r"\n(?:>? *\n|- )", text)
    (found,) = [one for one in paragraphs if "models are shipped" in one] or [None]
    return found


SPEAKING = {name: found for name, text in TEXTS.items() if (found := paragraph(text)) is not None}


def test_the_pages_that_a_newcomer_reads_speak_of_the_shipped_models() -> None:
    assert set(SPEAKING) >= MUST_SPEAK


@pytest.mark.parametrize("name", sorted(MUST_SPEAK))
def test_a_page_counts_and_names_what_is_shipped_and_the_default(name: str) -> None:
    text = SPEAKING[name]

    (count,) = re.findall(r"(\w+) models are shipped", text)
    defaults = re.findall(r"`(\w+)`, the default", text)

    assert COUNTS[count] == len(SHIPPED)
    assert {word for word in in_code(text) if word.isidentifier()} >= set(SHIPPED)
    assert defaults == [NodeSettings().model]


def test_no_page_speaks_of_one_shipped_model() -> None:
    pattern = r"(?:model|checkpoint) that is shipped|the (?:one )?shipped (?:model|checkpoint),? `(?!demo`)"

    assert {name for name, text in TEXTS.items() if re.search(pattern, text)} == set()
