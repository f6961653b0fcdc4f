"""The child process that reads objects of readers: what it answers, and what becomes of an object that it dies of."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from patchclip_node.bootstrap.returned import reader
from patchclip_node.domain.errors import UnreadableInstanceError
from patchclip_node.domain.verdicts import Box
from patchclip_node.settings import LimitSettings
from tests.support import readers
from tests.support.analysis import radiograph_file


def test_the_child_answers_what_an_object_says_of_an_image(tmp_path: Path) -> None:
    image = radiograph_file(tmp_path, "image.dcm", Rows=128, Columns=96, PixelData=b"\0" * (2 * 128 * 96))
    made = readers.segmentation(dcmread(image), "pleural effusion", [(8, 60, 30, 40), (50, 10, 5, 6)], "LABELMAP")
    made.save_as(tmp_path / "made.dcm", enforce_file_format=True)

    read = reader(LimitSettings())(tmp_path / "made.dcm", [image])

    (said,) = read.statements
    assert (said.name, said.boxes) == ("pleural effusion", (Box(8, 60, 30, 40), Box(50, 10, 5, 6)))
    assert said.sop_instance_uid in read.refers_to


def test_an_object_that_is_too_much_or_none_at_all_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "junk.dcm").write_bytes(b"junk" * 100)
    impatient = LimitSettings(decode_timeout_s=0.01)

    with pytest.raises(UnreadableInstanceError, match=r"junk\.dcm"):
        reader(LimitSettings())(tmp_path / "junk.dcm", [])
    with pytest.raises(UnreadableInstanceError, match="decode_timeout_s"):
        reader(impatient)(tmp_path / "junk.dcm", [])
