"""`acceptance`: a folder and a table in, one report with its checksums out; what is wrong with the table is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from patchclip_node.cli.app import app
from tests.support.analysis import OpacityEverywhere, radiograph_file

HEADER = "image,patient_id,sex,age,view,opacity,edema\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("patchclip_node.bootstrap.model.load_analyzer", lambda _: OpacityEverywhere())
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "site"
    images.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.linspace(0, 255, 128 * 96).reshape(128, 96).astype(np.uint8)).save(images / name)
    radiograph_file(images, "c.dcm", PatientSex="F", PatientAge="070Y", Manufacturer="Acme")
    (images / "d.png").write_bytes(b"broken")
    return images


def accept(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["acceptance", str(folder), "--out", "report", "--draws", "100", *arguments])
    return result.exit_code, " ".join((result.output + result.stderr).split()) or str(result.exception)


def test_one_report_says_what_was_measured_and_its_checksums_hold(folder: Path) -> None:
    (folder / "labels.csv").write_text(
        f"{HEADER}a.png,P1,M,40,AP,1,\nb.png,P2,F,20,PA,0,\nc.dcm,,,,,1,\nd.png,P4,,,,1,\n"
    )

    status, said = accept(folder)

    assert status == 0, said
    assert "d.png: left out" in said
    out = folder.parent / "report"
    report = json.loads((out / "acceptance.json").read_text())
    assert (report["images"], report["patients"], list(report["findings"])) == (3, 2, ["opacity"])
    found = report["findings"]["opacity"]
    assert (found["positives"], found["negatives"]) == (2, 1)
    assert found["at_threshold"]["sensitivity"]["value"] == 0.5  # it sees nothing in c.dcm, which is dark
    assert found["at_threshold"]["specificity"]["value"] == 0.0
    assert set(found["subgroups"]["manufacturer"]) == {"Acme", "not given"}
    assert "65 and over" in found["subgroups"]["age"]
    for line in (out / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    page = (out / "acceptance.html").read_text()
    assert "lung opacity" in page
    assert "left_out" not in page


def test_images_may_be_links_to_where_a_site_keeps_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (folder / "a.png").rename(tmp_path / "kept" / "a.png")
    (folder / "linked").symlink_to(tmp_path / "kept")
    (folder / "labels.csv").write_text("image,opacity\nlinked/a.png,1\nb.png,0\n")

    status, said = accept(folder)

    assert status == 0, said
    assert "2 images" in said


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("file,opacity\na.png,1\n", "no column image"),
        ("image,opacitty\na.png,1\n", "opacitty"),
        ("image,opacity\nz.png,1\n", "there is no image z.png"),
        ("image,opacity\n../secret.png,1\n", "../secret.png is not a path below"),
        ("image,opacity\na.png,perhaps\n", "write 1, 0 or nothing"),
        ("image,age,opacity\na.png,old,1\n", "write whole years"),
    ],
)
def test_what_is_wrong_with_the_table_is_named(folder: Path, table: str, why: str) -> None:
    (folder.parent / "secret.png").write_bytes(b"")
    (folder / "labels.csv").write_text(table)

    status, said = accept(folder)

    assert status != 0
    assert why in said
