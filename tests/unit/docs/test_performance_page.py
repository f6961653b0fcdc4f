"""docs/performance.md shows what benchmarks/results.json holds, and nothing else of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import bench
from benchmarks.tables import markdown

FOUND: dict[str, Any] = {
    "at": "2026-01-02T03:04:05+00:00",
    "version": "abc",
    "before_percent": 2.0,
    "meanwhile_percent": 3.0,
    "rows": [{"load": "10 MB", "images/s": 12.5, "images": 1600}],
}


def test_the_page_shows_the_results_that_are_kept() -> None:
    results = json.loads(bench.RESULTS.read_text(encoding="utf-8")) if bench.RESULTS.exists() else {}
    page = bench.PAGE.read_text(encoding="utf-8")

    assert bench.with_section(page, results) == page


def test_rows_become_a_table() -> None:
    assert markdown(FOUND["rows"]) == "| load | images/s | images |\n|---|---|---|\n| 10 MB | 12.5 | 1,600 |"


def test_each_part_that_was_measured_has_its_table_and_what_is_around_stays() -> None:
    page = f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter"

    changed = bench.with_section(page, {"ingest": FOUND})

    assert changed.startswith("before\n")
    assert changed.endswith("\nafter")
    assert "old" not in changed
    assert "### Images received\n\n| load |" in changed
    assert "A quiet machine: other programs used 2 % of its processors before, 3 % meanwhile." in changed
    assert bench.with_section(changed, {"ingest": FOUND}) == changed


@pytest.mark.parametrize(("before", "meanwhile", "said"), [(1, 2, "A quiet"), (50, 2, "A noisy"), (1, 50, "A noisy")])
def test_noise_is_said(before: float, meanwhile: float, said: str) -> None:
    assert bench.Noise(before, meanwhile).in_words.startswith(said)


def test_each_part_is_a_module_that_can_be_run() -> None:
    for part in bench.PARTS:
        assert (bench.ROOT / "benchmarks" / f"{part.name}.py").is_file()
