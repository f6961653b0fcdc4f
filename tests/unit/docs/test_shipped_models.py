"""Pages that speak of the shipped models name those that are shipped, and the one that is the default."""

from __future__ import annotations

import re

import pytest

from patchclip_core.checkpoints.checkpoint import read_card
from patchclip_core.models.card import Interval
from patchclip_node.settings import NodeSettings
from patchclip_trainer.export.model_card import describe
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


def test_a_trained_card_s_words_are_those_of_its_figures() -> None:
    folder = ROOT / "patchclip_core" / "weights" / "demo"

    assert (folder / "README.md").read_text(encoding="utf-8") == describe(read_card(folder))


def shown(measured: Interval | None) -> str:
    """As docs/results.md writes a measure: `.604 [.549, .659]`, with no interval where it has no width."""
    assert measured is not None
    value, *ends = (
        f"{number:.3f}".removeprefix("0")
        for number in (measured.value, measured.low, measured.high)
        if number is not None
    )
    return value if set(ends) == {value} else f"{value} [{', '.join(ends)}]"


def test_the_results_page_has_the_regions_and_the_validation_of_the_card() -> None:
    page, card = TEXTS["docs/results.md"], read_card(ROOT / "patchclip_core" / "weights" / "demo")
    placed = [each for each in card.findings if each.extent == "localised" and each.reported]
    told = [each for each in card.findings if each.reported and each.held_out and each.held_out.positives]

    assert len(placed) >= 5
    for finding in placed:
        out_of_fold, own = finding.evidence, finding.held_out
        assert out_of_fold is not None
        assert own is not None
        measures = (
            out_of_fold.region_sensitivity,
            out_of_fold.region_false_positives,
            out_of_fold.region_overlap,
            own.region_sensitivity,
            own.region_false_positives,
        )
        assert f"| {' | '.join(map(shown, measures))} |" in page, finding.key
    for finding in told:
        own = finding.held_out
        assert own is not None
        assert f"({own.positives}, {own.negatives}) | {shown(own.auc)} | {shown(own.sensitivity)} |" in page, (
            finding.key
        )
