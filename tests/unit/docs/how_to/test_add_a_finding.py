"""docs/how-to/add-a-finding.md, followed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from patchclip_core.values.definitions import load_findings
from patchclip_node.settings import read_settings
from patchclip_trainer.data.label_domains import LabelState, label_of, load_label_domains
from patchclip_trainer.data.manifest import ImageRow
from tests.support.docs import ROOT, fenced, page

PAGE = page("docs/how-to/add-a-finding.md")
ENTRY, DOMAINS = fenced(PAGE, "yaml")
SAMPLE = ROOT / "node" / "patchclip_node" / "samples" / "sample-1-cr.dcm"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the findings file as the page leaves it, and an image."""
    (tmp_path / "findings.yaml").write_text(page("conf/findings.yaml") + ENTRY, encoding="utf-8")
    shutil.copy(SAMPLE, tmp_path / "chest.dcm")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_entry_is_read_and_its_colour_is_its_alone(folder: Path) -> None:
    settings = read_settings(None, findings_file=folder / "findings.yaml")

    shipped, found = load_findings(), load_findings(settings.findings_file)

    assert list(found) == [*shipped, "hiatal_hernia"]
    assert found["hiatal_hernia"].colour not in {finding.colour for finding in shipped.values()}
    assert set(found["hiatal_hernia"].names) == {"de", "fr"}


def test_a_model_is_asked_for_it_by_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = fenced(PAGE, "python")
    names: dict[str, Any] = {}

    exec(compile(code, "docs/how-to/add-a-finding.md", "exec"), names)

    assert names["finding"].state.value in {"present", "not evaluated"}
    assert names["finding"].experimental
    assert capsys.readouterr().out.rstrip().endswith("True")


def test_label_domains_say_who_looked_for_it(folder: Path) -> None:
    shipped, added = yaml.safe_load(page("conf/label_domains.yaml")), yaml.safe_load(DOMAINS)
    merged = shipped | {key: shipped[key] | added[key] for key in ("findings", "labels")}
    (folder / "domains.yaml").write_text(yaml.safe_dump(merged), encoding="utf-8")

    domains = load_label_domains(folder / "domains.yaml")

    def label(source: str, *labels: str) -> LabelState:
        return label_of(ImageRow("a.png", "p", source=source, labels=labels), (), "hiatal_hernia", domains)

    assert label("Our hospital", "Hernia") is LabelState.POSITIVE
    assert label("Our hospital") is LabelState.READER_NEGATIVE
    assert label("NIH ChestX-ray14") is LabelState.UNKNOWN
