"""What a list says that is not laid out as it should be, and how to put that right: one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_trainer.data.adapters import ADAPTERS, adapter_named
from patchclip_trainer.data.listing import read_table
from patchclip_trainer.errors import DataError


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("image;patient_id\na.png;1\n", "separated by semicolons: save it with commas"),
        ("patient_id;image\na.png;1,5\n", "separated by semicolons: save it with commas"),
        ('"image";"patient_id"\na.png;1\n', "separated by semicolons: save it with commas"),
        ("image\tpatient_id\na.png\t1\n", "separated by tabs: save it with commas"),
        ("image|patient_id\na.png|1\n", "separated by bars: save it with commas"),
        ("Image,Patient ID\na.png,1\n", "rename 'Image' to 'image'; rename 'Patient ID' to 'patient_id'"),
        ("image,PatientID\na.png,1\n", "rename 'PatientID' to 'patient_id'"),
        ("image_,patientid\na.png,1\n", "rename 'image_' to 'image'; rename 'patientid' to 'patient_id'"),
        ("image,age\na.png,1\n", "the column patient_id is missing; it has image, age: add it"),
        ("images/a.png,1\nimages/b.png,2\n", "its first line is not a header: put a line with image,patient_id before"),
        ("", "it is empty; a header with image, patient_id is meant to be its first line"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "this is a Git LFS pointer"),
    ],
)
def test_a_list_with_another_header_is_told_what_to_change(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(DataError) as raised:
        list(read_table(path, ("image", "patient_id")))

    assert str(raised.value).startswith(f"{path}: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", ["image,text\na.png,Röntgen".encode("latin-1"), "image,text\n".encode("utf-16"), b"PK\x03\x04\xff\xfe"]
)
def test_a_list_in_other_letters_or_of_a_spreadsheet_is_told_how_to_save_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)

    with pytest.raises(
        DataError, match=r"not a CSV file in UTF-8 .*: save it as one \(in a spreadsheet: as CSV UTF-8\)"
    ):
        list(read_table(path, ("image",)))


@pytest.mark.parametrize("adapter", [adapter.name for adapter in ADAPTERS])
@pytest.mark.parametrize("content", ["nothing", "text"])
def test_the_wrong_folder_for_an_adapter_is_told_so(tmp_path: Path, adapter: str, content: str) -> None:
    (tmp_path / "notes").mkdir()
    if content == "text":
        (tmp_path / "notes" / "read me.txt").write_text("no images here", encoding="utf-8")

    with pytest.raises(DataError, match=f"this is not the layout of {adapter} .*name the folder that has it"):
        adapter_named(adapter, tmp_path)


def test_the_adapter_that_fits_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("image\n", encoding="utf-8")

    with pytest.raises(DataError, match="it looks like generic: leave --adapter out"):
        adapter_named("nih", tmp_path)
    with pytest.raises(DataError, match="there is no adapter 'generik'; 'generic' may be meant"):
        adapter_named("generik", tmp_path)
