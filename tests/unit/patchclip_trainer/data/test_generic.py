"""The generic reader: what it takes in, and how each bad line is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from patchclip_core.values.results import Box
from patchclip_trainer.data.adapters import adapter_for, adapter_named
from patchclip_trainer.data.adapters.generic import GENERIC
from patchclip_trainer.data.manifest import Place
from patchclip_trainer.errors import DataError

WriteCsv = Callable[..., Path]


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_images_and_boxes_are_read(generic_source: Path) -> None:
    manifest = GENERIC.read(generic_source)

    first = manifest.images[0]
    assert (first.image, first.patient_id, first.split, first.sex) == ("images/0.png", "a", "train", "F")
    assert first.labels == ("Effusion", "Mass")
    assert manifest.images[2].age_years == 90
    assert manifest.boxes[1].box == Box(5.5, 6, 7, 8)
    assert manifest.problems == ()


@pytest.mark.parametrize(
    ("file", "line", "kind"),
    [
        ("manifest.csv", "images/9.png,d,train,,,,,", "missing image"),
        ("manifest.csv", "../secret.png,d,train,,,,,", "bad path"),
        ("manifest.csv", "images/0.png,a,train,,,,,", "duplicate image"),
        ("boxes.csv", "images/0.png,Gremlin,1,1,2,2,finding", "unknown finding"),
        ("boxes.csv", "images/0.png,Mass,1,1,0,2,finding", "bad box"),
        ("boxes.csv", "images/0.png,Mass,1,one,3,2,finding", "bad box"),
        ("boxes.csv", "images/8.png,Mass,1,1,3,2,finding", "box without image"),
        ("boxes.csv", "images/0.png,Mass,1,1,3,2,sketch", "unknown kind"),
    ],
)
def test_a_bad_line_is_named_with_its_number(generic_source: Path, file: str, line: str, kind: str) -> None:
    lines = len((generic_source / file).read_text(encoding="utf-8").splitlines())
    append(generic_source / file, line)

    (problem,) = GENERIC.read(generic_source).problems

    assert problem.place == Place(file, lines + 1)
    assert problem.kind == kind
    assert str(problem).startswith(f"{file}:{lines + 1}: {kind}: ")


def test_a_patient_across_splits_is_named_on_each_line_and_goes_to_train(generic_source: Path) -> None:
    save = (generic_source / "images" / "0.png").read_bytes()
    (generic_source / "images" / "4.png").write_bytes(save)
    append(generic_source / "manifest.csv", "images/4.png,b,test,,,,,")

    manifest = GENERIC.read(generic_source)

    assert [problem.place.line for problem in manifest.problems] == [4, 6]
    assert {row.split for row in manifest.images if row.patient_id == "b"} == {"train"}


def test_a_report_without_words_is_listed_and_its_image_kept(generic_source: Path, tmp_path: Path) -> None:
    (generic_source / "manifest.csv").write_text(
        'image,patient_id,text\nimages/0.png,a,"Clear lungs.\nNo effusion."\nimages/1.png,a,XXXX.\n', encoding="utf-8"
    )
    (generic_source / "boxes.csv").unlink()

    manifest = GENERIC.read(generic_source)

    assert [row.text for row in manifest.images] == ["Clear lungs.\nNo effusion.", ""]
    assert [(problem.kind, problem.place.line) for problem in manifest.problems] == [("empty report", 4)]


def test_lines_without_a_report_are_listed_one_by_one_only_where_most_have_one(
    generic_source: Path, write_csv: WriteCsv
) -> None:
    def kinds(*reports: str) -> list[str]:
        lines = [(f"images/{number}.png", number, report) for number, report in enumerate(reports)]
        write_csv(generic_source / "manifest.csv", ("image", "patient_id", "radiology_text"), *lines)
        return [str(problem) for problem in GENERIC.read(generic_source).problems]

    most = kinds("Clear.", "", "Clear.", "Clear.")
    few = kinds("", "___", "", "")

    assert most == [
        "manifest.csv:3: empty report: images/1.png has no words of findings or impression; image kept without text"
    ]
    assert few == [
        "manifest.csv: empty report: 3 of 4 lines have nothing in radiology_text; images kept without text",
        "manifest.csv:3: empty report: images/1.png has no words of findings or impression; image kept without text",
    ]


def test_a_report_with_an_indication_alone_is_empty(generic_source: Path, write_csv: WriteCsv) -> None:
    line = ("images/0.png", "a", "INDICATION: cough.")
    write_csv(generic_source / "manifest.csv", ("image", "patient_id", "text"), line)
    (generic_source / "boxes.csv").unlink()

    manifest = GENERIC.read(generic_source)

    assert (manifest.images[0].text, manifest.problems[0].kind) == ("", "empty report")


@pytest.mark.parametrize("view", ["LATERAL", "LL", "Apical lordotic", "decubitus", "PORTABLE"])
def test_a_view_that_is_not_frontal_is_left_out_with_its_boxes_and_listed(generic_source: Path, view: str) -> None:
    table = generic_source / "manifest.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("Ours,PA,f", f"Ours,{view},f"), encoding="utf-8")

    manifest = GENERIC.read(generic_source)

    assert [row.image for row in manifest.images] == ["images/1.png", "images/2.png", "images/3.png"]
    assert [(str(problem.place), problem.kind) for problem in manifest.problems] == [
        ("manifest.csv:2", "not frontal chest"),
        ("boxes.csv:2", "box without image"),
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [("AP", "AP"), ("ap", "AP"), ("AP supine", "AP supine"), ("PA_ERECT", "PA ERECT"), ("Frontal", ""), ("", "")],
)
def test_a_frontal_view_is_kept(generic_source: Path, written: str, read: str) -> None:
    table = generic_source / "manifest.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("Ours,PA,f", f"Ours,{written},f"), encoding="utf-8")

    manifest = GENERIC.read(generic_source)

    assert (manifest.images[0].view, manifest.problems) == (read, ())


def test_what_should_be_a_number_and_is_none_is_listed(generic_source: Path, write_csv: WriteCsv) -> None:
    header = ("image", "patient_id", "age", "width", "height")
    write_csv(generic_source / "manifest.csv", header, ("images/0.png", "a", "old", "abc", "80"))
    (generic_source / "boxes.csv").unlink()

    manifest = GENERIC.read(generic_source)

    assert [str(problem) for problem in manifest.problems] == [
        "manifest.csv:2: bad number: age is 'old'; read as empty",
        "manifest.csv:2: bad number: width is 'abc'; read as empty",
    ]
    (row,) = manifest.images
    assert (row.age_years, row.width_px, row.height_px) == (None, 0, 80)


def test_without_the_column_of_patients_each_image_is_one_and_one_line_says_so(
    generic_source: Path, write_csv: WriteCsv
) -> None:
    write_csv(generic_source / "manifest.csv", ("image",), *([f"images/{number}.png"] for number in range(4)))

    manifest = GENERIC.read(generic_source)

    assert len({row.patient_id for row in manifest.images}) == 4
    assert [str(problem) for problem in manifest.problems] == [
        "manifest.csv: no patient: there is no column patient_id; each image counts as a separate patient"
    ]


def test_a_missing_column_is_named(generic_source: Path) -> None:
    (generic_source / "manifest.csv").write_text("file,split\na.png,train\n", encoding="utf-8")

    with pytest.raises(DataError, match="the column image is missing"):
        GENERIC.read(generic_source)


def test_a_table_that_is_no_text_is_refused(generic_source: Path) -> None:
    (generic_source / "manifest.csv").write_bytes(b"\xff\xfe\x00image")

    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        GENERIC.read(generic_source)


def test_an_unknown_folder_and_an_unknown_adapter_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no known layout"):
        adapter_for(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        adapter_for(tmp_path / "nowhere")
    with pytest.raises(DataError, match="there is no adapter 'nih2'"):
        adapter_named("nih2", tmp_path)
