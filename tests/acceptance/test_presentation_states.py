"""Presentation states as DCMTK shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from patchclip_node.domain.variants import ResultKind
from patchclip_node.results import encode
from tests.peers.dcmtk import presented
from tests.support.objects import object_of
from tests.support.synthetic import analysed_source, source_image

CENTRE, WIDTH = 1500, 2000
RAMP = np.linspace(0, 4095, 500).astype("<u2")


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_an_image_under_its_annotations_keeps_its_window_and_its_polarity(photometric: str, tmp_path: Path) -> None:
    shown = _shown(photometric, tmp_path)

    expected = np.clip((RAMP - (CENTRE - 0.5)) / (WIDTH - 1) + 0.5, 0, 1) * 255  # PS3.3 C.11.2.1.2.1
    if photometric == "MONOCHROME1":
        expected = 255 - expected
    assert np.abs(shown - expected[:, np.newaxis]).max() <= 2


def _shown(photometric: str, folder: Path) -> NDArray[np.int_]:
    source = source_image(PhotometricInterpretation=photometric, WindowCenter=CENTRE, WindowWidth=WIDTH)
    source.PixelData = np.repeat(RAMP[:, np.newaxis], 400, axis=1).tobytes()
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image, state = folder / "image.dcm", folder / "state.dcm"
    source.save_as(image, enforce_file_format=True)
    made = object_of(ResultKind.GSPS, analysed_source(source, {"opacity": [(3, 3, 3, 3)]}))
    state.write_bytes(encode(made))
    with Image.open(presented(image, state, folder / "shown.pgm")) as picture:
        return np.asarray(picture).astype(int)
