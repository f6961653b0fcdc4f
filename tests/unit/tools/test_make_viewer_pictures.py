"""tools/make_viewer_pictures.py: what it does before it starts a viewer."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from tools import make_viewer_pictures
from tools.make_viewer_pictures import main, uncompressed


def test_it_says_which_viewers_are_missing_and_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"dwv", "dicomscope"}
    monkeypatch.setattr(make_viewer_pictures, "missing_programs", lambda peer: ["it"] if peer in absent else [])

    with pytest.raises(SystemExit) as raised:
        main(out=tmp_path / "pictures")

    assert str(raised.value).splitlines() == [
        "dwv is not installed: make viewers",
        "dicomscope is not installed: apt-get install dicomscope xvfb default-jdk-headless",
    ]
    assert not (tmp_path / "pictures").exists()


def test_viewers_get_the_same_image_without_compression(tmp_path: Path) -> None:
    sample = Path(str(files("patchclip_node.samples"))) / "sample-6-cr.dcm"
    original = dcmread(sample)

    copy = dcmread(uncompressed(sample, tmp_path / "copy.dcm"))

    assert original.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert copy.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert copy.SOPInstanceUID == copy.file_meta.MediaStorageSOPInstanceUID == original.SOPInstanceUID
    assert np.array_equal(copy.pixel_array, original.pixel_array)
