"""docs/protocols.md has a section for each protocol, with its measures and published rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from patchclip_trainer.evaluation.protocols.protocol import Protocol
from patchclip_trainer.evaluation.protocols.table import PROTOCOLS

PAGE = (Path(__file__).parents[3] / "docs" / "protocols.md").read_text(encoding="utf-8")


def test_the_page_has_a_section_a_protocol() -> None:
    named = re.findall(r"^## `([a-z0-9-]+)`$", PAGE, flags=re.MULTILINE)

    assert named == [protocol.name for protocol in PROTOCOLS]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_a_section_names_each_measure_and_published_figure(protocol: Protocol) -> None:
    section = PAGE.split(f"\n## `{protocol.name}`\n")[1].split("\n## ")[0]

    assert [measure.name for measure in protocol.measures if f"`{measure.name}`" not in section] == []
    assert [row.value for row in protocol.beside if f"{row.value:g}" not in section] == []
    assert f"`{protocol.split}`" in section or protocol.split == "all"
