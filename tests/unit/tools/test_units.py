"""packaging/systemd: units that systemd takes, with as few rights as its own examination asks for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from patchclip_node.bootstrap.supervisor import COMMANDS
from tests.support.docs import ROOT, page

UNITS = sorted((ROOT / "packaging" / "systemd").glob("*.service"))
PROGRAM = "/opt/patchclip/venv/bin/patchclip-node"
WORST_EXPOSURE = 2.0
"""By `systemd-analyze security`, of 10; below 2 is what it calls OK."""


def instances() -> list[str]:
    """Return the units as they are started: the template once for each of its commands."""
    return ["patchclip.service", *(f"patchclip@{command}.service" for command in COMMANDS)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The units, with a program that is there."""
    program = shutil.which("true")
    assert program is not None
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, program))
    return tmp_path


def test_there_is_a_unit_for_the_whole_node_and_a_template_for_its_processes() -> None:
    assert [unit.name for unit in UNITS] == ["patchclip.service", "patchclip@.service"]
    whole, template = ((line for line in unit.read_text().splitlines() if not line.startswith("#")) for unit in UNITS)

    assert [(one, other) for one, other in zip(whole, template, strict=True) if one != other] == [
        ("Description=Patch-CLIP node", "Description=Patch-CLIP %i"),
        (
            f"ExecStart={PROGRAM} serve --config /etc/patchclip/node.yaml",
            f"ExecStart={PROGRAM} %i --config /etc/patchclip/node.yaml",
        ),
    ]
    named = re.findall(r"patchclip@(\w+)", page("docs/security/hardening.md"))
    assert sorted(named) == sorted(COMMANDS)


@pytest.mark.peer("systemd-analyze")
@pytest.mark.parametrize("unit", instances())
def test_systemd_finds_no_fault(folder: Path, unit: str) -> None:
    found = subprocess.run(["systemd-analyze", "verify", folder / unit], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.peer("systemd-analyze")
@pytest.mark.parametrize("unit", [unit.name for unit in UNITS])
def test_a_unit_has_few_rights(folder: Path, unit: str) -> None:
    arguments = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(folder / unit)]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout

    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", found)
    assert float(exposure) <= WORST_EXPOSURE, found


@pytest.mark.peer("systemd-analyze")
def test_a_unit_with_more_rights_is_seen(folder: Path) -> None:
    unit = folder / "patchclip.service"
    unit.write_text(re.sub(r"^(Protect|System|Restrict).*\n", "", unit.read_text(), flags=re.MULTILINE))
    arguments = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout

    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", found)
    assert float(exposure) > WORST_EXPOSURE
