"""tools/install_check.sh and tools/wheelhouse.sh: the page has what they run, and they refuse what they cannot do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.docs import ROOT, fenced, page

CHECK = page("tools/install_check.sh")
PAGE = page("docs/installation.md")


@pytest.mark.parametrize("heading", re.findall(r'installed "([^"]+)"', CHECK))
def test_each_way_has_commands_on_the_page(heading: str) -> None:
    (section,) = re.findall(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)

    assert re.search(r"^ *```sh\n", section, flags=re.MULTILINE)


def test_the_page_speaks_of_each_way() -> None:
    assert len(re.findall(r'installed "([^"]+)"', CHECK)) == 7
    assert 'commands "As a Debian package"' in CHECK
    assert "make install-check" in PAGE


def test_the_shell_takes_each_command_of_the_page() -> None:
    for block in fenced(PAGE, "sh"):
        checked = subprocess.run(["sh", "-n"], input=block, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, f"{block}\n{checked.stderr}"


def test_a_way_that_is_not_one_is_named_before_anything_is_installed() -> None:
    ended = subprocess.run(
        ["bash", "tools/install_check.sh", "snap"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert ended.returncode == 1
    assert "snap is not a way: base, results, onnx, lock, wheelhouse, pipx, uv or deb" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{folder}"], "is there already"),
        (["{folder}/new", "other.lock"], "there is no lock other.lock"),
        (["new-folder-of-a-test"], "name the folder from the root on"),
    ],
)
def test_a_wheelhouse_is_refused_before_anything_is_fetched(tmp_path: Path, arguments: list[str], words: str) -> None:
    given = [one.format(folder=tmp_path) for one in arguments]
    ended = subprocess.run(
        ["sh", "tools/wheelhouse.sh", *given], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert ended.returncode == 1
    assert words in ended.stderr
