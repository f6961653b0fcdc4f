"""docs/how-to/add-a-profile.md, followed."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pydicom
import pytest

from patchclip_node.cli import main
from patchclip_node.settings import read_settings
from tests.support.docs import ROOT, fenced, in_code, page, table

PAGE = page("docs/how-to/add-a-profile.md")
SAMPLE = ROOT / "node" / "patchclip_node" / "samples" / "sample-2-dx.dcm"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's configuration and an image."""
    (configuration,) = fenced(PAGE, "yaml")
    (tmp_path / "node.yaml").write_text(configuration, encoding="utf-8")
    shutil.copy(SAMPLE, tmp_path / "chest.dcm")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", shlex.split(line))
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_commands_of_the_page_make_the_files_that_it_lists(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (commands,) = fenced(PAGE, "sh")

    assert [run(line, monkeypatch) for line in commands.splitlines()] == [0, 0]

    listed = [in_code(row[0])[0] for row in table(PAGE, "file")]
    assert sorted(path.name for path in (folder / "results").iterdir()) == sorted(listed)
    picture = pydicom.dcmread(folder / "results" / "chest-sc.dcm")
    report = pydicom.dcmread(folder / "results" / "chest-text_sr.dcm")
    assert picture.SeriesNumber >= 9100
    assert picture.SeriesDescription.startswith("KI Thorax")
    assert max(picture.Rows, picture.Columns) <= 1200
    assert any(item.ConceptNameCodeSequence[0].CodeMeaning == "Language of Content Item and Descendants" and
               item.ConceptCodeSequence[0].CodeValue == "de" for item in report.ContentSequence)  # fmt: skip


def test_the_page_s_own_look_at_an_object_draws_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = re.findall(r"`(patchclip-node render [^`]*)`", PAGE)
    run(fenced(PAGE, "sh")[0].splitlines()[1], monkeypatch)

    assert run(line, monkeypatch) == 0
    assert list(folder.rglob("chest-sc*.png"))


def test_the_destination_gets_what_the_profile_names(folder: Path) -> None:
    settings = read_settings(folder / "node.yaml")

    (destination,) = settings.destinations

    assert [variant.kind.value for variant in settings.variants_for(destination)] == ["sc", "text_sr"]
    pictures = settings.profile(destination.profile).pictures
    assert pictures is not None
    assert pictures.kind.value == "sc"
