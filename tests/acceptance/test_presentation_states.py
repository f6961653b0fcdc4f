"""Presentation states show in DCMTK what the analysis saw, whatever the header of the image says."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from patchclip_core.drawing.overlay import shown as picture_of
from patchclip_core.io import read_radiograph
from patchclip_node.dicom.headers import read_dataset
from patchclip_node.domain.variants import ResultKind
from patchclip_node.results import encode
from tests.peers.dcmtk import presented
from tests.support.objects import object_of
from tests.support.synthetic import analysed_source, source_image

pytestmark = pytest.mark.peer("dcmtk")

RAMP = np.linspace(0, 4095, 500).astype("<u2")
HIGHEST = 255


def lut(entries: NDArray[Any], bits: int, *, count: int | None = None, vr: str = "OW", first: int = 0) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [count or len(entries), first, bits]
    item["LUTDescriptor"].VR = "US"
    words = np.asarray(entries, dtype="<u2")
    item.add_new("LUTData", vr, [int(one) for one in words] if vr == "US" else words.tobytes())
    return Sequence([item])


STRAIGHT, FALLING, CURVED = np.arange(4096), np.arange(4096)[::-1], (np.arange(4096) / 4095.0) ** 2 * 4095

NO_WINDOW: dict[str, Any] = {"WindowCenter": None, "WindowWidth": None}

HEADERS: dict[str, dict[str, Any]] = {
    "a window": {"WindowCenter": 1500, "WindowWidth": 2000},
    "a sigmoid": {"WindowCenter": 1500, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1"},
    "no window": NO_WINDOW,
    "no window, MONOCHROME1": NO_WINDOW | {"PhotometricInterpretation": "MONOCHROME1"},
    "a window of 16 bits": {"WindowCenter": 32768, "WindowWidth": 65536},
    "a window of 8 bits": {"WindowCenter": 128, "WindowWidth": 256},
    "a window of no width": {"WindowWidth": 0},
    "a VOI LUT": {"VOILUTSequence": lut(CURVED, 12)},
    "a falling VOI LUT": {"VOILUTSequence": lut(FALLING, 12)},
    "a VOI LUT in OB": {"VOILUTSequence": lut(CURVED, 12, vr="OB")},
    "a VOI LUT in US": {"VOILUTSequence": lut(CURVED, 12, vr="US")},
    "a VOI LUT in UN": {"VOILUTSequence": lut(CURVED, 12, vr="UN")},
    "a falling VOI LUT in OB": {"VOILUTSequence": lut(FALLING, 12, vr="OB")},
    "a VOI LUT in OB, MONOCHROME1": {
        "VOILUTSequence": lut(CURVED, 12, vr="OB"),
        "PhotometricInterpretation": "MONOCHROME1",
    },
    "a VOI LUT in OB that says 16 bits and holds 12": {"VOILUTSequence": lut(CURVED, 16, vr="OB")},
    "a VOI LUT in OB that is cut off": {"VOILUTSequence": lut(CURVED[:1000], 12, count=4096, vr="OB")},
    "a Modality LUT in OB": {"ModalityLUTSequence": lut(CURVED, 16, vr="OB")} | NO_WINDOW,
    "a Modality LUT in UN": {"ModalityLUTSequence": lut(CURVED, 16, vr="UN")} | NO_WINDOW,
    "a VOI LUT that says 16 bits and holds 12": {"VOILUTSequence": lut(CURVED, 16)},
    "a VOI LUT that says 8 bits and holds 12": {"VOILUTSequence": lut(CURVED, 8)},
    "a VOI LUT that is cut off": {"VOILUTSequence": lut(CURVED[:1000], 12, count=4096)},
    "a VOI LUT of white alone": {"VOILUTSequence": lut(np.full(4096, 4095), 12)},
    "a rescaling": {"RescaleSlope": 0.5, "RescaleIntercept": -100, "WindowCenter": 900, "WindowWidth": 1500},
    "an intercept alone": {"RescaleIntercept": -1024} | NO_WINDOW,
    "a slope of 0": {"RescaleSlope": 0, "RescaleIntercept": 0},
    "a Modality LUT": {"ModalityLUTSequence": lut(CURVED, 16)} | NO_WINDOW,
    "a Modality LUT and MONOCHROME1": {
        "ModalityLUTSequence": lut(FALLING, 16),
        "PhotometricInterpretation": "MONOCHROME1",
        "WindowCenter": 2000,
        "WindowWidth": 3000,
    },
}


@pytest.mark.parametrize("header", HEADERS)
def test_dcmtk_shows_an_image_under_its_annotations_as_the_analysis_saw_it(header: str, tmp_path: Path) -> None:
    source = source_image(WindowCenter=2048, WindowWidth=4096, BitsStored=12, HighBit=11)
    for keyword, value in HEADERS[header].items():
        if value is None:
            source.pop(keyword, None)
        else:
            setattr(source, keyword, value)
    image = written(source, tmp_path)

    seen, shown = read_radiograph(image), under_annotations(image, image, tmp_path)

    assert np.abs(shown - HIGHEST * seen.pixels).max() <= 2


def test_dcmtk_opens_no_annotations_of_a_patient_without_a_name(tmp_path: Path) -> None:
    """As docs/radiologist.md says; DCMTK 3.6.7."""
    image = written(source_image(PatientName="", BitsStored=12, HighBit=11), tmp_path)

    with pytest.raises(AssertionError, match="patientName absent or empty"):
        under_annotations(image, image, tmp_path)


@pytest.mark.real_data
def test_dcmtk_shows_every_real_file_as_the_analysis_saw_it(real_data_dir: Path, tmp_path: Path) -> None:
    with as_file(files("patchclip_node.samples")) as samples:
        assert_shown_alike([*(real_data_dir / "dicom").glob("*.dcm"), *samples.glob("*.dcm")], tmp_path)


def assert_shown_alike(paths: Iterable[Path], tmp_path: Path) -> None:
    """Compare what the analysis saw, the picture of its result, and what DCMTK shows under the presentation state."""
    for path in sorted(paths):
        plain = tmp_path / f"plain-{path.name}"
        dataset = dcmread(path, force=True)
        if not hasattr(dataset.file_meta, "TransferSyntaxUID"):
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress(generate_instance_uid=False)
        dataset.save_as(plain, enforce_file_format=True)

        seen, shown = read_radiograph(path), under_annotations(path, plain, tmp_path)

        assert_alike(HIGHEST * seen.pixels, shown, path.name)
        assert_alike(np.asarray(picture_of(seen).convert("L")), shown, path.name)


def written(source: Dataset, folder: Path) -> Path:
    """Write an image that gets brighter downwards."""
    source.PixelData = np.repeat(RAMP[:, np.newaxis], 400, axis=1).tobytes()
    source["PixelData"].VR = "OW"
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    source.save_as(folder / "image.dcm", enforce_file_format=True)
    return folder / "image.dcm"


def under_annotations(image: Path, plain: Path, folder: Path) -> NDArray[np.int_]:
    """Return what DCMTK shows of an image under the presentation state that the node makes; plain: uncompressed."""
    display = read_radiograph(image).display
    assert display is not None
    made = object_of(
        ResultKind.GSPS, analysed_source(read_dataset(image), {"opacity": [(3, 3, 3, 3)]}, display=display)
    )
    state = folder / "state.dcm"
    state.write_bytes(encode(made))
    with Image.open(presented(plain, state, folder / "shown.pgm")) as picture:
        return np.asarray(picture).astype(int)


def assert_alike(seen: NDArray[Any], shown: NDArray[np.int_], name: str) -> None:
    assert shown.mean() == pytest.approx(float(seen.mean()), abs=0.05 * HIGHEST), name
    for percent in (5, 50, 95):
        assert np.percentile(shown, percent) == pytest.approx(float(np.percentile(seen, percent)), abs=2), (
            f"{name}: percentile {percent}"
        )
