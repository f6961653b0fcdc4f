"""`make venv` says what it is at, and what pip said where it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.docs import ROOT
from tools.pip_progress import pinned, told

LINES = """
Collecting numpy==2.1.0 (from -r requirements.lock (line 3))
  Downloading numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.whl (16.3 MB)
Collecting typer==0.1 (from -r requirements.lock (line 9))
  Downloading typer-0.1-py3-none-any.whl.metadata (4.2 kB)
Requirement already satisfied: rich in ./.venv/lib (13.0)
Requirement already satisfied: rich in ./.venv/lib (13.0)
Installing collected packages: numpy, typer
""".splitlines()


def test_each_package_is_told_once_with_what_is_large() -> None:
    assert list(told(LINES, 3)) == [
        "  1/3 numpy",
        "    downloads numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.whl, 16.3 MB",
        "  2/3 typer",
        "  3/3 rich",
        "  all 3 are here; unpacks them, which takes a minute or two",
    ]


def test_lock_files_say_how_many_there_are(tmp_path: Path) -> None:
    (tmp_path / "a.lock").write_text("numpy==2.1.0 \\\n    --hash=sha256:0\nuvicorn[standard]==1.0\n# typer==9\n")
    (tmp_path / "b.lock").write_text("numpy==2.1.0\nruff==0.9\n")
    arguments = [
        "--require-hashes",
        "--requirement",
        str(tmp_path / "a.lock"),
        "--requirement",
        str(tmp_path / "b.lock"),
    ]

    assert pinned(arguments) == 3
    assert pinned(["--editable", "."]) == 0
    assert pinned(["--requirement", str(ROOT / "requirements.lock")]) > 50


@pytest.mark.parametrize("arguments", [("--requirement", "empty.lock", "./nowhere")])
def test_a_failure_shows_pips_own_words_and_its_status(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "empty.lock").touch()

    ended = subprocess.run(
        [sys.executable, ROOT / "tools" / "pip_progress.py", "--no-index", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode != 0
    assert "pip could not install all; its last lines:" in ended.stderr
    assert "nowhere" in ended.stderr
