from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from openjpeg.utils import encode_array
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from patchclip_core.io import read_radiograph
from tests.support.dicom_images import (
    LIMITS,
    SMALL,
    compressed,
    dataset_of,
    even_ramp,
    jpeg,
    ramp,
    write,
)


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


def test_a_file_without_preamble_and_file_meta_is_read(tmp_path: Path) -> None:
    dataset = dataset_of(1023 - ramp(10), 10, PhotometricInterpretation="MONOCHROME1")
    del dataset.file_meta
    path = tmp_path / "bare.dcm"
    dataset.save_as(path, implicit_vr=True, little_endian=True)

    assert read_radiograph(path, LIMITS).pixels == even_ramp()


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
