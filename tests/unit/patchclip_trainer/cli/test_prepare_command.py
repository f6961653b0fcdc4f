"""`patchclip-trainer prepare` as a researcher types it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchclip_trainer.cli import main


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["patchclip-trainer", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (80, 80), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "images" / "a.png")
    lines = "image,patient_id\nimages/a.png,p1\nimages/gone.png,p2\n"
    (folder / "manifest.csv").write_text(lines, encoding="utf-8")
    return folder


def test_it_says_what_it_did_and_what_was_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path
) -> None:
    status = typed(monkeypatch, "prepare", source, "--out", tmp_path / "out", "--input-px", 64, "--workers", 1)

    said = capsys.readouterr()
    assert status == 0
    assert "manifest.csv:3: missing image: there is no file images/gone.png; image left out" in said.out
    assert "1 images by the adapter generic" in said.out
    assert "decode 1/1" in said.err
    assert (tmp_path / "out" / "data_sheet.md").is_file()


def test_what_is_prepared_already_is_not_decoded_again_and_lists_are_read_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path
) -> None:
    command = ["prepare", source, "--out", tmp_path / "out", "--input-px", 64, "--workers", 1]
    names = ("images.u8", "rows.jsonl", "prepared.json")
    assert typed(monkeypatch, *command) == 0
    first = {name: (tmp_path / "out" / name).read_bytes() for name in names}

    assert typed(monkeypatch, *command) == 0
    again = {name: (tmp_path / "out" / name).read_bytes() for name in names}
    manifest = source / "manifest.csv"
    manifest.write_text("image,patient_id,view\nimages/a.png,p1,PA\n", encoding="utf-8")
    monkeypatch.setattr("patchclip_trainer.data.prepare._decode_one", _never)
    assert typed(monkeypatch, *command) == 0

    assert again == first
    assert '"PA"' in (tmp_path / "out" / "rows.jsonl").read_text(encoding="utf-8")
    assert "0 problems" in capsys.readouterr().out


def _never(*_given: object) -> None:
    raise AssertionError("decoded again")


def test_a_source_that_is_not_there_ends_with_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status = typed(monkeypatch, "prepare", tmp_path / "nowhere", "--out", tmp_path / "out")

    assert status == 2
    assert capsys.readouterr().err == f"patchclip-trainer: {tmp_path / 'nowhere'}: there is no such folder\n"


def test_the_source_is_not_written_into(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: Path
) -> None:
    assert typed(monkeypatch, "prepare", source, "--out", source) == 2
    assert "another folder than the source's" in capsys.readouterr().err


def test_help_names_the_generic_format(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(monkeypatch, "prepare", "--help") == 0
    assert "manifest.csv" in capsys.readouterr().out
