"""docs/model.md names a test for each weakness; the tests are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_each_weakness_has_tests_that_exist() -> None:
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    rows = page.split("| weakness as published |")[1].split("\n\n")[0].splitlines()[2:]
    tests = (ROOT / "tests" / "unit" / "patchclip_core").rglob("test_*.py")
    defined = {name for file in tests for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)}

    named = [re.findall(r"`(test_\w+)`", row) for row in rows]

    assert len(rows) >= 12
    assert all(named)
    assert {name for names in named for name in names} <= defined
