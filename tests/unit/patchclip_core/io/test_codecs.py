"""Compressed streams that are not what the header around them says, and syntaxes that came late."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1

from patchclip_core.errors import UnreadableImageError
from patchclip_core.io import read_radiograph
from tests.support.dicom_images import (
    COLUMNS,
    LIMITS,
    ROWS,
    SMALL,
    compressed,
    dataset_of,
    even_ramp,
    jpeg,
    ramp,
    write,
)

STREAMS = Path(__file__).parents[4] / "node" / "patchclip_node" / "cli" / "streams"


def jpeg_lossless(tmp_path: Path, stored: NDArray[np.integer], bits: int, option: str = "+e1") -> bytes:
    """A JPEG Lossless stream with the precision that DCMTK gives samples of `bits` bits."""
    source, target = write(dataset_of(stored, bits), tmp_path), tmp_path / "compressed.dcm"
    subprocess.run(["dcmcjpeg", option, source, target], check=True, capture_output=True)
    return next(generate_frames(dcmread(target).PixelData, number_of_frames=1))


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize(
    ("stored_bits", "stream_bits"),
    [(8, 16), (8, 12), (10, 16), (12, 16), (15, 16), (8, 8)],
)
def test_a_jpeg_of_more_bits_than_its_samples_need_shows_what_the_header_says(
    tmp_path: Path, stored_bits: int, stream_bits: int
) -> None:
    stored = ramp(stored_bits)
    stream = jpeg_lossless(tmp_path, stored.astype("u1" if stream_bits == 8 else "u2"), stream_bits)
    dataset = compressed(dataset_of(stored, stored_bits), stream, JPEGLosslessSV1)

    radiograph = read_radiograph(write(dataset, tmp_path), LIMITS)

    assert radiograph.pixels == even_ramp()
    assert radiograph.remarks == SMALL


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("option", ["+e1", "+el"])
@pytest.mark.parametrize(("allocated", "stored_bits"), [(16, 8), (16, 12), (16, 16)])
def test_a_jpeg_of_8_bits_behind_a_header_of_16_is_decoded(
    tmp_path: Path, allocated: int, stored_bits: int, option: str
) -> None:
    stream = jpeg_lossless(tmp_path, ramp(8), 8, option)
    dataset = dataset_of(ramp(8), 8, BitsAllocated=allocated, BitsStored=stored_bits, HighBit=stored_bits - 1)

    radiograph = read_radiograph(write(compressed(dataset, stream, JPEGLosslessSV1), tmp_path), LIMITS)

    assert radiograph.pixels == even_ramp()


@pytest.mark.parametrize(
    ("stream_bits", "said_bits", "in_words"),
    [(16, 12, True), (12, 10, True), (12, 8, True), (15, 12, True), (12, 12, False), (10, 12, False), (8, 16, False)],
)
def test_a_jpeg_2000_of_another_precision_is_shown_whole(
    tmp_path: Path, stream_bits: int, said_bits: int, in_words: bool
) -> None:
    stored = ramp(stream_bits)
    stream = bytes(encode_array(stored, bits_stored=stream_bits))
    allocated = 8 if said_bits <= 8 else 16
    attributes = {"BitsAllocated": allocated, "BitsStored": said_bits, "HighBit": said_bits - 1}
    dataset = compressed(dataset_of(stored, stream_bits, **attributes), stream, JPEG2000Lossless)

    radiograph = read_radiograph(write(dataset, tmp_path), LIMITS)

    assert radiograph.pixels == even_ramp()
    said = (
        f"The compressed pixels have {stream_bits} bits a sample, Bits Stored says {said_bits}: all of them were used."
    )
    assert any(remark.startswith(said) for remark in radiograph.remarks) == in_words


@pytest.mark.parametrize("signed_stream", [False, True])
@pytest.mark.parametrize("signed_header", [False, True])
@pytest.mark.parametrize(("stream_bits", "said_bits"), [(12, 12), (13, 16), (12, 15)])
def test_a_jpeg_2000_of_another_sign_keeps_its_samples(
    tmp_path: Path, stream_bits: int, said_bits: int, signed_header: bool, signed_stream: bool
) -> None:
    meant = ramp(stream_bits, signed_header)
    pattern = meant.astype(np.int64) & ((1 << stream_bits) - 1)  # the bits that both kinds of number share
    if signed_stream:
        pattern -= (pattern >> (stream_bits - 1)) << stream_bits
    stream = bytes(encode_array(pattern.astype("i2" if signed_stream else "u2"), bits_stored=stream_bits))
    dataset = dataset_of(meant, stream_bits, BitsStored=said_bits, HighBit=said_bits - 1)

    radiograph = read_radiograph(write(compressed(dataset, stream, JPEG2000Lossless), tmp_path), LIMITS)

    assert radiograph.pixels == even_ramp()


def test_overlays_above_the_stored_bits_are_no_part_of_the_samples(tmp_path: Path) -> None:
    stored = ramp(12).astype("u2")
    with_overlay = stored.copy()
    with_overlay[10:30, 10:30] |= 1 << 14
    dataset = dataset_of(stored, 12)
    dataset.add_new(0x60000102, "US", 14)  # Overlay Bit Position
    stream = bytes(encode_array(with_overlay, bits_stored=16))

    radiograph = read_radiograph(write(compressed(dataset, stream, JPEG2000Lossless), tmp_path), LIMITS)

    assert radiograph.pixels == even_ramp()


def box(kind: bytes, content: bytes, *, extended: bool = False, to_the_end: bool = False) -> bytes:
    if to_the_end:
        return struct.pack(">I4s", 0, kind) + content
    if extended:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), kind) + content


def jp2(codestream: bytes, **how: bool) -> bytes:
    signature, brand = box(b"jP  ", b"\r\n\x87\n"), box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    size = box(b"ihdr", struct.pack(">IIHBBBB", ROWS, COLUMNS, 1, 11, 7, 0, 0))
    return signature + brand + box(b"jp2h", size) + box(b"jp2c", codestream, **how)


@pytest.mark.parametrize("wrapper", ["jp2", "extended", "to the end", "boxes behind", "bytes before"])
def test_a_jpeg_2000_in_a_wrapper_is_taken_out_of_it(tmp_path: Path, wrapper: str) -> None:
    codestream = bytes(encode_array(ramp(12), bits_stored=12))
    stream = {
        "jp2": jp2(codestream),
        "extended": jp2(codestream, extended=True),
        "to the end": jp2(codestream, to_the_end=True),
        "boxes behind": jp2(codestream) + box(b"uuid", bytes(500)),
        "bytes before": bytes(37) + codestream,
    }[wrapper]

    radiograph = read_radiograph(
        write(compressed(dataset_of(ramp(12), 12), stream, JPEG2000Lossless), tmp_path), LIMITS
    )

    assert radiograph.pixels == even_ramp()


@pytest.mark.parametrize(
    "stream", [jp2(b"")[:60], box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 "), bytes(6000)], ids=len
)
def test_a_wrapper_without_a_codestream_is_refused(tmp_path: Path, stream: bytes) -> None:
    path = write(compressed(dataset_of(ramp(12), 12), stream, JPEG2000Lossless), tmp_path)

    with pytest.raises(UnreadableImageError, match="codestream"):
        read_radiograph(path, LIMITS)


def with_a_crowded_huffman_table(stream: bytes) -> bytes:
    """Let the first table claim three codes of one bit, as tables of old 16-bit encoders claim too many of more."""
    changed = bytearray(stream)
    table = changed.index(b"\xff\xc4")
    counts = table + 5
    room = sum(changed[counts : counts + 16])
    changed[counts : counts + 16] = bytes([3, room - 3, *[0] * 14])
    return bytes(changed)


@pytest.mark.peer("dcmtk")
def test_a_huffman_table_with_too_many_codes_is_the_reason_that_is_given(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 1 << 16, (ROWS, COLUMNS)).astype(np.uint16)
    stream = with_a_crowded_huffman_table(jpeg_lossless(tmp_path, noise, 16))
    dataset = compressed(dataset_of(noise, 16), stream, JPEGLosslessSV1)

    with pytest.raises(UnreadableImageError, match=r"Huffman table.*Cornell.*store the file uncompressed"):
        read_radiograph(write(dataset, tmp_path), LIMITS)


def test_so_it_is_in_a_lossy_jpeg(tmp_path: Path) -> None:
    dataset = compressed(
        dataset_of(ramp(8), 8),
        with_a_crowded_huffman_table(jpeg(ramp(8))),
        JPEGBaseline8Bit,
    )

    with pytest.raises(UnreadableImageError, match="Huffman table"):
        read_radiograph(write(dataset, tmp_path), LIMITS)


@pytest.mark.parametrize(("uid", "tolerance"), [("201", 1e-6), ("202", 1e-6), ("203", 0.01)])
def test_high_throughput_jpeg_2000_is_decoded(uid: str, tolerance: float) -> None:
    radiograph = read_radiograph(STREAMS / f"1.2.840.10008.1.2.4.{uid}.dcm", LIMITS)

    assert radiograph.pixels == pytest.approx(np.tile(np.linspace(0.0, 1.0, 64), (64, 1)), abs=tolerance)


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.99])
def test_a_high_throughput_stream_that_is_cut_off_is_refused(tmp_path: Path, cut: float) -> None:
    dataset = dcmread(STREAMS / "1.2.840.10008.1.2.4.201.dcm")
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    compressed(dataset, stream[: int(len(stream) * cut)], dataset.file_meta.TransferSyntaxUID)

    with pytest.raises(UnreadableImageError, match="cut off"):
        read_radiograph(write(dataset, tmp_path), LIMITS)


@pytest.mark.parametrize(
    ("uid", "name"), [("110", "JPEG XL Lossless"), ("111", "JPEG XL JPEG Recompression"), ("112", "JPEG XL")]
)
def test_jpeg_xl_is_refused_by_name(tmp_path: Path, uid: str, name: str) -> None:
    path = write(compressed(dataset_of(ramp(8), 8), b"\xff\x0a" + bytes(200), JPEG2000Lossless), tmp_path)
    known, late = b"1.2.840.10008.1.2.4.90", f"1.2.840.10008.1.2.4.{uid}\0".encode()
    known, late = (struct.pack("<H", len(text)) + text for text in (known, late))  # pydicom writes no JPEG XL
    path.write_bytes(path.read_bytes().replace(known, late, 1))

    with pytest.raises(UnreadableImageError, match=f"{name} is not supported; store the file uncompressed"):
        read_radiograph(path, LIMITS)
