"""A damaged element costs itself, and what is asked of the others is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from patchclip_core.io.elements import items, named, number, numbers, printable, read_elements, shown, text
from tests.support.headers import chest_image, with_raw_element, write_header


def written(tmp_path: Path, keyword: str, vr: str, value: bytes, **attributes: Any) -> Path:
    path = tmp_path / "image.dcm"
    path.write_bytes(with_raw_element(chest_image(**attributes), keyword, vr, value))
    return path


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "tags"),
    [
        ("ViewCodeSequence", "LO", b"lateral ", "(0054,0220)"),
        ("ViewCodeSequence", "UN", b"\x01\x02\x03\x04", "(0054,0220)"),
        ("AnatomicRegionSequence", "US", b"\x01\x00", "(0008,2218)"),
        ("RequestAttributesSequence", "CS", b"NONE", "(0040,0275)"),
        ("ContributingEquipmentSequence", "OB", b"\x00\x00", "(0018,A001)"),
        ("VOILUTSequence", "DS", b"1\\2 ", "(0028,3010)"),
        ("ModalityLUTSequence", "SH", b"", "(0028,3000)"),
        ("ViewCodeSequence", "SQ", b"garbage!", "(0054,0220)"),
        ("AnatomicRegionSequence", "UN", b"junkjunk", "(0008,2218)"),
        ("RequestAttributesSequence", "SQ", b"\xfe\xff\x00\xe0\x10\x00\x00\x00ab", "(0040,0275)"),
        ("RequestAttributesSequence", "OB", b"\xfe\xff\x00\xe0\xff\xff\xff\xff", "(0040,0275)"),
        ("ReferencedImageSequence", "UN", b"\x01\x02\x03\x04\x05\x06\x07\x08", "(0008,1140)"),
        ("ReferencedImageSequence", "LO", b"none", "(0008,1140)"),
        ("ProcedureCodeSequence", "LO", b"Thorax", "(0008,1032)"),
        ("VOILUTSequence", "UN", b"\xff" * 12, "(0028,3010)"),
        ("NumberOfFrames", "IS", b"1\\1 ", "(0028,0008)"),
        ("NumberOfFrames", "IS", b"one ", "(0028,0008)"),
        ("NumberOfFrames", "US", b"\x01\x00\x01\x00", "(0028,0008)"),
        ("PixelPaddingValue", "US", b"\x01", "(0028,0120)"),
        ("PixelPaddingValue", "SS", b"\x01\x00\x02\x00", "(0028,0120)"),
        ("PixelPaddingValue", "OW", b"\x01\x00", "(0028,0120)"),
        ("Rows", "US", b"\x00\x02\x00\x02", "(0028,0010)"),
        ("PixelSpacing", "DS", b"0.143 ", "(0028,0030)"),
        ("PixelSpacing", "DS", b"a\\b ", "(0028,0030)"),
        ("PixelSpacing", "LO", b"0.1\\0.1 ", "(0028,0030)"),
        ("WindowCenter", "DS", b"wide", "(0028,1050)"),
        ("ViewPosition", "SQ", b"", "(0018,5101)"),
        ("PatientOrientation", "OB", b"LF", "(0020,0020)"),
        ("PatientName", "SQ", b"", "(0010,0010)"),
    ],
)
def test_an_element_that_does_not_hold_its_kind_is_left_out_and_named(
    tmp_path: Path, keyword: str, vr: str, value: bytes, tags: str
) -> None:
    dataset, left_out = read_elements(written(tmp_path, keyword, vr, value))

    assert left_out == (tags,)
    assert keyword not in dataset
    assert (text(dataset, "Modality"), text(dataset, "Columns")) == ("CR", "2000")


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "expected"),
    [
        ("NumberOfFrames", "IS", b"", ""),
        ("SamplesPerPixel", "US", b"", ""),
        ("NumberOfFrames", "US", b"\x01\x00", "1"),
        ("PixelPaddingValue", "US", b"\xff\x0f", "4095"),
        ("SeriesDescription", "SH", b"Chest ", "Chest"),
        ("WindowCenter", "DS", b"40\\400", "40\\400"),
        ("ViewPosition", "LO", b"PA", "PA"),
    ],
)
def test_an_element_that_can_be_used_stays(tmp_path: Path, keyword: str, vr: str, value: bytes, expected: str) -> None:
    dataset, left_out = read_elements(written(tmp_path, keyword, vr, value))

    assert left_out == ()
    assert text(dataset, keyword) == expected


def test_lookup_tables_are_read_as_bytes_and_as_words(tmp_path: Path) -> None:
    for vr in ("OB", "OW", "US"):
        table = Dataset()
        table.add_new("LUTDescriptor", "US", [2, 0, 8])
        table.add_new("LUTData", vr, [0, 255] if vr == "US" else b"\x00\x00\xff\x00")
        path = write_header(tmp_path / "image.dcm", chest_image(VOILUTSequence=[table]))

        dataset, left_out = read_elements(path)

        assert left_out == ()
        assert numbers(items(dataset, "VOILUTSequence")[0], "LUTDescriptor") == (2, 0, 8)


@pytest.mark.parametrize(
    ("character_set", "written_as", "read"),
    [
        (b"ISO_IR 192", "TÓRAX".encode(), "TÓRAX"),
        (b"ISO_IR 100", "TÓRAX".encode("latin-1"), "TÓRAX"),
        (b"ISO_IR 101", "GRUDNÝ".encode("iso8859-2"), "GRUDNÝ"),
        (b"ISO_IR 144", "ГРУДЬ".encode("iso8859-5"), "ГРУДЬ"),
        (b"ISO_IR 126", "ΘΩΡΑΚΑΣ".encode("iso8859-7"), "ΘΩΡΑΚΑΣ"),
        (b"GB18030 ", "胸部".encode("gb18030"), "胸部"),
        (b"", "TÓRAX".encode(), "TÓRAX"),
        (b"", "TÓRAX".encode("latin-1"), "TÓRAX"),
        (b"NONSENSE", "TÓRAX".encode(), "TÓRAX"),
    ],
)
def test_a_code_string_beyond_ascii_is_read_in_the_character_set_of_its_data_set(
    tmp_path: Path, character_set: bytes, written_as: bytes, read: str
) -> None:
    path = written(tmp_path, "BodyPartExamined", "CS", written_as + b" " * (len(written_as) % 2))
    path.write_bytes(
        path.read_bytes().replace(
            b"\x08\x00\x16\x00", b"\x08\x00\x05\x00CS" + len(character_set).to_bytes(2, "little") + character_set
            + b"\x08\x00\x16\x00", 1
        )
    )  # fmt: skip

    dataset, left_out = read_elements(path)

    assert left_out == ()
    assert shown(dataset, "BodyPartExamined") == read


def test_whatever_is_asked_of_a_data_set_is_answered() -> None:
    image = chest_image(ViewCodeSequence=[chest_image()], PixelData=b"\0\0")

    assert text(image, "ViewCodeSequence") == text(image, "PixelData") == text(image, "StudyDate") == ""
    assert items(image, "BodyPartExamined") == items(image, "VOILUTSequence") == ()
    assert numbers(image, "BodyPartExamined") == numbers(image, "StudyDate") == ()
    assert number(image, "BodyPartExamined") is None
    assert number(chest_image(WindowWidth=["400", "40"]), "WindowWidth") == 400


@pytest.mark.parametrize(
    ("written_as", "shown_as"),
    [
        ("Doe^Jane", "Doe^Jane"),
        ("a\x1b[31mb\nc\x00", "a [31mb c"),
        ("a\u202eb\u2028c\x85d", "a b c d"),
        ("\ud800x", "x"),
        ("山田^太郎", "山田^太郎"),
    ],
)
def test_what_would_move_or_hide_text_on_a_page_is_not_shown(written_as: str, shown_as: str) -> None:
    assert printable(written_as) == shown_as


def test_an_element_is_named_by_what_it_is() -> None:
    assert named("(0028,0120)") == "Pixel Padding Value (0028,0120)"
    assert named("(0040,0275) (0040,1003)") == "Requested Procedure Priority (0040,0275) (0040,1003)"
    assert named("(0019,1001)") == "(0019,1001)"
