"""How much room an analysis is given before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from patchclip_node.domain.variants import ResultKind, ResultVariant
from patchclip_node.services.analyse import room
from patchclip_node.services.analyse.room import most_bytes
from tests.support.analysis import radiograph_file

_SEGMENTATION = (ResultVariant.usual(ResultKind.FRACTIONAL_SEG),)


def test_a_larger_image_and_more_findings_take_more_room(tmp_path: Path) -> None:
    image = radiograph_file(tmp_path, "image.dcm")

    one, two = most_bytes([image], _SEGMENTATION, 1), most_bytes([image], _SEGMENTATION, 2)

    assert 0 < one < two
    assert most_bytes([image, image], _SEGMENTATION, 1) == 2 * one


def test_what_cannot_be_read_takes_no_room_and_the_log_says_why(tmp_path: Path) -> None:
    text, big_endian, sizeless = (tmp_path / name for name in ("text.dcm", "foreign.dcm", "sizeless.dcm"))
    text.write_bytes(b"this is not DICOM, however long it is" * 40)
    whole = radiograph_file(tmp_path, "whole.dcm").read_bytes()
    big_endian.write_bytes(whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0", 1))
    radiograph_file(tmp_path, "sizeless.dcm", Rows=None)

    with capture_logs() as logs:
        needed = most_bytes([text, big_endian, sizeless], _SEGMENTATION, 1)

    assert needed == 0
    assert [(entry["log_level"], entry["file"]) for entry in logs] == [("debug", "text.dcm"), ("debug", "foreign.dcm")]
    assert all(entry["file"] in entry["reason"] for entry in logs)


def test_a_defect_and_a_disk_that_fails_are_not_taken_for_a_damaged_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        most_bytes([tmp_path / "gone.dcm"], _SEGMENTATION, 1)

    def defect(_path: Path) -> int:
        raise AttributeError("a defect of the node")

    monkeypatch.setattr(room, "read_pixel_count", defect)
    with pytest.raises(AttributeError):
        most_bytes([radiograph_file(tmp_path, "image.dcm")], _SEGMENTATION, 1)
