"""A new kind of result takes what docs/how-to/add-a-result-kind.md says, and what is forgotten is told at import."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "how-to" / "add-a-result-kind.md"
VARIANTS, BUILD = "node/patchclip_node/domain/variants.py", "node/patchclip_node/results/build.py"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the node's sources."""
    shutil.copytree(
        ROOT / "node" / "patchclip_node", tmp_path / "node" / "patchclip_node", ignore=shutil.ignore_patterns("*.dcm")
    )
    return tmp_path


def steps() -> list[tuple[str, str, str]]:
    """The page's code: the file that was last named before it, diff or python, and the code."""
    found = []
    name = ""
    for named, kind, code in re.findall(r"`(node/[\w/]+\.py)`|```(diff|python)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        name = named or name
        if code:
            found.append((name, kind, code))
    return found


def follow(folder: Path, *, without: str = "") -> None:
    """Do what the page says, all but the steps in one file."""
    for name, kind, code in steps():
        if name == without:
            continue
        path = folder / name
        if kind == "python":
            path.write_text(code)
            continue
        before = "".join(f"{line[1:]}\n" for line in code.splitlines() if line.startswith(" "))
        after = "".join(f"{line[1:]}\n" for line in code.splitlines())
        assert path.read_text().count(before) == 1, f"{name} does not have exactly once what the page shows: {before}"
        path.write_text(path.read_text().replace(before, after))


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(folder / "node"), str(ROOT), str(ROOT / "trainer")])
    return subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
    )


PROGRAM = """
from patchclip_node.adapters.ledger.schema import results
from patchclip_node.results import build_results, encode
from patchclip_node.settings import ProfileSettings
from tests.support.synthetic import analysed, result_context

images = [analysed({"edema": []}), analysed({}, SOPInstanceUID="1.2.3.9")]
for numbers in ({}, {"note": 700}):
    variants = ProfileSettings(name="mine", objects=("sr", "note"), series_numbers=numbers).variants()
    (_, report), (variant, note) = build_results(images, [], result_context(), variants)
    encode(note)
    words = note.ContentSequence[0].TextValue
    print(variant.kind, note.SOPClassUID.name, note.SeriesNumber, note.SeriesDescription, words, sep=" | ")
    assert note.SOPInstanceUID != report.SOPInstanceUID
    assert note.PatientName == report.PatientName
assert any("'note'" in str(check.sqltext) for check in results.constraints if hasattr(check, "sqltext"))
"""


def test_a_kind_that_is_added_as_the_page_says_is_built_numbered_and_taken_by_profiles_and_ledger(copy: Path) -> None:
    follow(copy)

    done = run(copy, PROGRAM)

    assert done.returncode == 0, done.stderr
    what = "AI note (research) | Findings above their thresholds: 1."
    assert done.stdout.splitlines() == [
        f"note | Basic Text SR Storage | 50001 | {what}",
        f"note | Basic Text SR Storage | 701 | {what}",
    ]


@pytest.mark.parametrize(
    ("forgotten", "told"), [(BUILD, "results/build.py has no builder for note"), (VARIANTS, "NOTE")]
)
def test_what_is_forgotten_of_a_kind_is_told_at_import(forgotten: str, told: str, copy: Path) -> None:
    follow(copy, without=forgotten)

    done = run(copy, "import patchclip_node.results")

    assert done.returncode != 0
    assert told in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('NOTE = "note"', "the kind of result 'note' needs a row that says what it is"),
        ('NOTE = "note", _Row(50_000)', "series_description"),
        ('NOTE = "a note of seventeen", _Row(50_000, "AI note")', "cannot be a kind of result"),
    ],
)
def test_a_row_that_is_not_complete_is_told_at_import(row: str, told: str, copy: Path) -> None:
    path = copy / VARIANTS
    path.write_text(path.read_text().replace("    def __new__(cls, key", f"    {row}\n\n    def __new__(cls, key"))

    done = run(copy, "import patchclip_node.domain.variants")

    assert done.returncode != 0
    assert told in done.stderr
