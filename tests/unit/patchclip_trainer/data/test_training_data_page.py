"""docs/training-data.md names every adapter and kind of problem that there is; the commands page has the options."""

from __future__ import annotations

import re
from pathlib import Path

from patchclip_trainer.data import adapters
from patchclip_trainer.data.adapters import ADAPTERS

ROOT = Path(__file__).parents[4]
TEXT = (ROOT / "docs" / "training-data.md").read_text(encoding="utf-8")


def test_every_adapter_is_described() -> None:
    assert [adapter.name for adapter in ADAPTERS if f"| `{adapter.name}` |" not in TEXT] == []


def test_every_kind_of_problem_of_the_generic_format_is_described() -> None:
    sources = [
        Path(str(adapters.__file__)).parent / "generic.py",
        Path(str(adapters.__file__)).parents[1] / "listing.py",
    ]
    kinds = {kind for path in sources for kind in re.findall(r'place, (?:row\.image, )?"([a-z ]+)"', path.read_text())}

    assert len(kinds) > 6
    assert {kind for kind in kinds if kind not in TEXT} == set()
