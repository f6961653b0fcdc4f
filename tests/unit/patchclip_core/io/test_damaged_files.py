"""What is not a radiograph, and files and streams that are cut off or contradict themselves."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from patchclip_core.errors import UnreadableImageError, UnsuitableImageError
from patchclip_core.io import read_radiograph
from tests.support.dicom_images import (
    COLUMNS,
    LIMITS,
    ROWS,
    compressed,
    dataset_of,
    jpeg,
    ramp,
    write,
)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"Rows": 1, "Columns": 1}, "1 x 1 pixels; a chest radiograph has 64"),
        ({"Rows": 65535, "Columns": 65535}, "more than the 10000000 that are allowed"),
        ({"NumberOfFrames": 2}, "2 frames"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "in colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "in colour"),
    ],
)
def test_images_that_are_no_radiographs_are_unsuitable(tmp_path: Path, attributes: dict[str, Any], reason: str) -> None:
    path = write(dataset_of(ramp(8), 8, **attributes), tmp_path)

    with pytest.raises(UnsuitableImageError, match=reason):
        read_radiograph(path, LIMITS)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"Rows": None}, "Rows is missing"),
        ({"BitsStored": None}, "BitsStored is missing"),
        ({"BitsAllocated": 12}, "Bits Allocated"),
        ({"BitsStored": 20}, "contradict each other"),
        ({"PhotometricInterpretation": None}, "Photometric Interpretation"),
        ({"Rows": 2000}, "cut off"),
        ({"PixelData": None}, "ends before its pixel data"),
    ],
)
def test_headers_that_cannot_be_are_unreadable(tmp_path: Path, attributes: dict[str, Any], reason: str) -> None:
    path = write(dataset_of(ramp(8), 8, **attributes), tmp_path)

    with pytest.raises(UnreadableImageError, match=reason):
        read_radiograph(path, LIMITS)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95, 0.999])
@pytest.mark.parametrize("kind", ["native", "rle", "jpeg-ls", "jpeg-2000", "jpeg"])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str, keep: float) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (256, 256)).astype(np.uint8)
    dataset = dataset_of(stored, 8)
    if kind == "rle":
        dataset.compress(RLELossless, generate_instance_uid=False)
    elif kind == "jpeg-ls":
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    elif kind == "jpeg-2000":
        compressed(dataset, bytes(encode_array(stored, bits_stored=8)), JPEG2000Lossless)
    elif kind == "jpeg":
        compressed(dataset, jpeg(stored), JPEGBaseline8Bit)
    path = write(dataset, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])

    with pytest.raises(UnreadableImageError):
        read_radiograph(path, LIMITS)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless])
def test_a_truncated_stream_in_a_whole_file_is_refused(tmp_path: Path, syntax: UID, keep: float) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (256, 256)).astype(np.uint8)
    stream = jpeg(stored) if syntax == JPEGBaseline8Bit else bytes(encode_array(stored, bits_stored=8))
    path = write(compressed(dataset_of(stored, 8), stream[: int(len(stream) * keep)], syntax), tmp_path)

    with pytest.raises(UnreadableImageError, match=r"cut off|damaged"):
        read_radiograph(path, LIMITS)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless])
def test_a_stream_whose_size_is_not_the_headers_is_refused_before_decoding(tmp_path: Path, syntax: UID) -> None:
    if syntax == JPEGBaseline8Bit:
        stream = bytearray(jpeg(ramp(8)))
        frame = stream.index(b"\xff\xc0")
        stream[frame + 5 : frame + 9] = struct.pack(">HH", 60000, 60000)
    else:
        stream = bytearray(encode_array(ramp(8), bits_stored=8))
        size = stream.index(b"\xff\x51")
        stream[size + 6 : size + 14] = struct.pack(">II", 60000, 60000)
    path = write(compressed(dataset_of(ramp(8), 8), bytes(stream), syntax), tmp_path)

    with pytest.raises(UnreadableImageError, match="compressed stream holds 60000 x 60000"):
        read_radiograph(path, LIMITS)


def test_a_colour_stream_behind_a_grey_header_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((ROWS, COLUMNS, 3), np.uint8)).save(stream, "JPEG")
    path = write(compressed(dataset_of(ramp(8), 8), stream.getvalue(), JPEGBaseline8Bit), tmp_path)

    with pytest.raises(UnreadableImageError, match="holds 3"):
        read_radiograph(path, LIMITS)


def test_a_stream_that_is_not_of_its_syntax_is_refused(tmp_path: Path) -> None:
    path = write(compressed(dataset_of(ramp(8), 8), b"\x00" * 5000, JPEGBaseline8Bit), tmp_path)

    with pytest.raises(UnreadableImageError, match="not what its transfer syntax says"):
        read_radiograph(path, LIMITS)


def test_a_deflated_file_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    dataset = dataset_of(ramp(8), 8)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    with pytest.raises(UnreadableImageError, match="Deflated"):
        read_radiograph(write(dataset, tmp_path), LIMITS)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 4000, b"\x08\x00\x05\x00" + b"\xff" * 300])
def test_what_is_no_image_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "something"
    path.write_bytes(content)

    with pytest.raises(UnreadableImageError):
        read_radiograph(path, LIMITS)


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="cannot be opened: No such file"):
        read_radiograph(tmp_path / "none.dcm", LIMITS)
