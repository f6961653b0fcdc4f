"""`route` says what would become of files, and does nothing; the page's example is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

import patchclip_node.samples
from tests.support.analysis import radiograph_file
from tests.support.docs import fenced, in_code, page, table
from tests.unit.patchclip_node.cli.conftest import Command

SAMPLES = Path(patchclip_node.samples.__file__).parent
SECTION = page("docs/administrator.md").split("## Routes")[1].split("\n## ")[0]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration that the page shows."""
    path = tmp_path / "node.yaml"
    path.write_text(fenced(SECTION, "yaml")[0] + f"data_dir: {tmp_path / 'data'}\n")
    return path


def test_the_pages_example_says_what_the_page_says(command: Command, config: Path, tmp_path: Path) -> None:
    first, *said = fenced(SECTION, "console")[0].splitlines()
    arguments = first.removeprefix("$ patchclip-node ").split()
    (tmp_path / "sample-1-cr.dcm").write_bytes((SAMPLES / "sample-1-cr.dcm").read_bytes())

    ended = command(*arguments)

    assert ended.out.splitlines() == said
    assert not (tmp_path / "data").exists()


def test_the_fields_of_the_page_are_those_of_conditions() -> None:
    from patchclip_node.settings.routes import ConditionSettings

    fields = [in_code(row[0])[0] for row in table(SECTION, "field")]

    assert sorted([*fields, "all", "any", "none"]) == sorted(ConditionSettings.model_fields)


def test_folders_give_a_table_with_each_verdict_and_a_reason(command: Command, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    radiograph_file(folder, "child.dcm", "1.1", PatientAge="006Y")
    radiograph_file(folder, "lateral.dcm", "1.2", PatientAge="060Y", ViewPosition="LL")
    radiograph_file(folder, "ward.dcm", "1.3", PatientAge="060Y", StudyDescription="XR CHEST")
    radiograph_file(folder, "neither.dcm", "1.4", PatientAge="060Y", StudyDescription="-")
    (folder / "broken.dcm").write_bytes(b"no DICOM")

    ended = command("route", folder, "--config", config, "--sender", "WARD7", "--json")

    found = {Path(one["file"]).name: one for one in ended.json}
    assert {name: one.get("route") for name, one in found.items()} == {
        "child.dcm": "children",
        "lateral.dcm": "others",
        "ward.dcm": "wards",
        "neither.dcm": "others",
        "broken.dcm": None,
    }
    assert [name for name, one in found.items() if one["analysed"]] == ["ward.dcm"]
    assert found["ward.dcm"]["destinations"] == ["pacs"]
    assert "only frontal views" in found["lateral.dcm"]["reason"]
    assert "children" in found["child.dcm"]["reason"]
    assert "not a DICOM file" in found["broken.dcm"]["reason"]
    assert found["neither.dcm"]["routes"][0] == {
        "route": "children",
        "holds": False,
        "why": "age is 60, not below 16",
    }
    told = command("route", folder, "--config", config, "--sender", "WARD7", "--table")
    assert "1 of 5 files would be analysed: 1 by wards" in told.out


def test_what_a_route_holds_or_keeps_is_said(command: Command, tmp_path: Path) -> None:
    folder, config = tmp_path / "in", tmp_path / "node.yaml"
    folder.mkdir()
    radiograph_file(folder, "new.dcm", "1.1", StationName="NEWROOM 1")
    radiograph_file(folder, "old.dcm", "1.2", StationName="ROOM 1")
    config.write_text(fenced(SECTION, "yaml")[1])

    told = command("route", folder, "--config", config, "--no-pixels").out

    assert "stay in the spool: the route shadow keeps results here" in told
    assert (
        "go to pacs; for emergency wait until a person releases them where pneumothorax is present or possible, "
        "at most 24 h, then: drop" in told
    )


def test_pixels_that_would_be_rejected_are_a_reason_where_the_check_rejects(command: Command, tmp_path: Path) -> None:
    folder, config = tmp_path / "in", tmp_path / "node.yaml"
    folder.mkdir()
    radiograph_file(folder, "squares.dcm")
    config.write_text("pixel_check: reject\n")

    (looked,) = command("route", folder, "--config", config, "--json").json
    (not_looked,) = command("route", folder, "--config", config, "--json", "--no-pixels").json

    assert (looked["pixels"]["recognised"], looked["analysed"]) == (False, False)
    assert "do not look like" in looked["reason"]
    assert (not_looked["pixels"]["recognised"], not_looked["analysed"]) == (None, True)


def test_the_recorded_dry_run_over_the_samples_is_what_it_says(command: Command, config: Path) -> None:
    rows = table(page("docs/decisions/routes.md"), "sample")
    recorded = {in_code(name)[0]: outcomes for name, *outcomes in rows}

    for number, sender in enumerate(([], ["--sender", "ER2"])):
        said = {
            Path(one["file"]).name: f"{one['route']}: analysed, for {', '.join(one['destinations'])}"
            for one in command("route", SAMPLES, "--config", config, "--no-pixels", "--json", *sender).json
        }
        assert said == {name: outcomes[number] for name, outcomes in recorded.items()}
