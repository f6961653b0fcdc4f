from __future__ import annotations

import io
import struct
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from patchclip_core.errors import UnreadableImageError, UnsuitableImageError
from patchclip_core.io import DecodeLimits, read_radiograph

ROWS, COLUMNS = 72, 80
LIMITS = DecodeLimits(max_pixels=10_000_000)
SMALL = (f"The image is small: its shorter side has {ROWS} pixels, fewer than 256.",)
"""The one remark that images of this size always get."""


def ramp(bits: int, signed: bool = False) -> NDArray[np.integer]:
    """Stored values that rise evenly from the lowest, top left, to the highest, bottom right."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    lowest = -(1 << (bits - 1)) if signed else 0
    values = np.rint((x + y) / (ROWS + COLUMNS - 2) * ((1 << bits) - 1)) + lowest
    kind = ("i" if signed else "u") + str(1 if bits <= 8 else 2)
    return np.asarray(values, dtype=kind)


def dataset_of(stored: NDArray[np.integer], bits: int, **attributes: Any) -> Dataset:
    """A CR image; the window covers all of its stored values unless attributes say else."""
    signed = stored.dtype.kind == "i"
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = "CR"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = stored.dtype.itemsize * 8
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.WindowCenter = 0 if signed else 1 << (bits - 1)
    dataset.WindowWidth = 1 << bits
    dataset.add_new("PixelData", "OW", stored.tobytes())
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def write(dataset: Dataset, folder: Path) -> Path:
    path = folder / "image.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these are wrong on purpose
        dataset.save_as(path, enforce_file_format=True)
    return path


def compressed(dataset: Dataset, stream: bytes, syntax: UID) -> Dataset:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def even_ramp(tolerance: float = 0.01) -> Any:
    y, x = np.mgrid[:ROWS, :COLUMNS]
    return pytest.approx((x + y) / (ROWS + COLUMNS - 2), abs=tolerance)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
def test_every_depth_and_sign_shows_the_same_ramp(tmp_path: Path, bits: int, signed: bool) -> None:
    radiograph = read_radiograph(write(dataset_of(ramp(bits, signed), bits), tmp_path), LIMITS)

    assert radiograph.pixels == even_ramp()
    assert radiograph.remarks == SMALL


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    path = write(dataset_of(4095 - ramp(12), 12, PhotometricInterpretation="MONOCHROME1"), tmp_path)

    assert read_radiograph(path, LIMITS).pixels == even_ramp()


def test_presentation_lut_shape_inverts_no_second_time(tmp_path: Path) -> None:
    path = write(
        dataset_of(4095 - ramp(12), 12, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"),
        tmp_path,
    )

    assert read_radiograph(path, LIMITS).pixels == even_ramp()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_uncompressed_syntaxes_decode(tmp_path: Path, syntax: UID) -> None:
    dataset = dataset_of(ramp(12), 12)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = ramp(12).astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax

    assert read_radiograph(write(dataset, tmp_path), LIMITS).pixels == even_ramp()


def test_bits_above_the_high_bit_and_below_the_stored_bits_are_dropped(tmp_path: Path) -> None:
    stored = (ramp(12).astype(np.uint16) << 2) | 0x8001
    dataset = dataset_of(stored, 12, HighBit=13)

    assert read_radiograph(write(dataset, tmp_path), LIMITS).pixels == even_ramp()


@pytest.mark.parametrize(
    ("bits", "signed"), [(8, False), (12, False), (15, False), (16, False), (12, True), (16, True)]
)
def test_rle_decodes(tmp_path: Path, bits: int, signed: bool) -> None:
    dataset = dataset_of(ramp(bits, signed), bits)
    dataset.compress(RLELossless, generate_instance_uid=False)

    assert read_radiograph(write(dataset, tmp_path), LIMITS).pixels == even_ramp()


@pytest.mark.parametrize(
    ("bits", "signed"), [(8, False), (10, False), (12, False), (15, False), (16, False), (12, True)]
)
def test_jpeg_ls_decodes(tmp_path: Path, bits: int, signed: bool) -> None:
    dataset = dataset_of(ramp(bits, signed), bits)
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)

    assert read_radiograph(write(dataset, tmp_path), LIMITS).pixels == even_ramp()


@pytest.mark.parametrize(
    ("bits", "signed"), [(8, False), (12, False), (15, False), (16, False), (12, True), (16, True)]
)
def test_jpeg_2000_decodes(tmp_path: Path, bits: int, signed: bool) -> None:
    stored = ramp(bits, signed)
    stream = bytes(encode_array(stored, bits_stored=bits))

    dataset = compressed(dataset_of(stored, bits), stream, JPEG2000Lossless)

    assert read_radiograph(write(dataset, tmp_path), LIMITS).pixels == even_ramp()


def jpeg(stored: NDArray[np.integer]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, "JPEG", quality=98)
    return stream.getvalue()


def test_jpeg_baseline_decodes(tmp_path: Path) -> None:
    dataset = compressed(dataset_of(ramp(8), 8), jpeg(ramp(8)), JPEGBaseline8Bit)

    assert read_radiograph(write(dataset, tmp_path), LIMITS).pixels == even_ramp(0.02)


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(
    ("bits", "signed", "encoder"),
    [
        (12, False, ["dcmcjpeg", "+ee"]),
        (8, False, ["dcmcjpeg", "+ee"]),
        (8, False, ["dcmcjpeg", "+el"]),
        (12, False, ["dcmcjpeg", "+el"]),
        (16, True, ["dcmcjpeg", "+el"]),
        (8, False, ["dcmcjpeg", "+e1"]),
        (12, False, ["dcmcjpeg", "+e1"]),
        (15, False, ["dcmcjpeg", "+e1"]),
        (16, False, ["dcmcjpeg", "+e1"]),
        (12, True, ["dcmcjpeg", "+e1"]),
        (12, False, ["dcmcjpls", "--encode-nearlossless"]),
        (12, False, ["dcmcrle"]),
    ],
)
def test_what_dcmtk_compresses_decodes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], bits: int, signed: bool, encoder: list[str]
) -> None:
    source, target = write(dataset_of(ramp(bits, signed), bits), tmp_path), tmp_path / "compressed.dcm"
    subprocess.run([*encoder, source, target], check=True, capture_output=True)

    radiograph = read_radiograph(target, LIMITS)

    assert radiograph.pixels == even_ramp(0.02)
    assert capfd.readouterr() == ("", ""), "decoders must not talk"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        # LINEAR: 1500 - 0.5 -+ 999.5 -> 500 is black, 2499 is white; 1499.5 is grey.
        ({"WindowCenter": 1500, "WindowWidth": 2000}, {500: 0.0, 1499: 0.49975, 2499: 1.0}),
        ({"WindowCenter": 1500, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT"}, {500: 0.0, 1500: 0.5, 2500: 1}),
        (
            {"WindowCenter": 1500, "WindowWidth": 2000, "VOILUTFunction": "SIGMOID"},
            {1500: 0.5, 2000: 1 / (1 + np.e**-1)},
        ),
        ({"WindowCenter": [1500, 9], "WindowWidth": [2000, 9]}, {500: 0.0, 2499: 1.0}),
        (
            {"WindowCenter": 500, "WindowWidth": 1000, "RescaleSlope": 0.5, "RescaleIntercept": -100},
            {200: 0.0, 2198: 1},
        ),
    ],
)
def test_windows_are_applied_as_the_standard_says(
    tmp_path: Path, attributes: dict[str, Any], expected: dict[int, float]
) -> None:
    stored = np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS) % 4096

    shown = read_radiograph(write(dataset_of(stored, 12, **attributes), tmp_path), LIMITS).pixels

    for value, grey in expected.items():
        assert shown[stored == value][0] == pytest.approx(grey, abs=1e-3)


def lut(first: int, entries: list[int], bits: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.add_new("LUTData", "OW", np.array(entries, dtype="<u2").tobytes())
    item["LUTDescriptor"].VR = "US"
    return Sequence([item])


def test_a_voi_lut_comes_before_a_window(tmp_path: Path) -> None:
    dataset = dataset_of(ramp(8), 8, VOILUTSequence=lut(0, [235 + 3 * value for value in range(256)], 10))

    shown = read_radiograph(write(dataset, tmp_path), LIMITS).pixels

    assert shown[0, 0] == pytest.approx(235 / 1023)
    assert shown[-1, -1] == pytest.approx(1000 / 1023)


def test_a_modality_lut_comes_before_the_window(tmp_path: Path) -> None:
    dataset = dataset_of(
        ramp(8), 8, ModalityLUTSequence=lut(10, list(range(0, 2400, 10)), 12), WindowCenter=1200, WindowWidth=2400
    )

    shown = read_radiograph(write(dataset, tmp_path), LIMITS).pixels

    looked_up = 10.0 * np.clip(ramp(8).astype(int) - 10, 0, 239)
    assert shown == pytest.approx(looked_up / 2400, abs=1e-3)


@pytest.mark.parametrize(
    "attributes", [{"WindowCenter": None, "WindowWidth": None}, {"WindowWidth": 0}, {"WindowWidth": -5}]
)
def test_without_a_usable_window_the_contrast_comes_from_the_image_and_is_remarked(
    tmp_path: Path, attributes: dict[str, Any]
) -> None:
    stored = (ramp(8).astype(np.uint16) + 1000).astype(np.uint16)
    stored[0, 0] = 4095

    radiograph = read_radiograph(write(dataset_of(stored, 12, **attributes), tmp_path), LIMITS)

    assert radiograph.pixels[1:] == pytest.approx((stored[1:] - 1000) / 255, abs=0.12)
    assert any("contrast was set" in remark for remark in radiograph.remarks)


def test_eight_bits_without_a_window_are_shown_as_they_are(tmp_path: Path) -> None:
    stored = (ramp(8) // 2 + 40).astype(np.uint8)

    radiograph = read_radiograph(write(dataset_of(stored, 8, WindowCenter=None, WindowWidth=None), tmp_path), LIMITS)

    assert radiograph.pixels == pytest.approx(stored / 255)
    assert radiograph.remarks == SMALL


def test_a_window_beside_the_values_is_replaced_and_remarked(tmp_path: Path) -> None:
    path = write(dataset_of(ramp(8).astype(np.uint16), 16, WindowCenter=40000, WindowWidth=100), tmp_path)

    radiograph = read_radiograph(path, LIMITS)

    assert radiograph.pixels.std() > 0.2
    assert any("shows nothing" in remark for remark in radiograph.remarks)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_count(tmp_path: Path, photometric: str) -> None:
    stored = (ramp(8).astype(np.uint16) + 1000).astype(np.uint16)
    stored[:, :20] = 65535
    dataset = dataset_of(
        stored, 16, WindowCenter=None, WindowWidth=None, PhotometricInterpretation=photometric, PixelPaddingValue=65535
    )

    shown = read_radiograph(write(dataset, tmp_path), LIMITS).pixels

    assert not shown[:, :20].any()
    assert shown[:, 20:].std() > 0.15


def test_a_padding_range_and_a_negative_padding_value_are_understood(tmp_path: Path) -> None:
    stored = ramp(8).astype(np.int16)
    stored[:5], stored[5:10] = -2000, -1990
    dataset = dataset_of(stored, 16, WindowCenter=128, WindowWidth=256)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    dataset.add_new("PixelPaddingRangeLimit", "SS", -1990)
    dataset.PhotometricInterpretation = "MONOCHROME1"

    shown = read_radiograph(write(dataset, tmp_path), LIMITS).pixels

    assert not shown[:10].any()
    assert shown[10:].min() < shown[10:].max()


@pytest.mark.parametrize(
    ("attributes", "ratio"),
    [
        ({"PixelSpacing": [0.2, 0.1]}, 2.0),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, 0.5),
        ({"PixelAspectRatio": [3, 2]}, 1.5),
        ({"PixelSpacing": [0.0, 0.0], "ImagerPixelSpacing": [0.3, 0.2]}, 1.5),
        ({"PixelSpacing": [0.15, 0.15], "PixelAspectRatio": [3, 2]}, 1.0),
        ({"PixelSpacing": [-1, 1]}, 1.0),
        ({"PixelAspectRatio": [1]}, 1.0),
        ({"PixelAspectRatio": [1000, 1]}, 1.0),
        ({}, 1.0),
    ],
)
def test_the_pixel_aspect_ratio_comes_from_the_first_usable_attribute(
    tmp_path: Path, attributes: dict[str, Any], ratio: float
) -> None:
    path = write(dataset_of(ramp(8), 8, **attributes), tmp_path)

    assert read_radiograph(path, LIMITS).pixel_aspect_ratio == pytest.approx(ratio)


def test_a_file_without_preamble_and_file_meta_is_read(tmp_path: Path) -> None:
    dataset = dataset_of(1023 - ramp(10), 10, PhotometricInterpretation="MONOCHROME1")
    del dataset.file_meta
    path = tmp_path / "bare.dcm"
    dataset.save_as(path, implicit_vr=True, little_endian=True)

    assert read_radiograph(path, LIMITS).pixels == even_ramp()


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


def test_a_uniform_image_is_read_with_a_remark(tmp_path: Path) -> None:
    path = write(dataset_of(np.zeros((ROWS, COLUMNS), np.uint16), 12), tmp_path)

    radiograph = read_radiograph(path, LIMITS)

    assert not radiograph.pixels.any()
    assert "All pixels of the image have the same value." in radiograph.remarks


def chest() -> NDArray[np.integer]:
    """A drawn chest: abdomen and spine bright, the lungs and the air beside the neck dark."""
    stored = np.full((400, 400), 3000, dtype=np.uint16)
    stored[100:290, 60:160] = stored[100:290, 240:340] = stored[:70, :80] = stored[:70, 320:] = 500
    return stored


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (None, lambda upright: upright),
        (["L", "F"], lambda upright: upright),
        (["R", "H"], lambda upright: np.rot90(upright, 2)),
        (["L", "H"], np.flipud),
        (["H", "L"], lambda upright: np.rot90(upright, -1)),
        (["F", "R"], np.rot90),
        (["F", "L"], np.transpose),
    ],
)
def test_an_image_of_exchanged_polarity_is_read_the_right_way_round_however_it_lies(
    orientation: list[str] | None,
    turned: Callable[[NDArray[np.integer]], NDArray[np.integer]],
    tmp_path: Path,
) -> None:
    stored = np.ascontiguousarray(turned(chest()))
    stated = {} if orientation is None else {"PatientOrientation": orientation}

    right, wrong = (
        read_radiograph(write(dataset_of(stored, 12, PhotometricInterpretation=said, **stated), tmp_path), LIMITS)
        for said in ("MONOCHROME2", "MONOCHROME1")
    )

    assert not any("exchanged" in remark for remark in right.remarks)
    assert any("exchanged" in remark and "other way round" in remark for remark in wrong.remarks)
    assert right.display is not None
    assert wrong.display is not None
    assert (right.display.inverted, wrong.display.inverted) == (False, False)
    assert wrong.pixels == pytest.approx(right.pixels, abs=0.01)


@pytest.mark.parametrize(
    "spoilt",
    [
        (slice(100, 290), slice(240, 340), 4000),  # one white lung
        (slice(300, 400), slice(0, 400), 0),  # a dark border below
        (slice(0, 90), slice(0, 400), 4000),  # a bright border above
        (slice(0, 90), slice(0, 400), 0),
        (slice(250, 400), slice(0, 400), 0),
        (slice(100, 290), slice(60, 160), 4000),
    ],
)
def test_neither_a_white_lung_nor_a_border_makes_an_image_inverted(
    tmp_path: Path, spoilt: tuple[slice, slice, int]
) -> None:
    stored = chest()
    rows, columns, value = spoilt
    stored[rows, columns] = value

    radiograph = read_radiograph(write(dataset_of(stored, 12), tmp_path), LIMITS)

    assert not any("exchanged" in remark for remark in radiograph.remarks)


@pytest.mark.real_data
def test_every_real_file_is_read(real_data_dir: Path) -> None:
    paths = sorted((real_data_dir / "dicom").glob("*.dcm"))
    assert len(paths) >= 5

    radiographs = {path.name: read_radiograph(path) for path in paths}

    assert all(radiograph.pixels.std() > 0.1 for radiograph in radiographs.values())
    inverted = {name for name, radiograph in radiographs.items() if any("exchanged" in r for r in radiograph.remarks)}
    assert inverted == {"siim_acr_cr_chest_pa_jpeg_fake_mono1.dcm"}


@pytest.mark.real_data
def test_lossless_and_lossy_copies_of_one_real_image_look_alike(real_data_dir: Path) -> None:
    jpeg_ls, jpeg_2000 = (
        read_radiograph(real_data_dir / "dicom" / f"philips_cr_chest_pa_RG1_{kind}.dcm").pixels
        for kind in ("jpegls", "j2k_lossy")
    )

    assert np.abs(jpeg_ls - jpeg_2000).max() < 0.02
