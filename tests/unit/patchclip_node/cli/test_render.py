"""`render`: an object and its image in, a picture out; what strangers send ends the child and not the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from patchclip_node.domain.variants import ResultKind
from patchclip_node.results import encode
from tests.peers.radiographs import radiograph, write
from tests.support.objects import object_of
from tests.support.synthetic import analysed_source, result_context
from tests.unit.patchclip_node.cli.conftest import Command


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Path]:
    """A report and its image."""
    dataset = radiograph(rows=320, columns=240)
    image = write(dataset, tmp_path / "image.dcm")
    report = object_of(ResultKind.SR, [analysed_source(dataset, {"opacity": [(3, 3, 3, 3)]})], [], result_context())
    path = tmp_path / "report.dcm"
    path.write_bytes(encode(report))
    return path, image


def test_an_object_is_drawn_beside_itself_or_where_it_is_asked_for(
    command: Command, study: tuple[Path, Path], tmp_path: Path
) -> None:
    report, image = study

    usual, asked = command("render", report, image), command("render", report, image, "--out", tmp_path / "my.png")

    assert (usual.status, asked.status) == (0, 0), usual.err + asked.err
    with Image.open(report.with_suffix(".png")) as one, Image.open(tmp_path / "my.png") as two:
        assert f"{report.with_suffix('.png')}, {one.width} x {one.height} pixels" in usual.out
        assert one.size == two.size
        assert one.width == 1400 * 240 // 320 + 540
        assert one.tobytes() == two.tobytes()


def test_an_object_of_another_image_is_drawn_only_when_asked_for(
    command: Command, study: tuple[Path, Path], tmp_path: Path
) -> None:
    other = write(radiograph(rows=320, columns=240), tmp_path / "other.dcm")

    refused, drawn = command("render", study[0], other), command("render", study[0], other, "--anyway")

    assert refused.status == 1
    assert "does not refer to other.dcm" in refused.err
    assert drawn.status == 0, drawn.err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("noise.dcm", b"\x01" * 5000, "not a DICOM file"),
        ("empty.dcm", b"", "not a DICOM file"),
    ],
)
def test_a_file_that_is_no_object_is_named(
    name: str, content: bytes, words: str, command: Command, study: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    ended = command("render", path, study[1])

    assert ended.status == 1
    assert name in ended.err
    assert words in ended.err
    assert not path.with_suffix(".png").exists()


def test_a_file_that_is_not_there_is_a_usage_error(command: Command, study: tuple[Path, Path]) -> None:
    assert command("render", "nowhere.dcm", study[1]).status == 2


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("max_instance_bytes: 1000", "larger than limits.max_instance_bytes"),
        ("max_image_pixels: 5000", "more than the 5000 that are allowed"),
        ("decode_timeout_s: 0.01", "longer than limits.decode_timeout_s"),
    ],
)
def test_the_limits_of_the_configuration_hold(
    setting: str, words: str, command: Command, study: tuple[Path, Path], tmp_path: Path
) -> None:
    config = tmp_path / "node.yaml"
    config.write_text(f"limits:\n  {setting}\n", encoding="utf-8")

    ended = command("render", *study, "--config", config)

    assert ended.status != 0
    assert words in ended.err


def test_a_picture_that_cannot_be_written_is_named(command: Command, study: tuple[Path, Path], tmp_path: Path) -> None:
    ended = command("render", *study, "--out", tmp_path / "nowhere" / "picture.png")

    assert ended.status == 1
    assert "nowhere/picture.png: No such file or directory" in ended.err
