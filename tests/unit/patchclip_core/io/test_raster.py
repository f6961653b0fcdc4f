from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchclip_core.errors import UnreadableImageError, UnsuitableImageError
from patchclip_core.io import DecodeLimits, read_radiograph

GREY = (np.indices((70, 90)).sum(axis=0) % 256).astype(np.uint8)


def save(pixels: np.ndarray, path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_an_8_bit_png_is_shown_as_it_is(tmp_path: Path) -> None:
    radiograph = read_radiograph(save(GREY, tmp_path / "image.png"))

    assert radiograph.pixels == pytest.approx(GREY / 255)
    assert radiograph.pixel_aspect_ratio == 1.0


def test_a_jpeg_is_read(tmp_path: Path) -> None:
    assert read_radiograph(save(GREY, tmp_path / "image.jpg")).pixels == pytest.approx(GREY / 255, abs=0.1)


def test_a_16_bit_png_is_stretched_with_a_remark(tmp_path: Path) -> None:
    radiograph = read_radiograph(save(GREY.astype(np.uint16) * 10 + 500, tmp_path / "image.png"))

    assert radiograph.pixels.max() == 1.0
    assert radiograph.pixels.min() == 0.0
    assert radiograph.remarks[0].startswith("A 16-bit image without a window")


def test_grey_saved_as_colour_is_grey(tmp_path: Path) -> None:
    rgba = np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])

    assert read_radiograph(save(rgba, tmp_path / "image.png")).pixels == pytest.approx(GREY / 255)


def test_a_colour_image_is_unsuitable(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableImageError, match="in colour"):
        read_radiograph(save(np.dstack([GREY, GREY // 2, GREY]), tmp_path / "image.png"))


def test_a_tiny_image_is_unsuitable(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableImageError, match="1 x 1"):
        read_radiograph(save(GREY[:1, :1], tmp_path / "image.png"))


def test_a_huge_image_is_unsuitable_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableImageError, match="more than the 5000"):
        read_radiograph(save(GREY, tmp_path / "image.png"), DecodeLimits(max_pixels=5000))


@pytest.mark.parametrize("name", ["image.png", "image.jpg"])
def test_a_truncated_file_is_unreadable(tmp_path: Path, name: str) -> None:
    path = save(np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8), tmp_path / name)
    path.write_bytes(path.read_bytes()[:-5000])

    with pytest.raises(UnreadableImageError, match="damaged or cut off"):
        read_radiograph(path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_followed(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"image.{suffix}"
    # Rows and columns as stored, by what CIPA DC-008 says of where the 0th row and the 0th column are shown.
    stored = {
        1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1],
        5: GREY.T, 6: GREY.T[::-1], 7: GREY.T[::-1, ::-1], 8: GREY.T[:, ::-1],
    }[orientation]  # fmt: skip
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=95)

    assert read_radiograph(path).pixels == pytest.approx(GREY / 255, abs=0.1)


def chest() -> np.ndarray:
    """Bright spine and abdomen, dark lungs and air, as in any frontal chest radiograph."""
    pixels = np.full((200, 160), 40, dtype=np.uint8)
    pixels[60:, 66:94] = 200
    pixels[150:] = 220
    return pixels


@pytest.mark.parametrize(("suffix", "depth"), [("png", np.uint8), ("png", np.uint16), ("jpg", np.uint8)])
def test_an_inverted_image_is_turned_back_with_a_remark(tmp_path: Path, suffix: str, depth: type[np.integer]) -> None:
    upright = read_radiograph(save(chest().astype(depth), tmp_path / f"upright.{suffix}"))
    inverted = read_radiograph(save((255 - chest()).astype(depth), tmp_path / f"inverted.{suffix}"))

    assert not any("looked exchanged" in remark for remark in upright.remarks)
    assert any(remark.startswith("Black and white looked exchanged") for remark in inverted.remarks)
    assert inverted.pixels == pytest.approx(upright.pixels, abs=0.05)


def test_an_image_of_20000_pixels_a_side_is_refused_by_our_own_limit(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    body = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body))

    with pytest.raises(UnsuitableImageError, match="20000 x 20000 pixels, more than the 100000000 that are allowed"):
        read_radiograph(path)


def test_a_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")

    with pytest.raises(UnreadableImageError, match="Git LFS pointer, not the image itself: fetch it with `git"):
        read_radiograph(path)
