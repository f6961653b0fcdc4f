from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from patchclip_core.drawing import page
from patchclip_core.values.wording import RESEARCH_STATEMENT

REPORT = """{% extends "page.html" %}
{% block title %}Toy{% endblock %}
{% block content %}
<p>{{ found }}</p>
{% endblock %}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "toy_report"
    (folder / "templates").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "templates" / "report.html").write_text(REPORT, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_a_page_is_a_packages_report_in_the_shell_that_says_what_it_is_not_for(package: str) -> None:
    html = page(package, found="a <b>name</b>")

    assert html.startswith("<!doctype html>\n")
    assert "<title>Toy</title>" in html
    assert "<p>a &lt;b&gt;name&lt;/b&gt;</p>" in html
    assert RESEARCH_STATEMENT in html


def test_a_value_that_is_missing_is_no_blank_in_the_page(package: str) -> None:
    with pytest.raises(UndefinedError, match="found"):
        page(package)
