"""docs/monitoring.md has a section for each kind of alert, which messages lead to, and settings that are accepted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from patchclip_node.domain.alerts import AlertKind
from patchclip_node.settings import AlertSettings

PAGE = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text(encoding="utf-8")


def test_each_kind_has_a_section_and_each_section_of_a_kind_has_one() -> None:
    headings = re.findall(r"^## ([a-z][a-z-]*)$", PAGE, re.MULTILINE)

    assert headings == [kind.value for kind in AlertKind]


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_its_settings_are_accepted(text: str) -> None:
    AlertSettings(**yaml.safe_load(text)["alerts"])
