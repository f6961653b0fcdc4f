from __future__ import annotations

import subprocess
import sys

import pytest

CHECK = """
import sys
{before}
from patchclip_node.dicom.spared import import_pydicom
import_pydicom()
import pydicom
assert {name!r} {isnot} in sys.modules, sys.modules.get({name!r})
import {name}
assert {name} is not None
from pydicom.pixels.decoders import JPEGLosslessDecoder
print(sorted(JPEGLosslessDecoder.available_plugins))
"""


def said(before: str, name: str, isnot: str) -> str:
    code = CHECK.format(before=before, name=name, isnot=isnot)
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("name", ["gdcm", "requests"])
def test_what_is_spared_is_not_loaded_and_can_be_imported_afterwards(name: str) -> None:
    assert "gdcm" not in said("", name, "not")


@pytest.mark.parametrize("name", ["gdcm", "requests"])
def test_what_was_loaded_before_stays_so(name: str) -> None:
    said(f"import {name}", name, "")


def test_who_has_pydicom_keeps_it_as_it_is() -> None:
    assert "gdcm" in said("import pydicom", "gdcm", "")
