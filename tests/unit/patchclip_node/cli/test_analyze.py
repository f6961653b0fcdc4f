"""`analyze`: files in, objects, pictures and numbers out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydicom
import pytest
from PIL import Image

from patchclip_core.errors import DecoderTimeoutError
from patchclip_core.io import DecodingProcess
from patchclip_node.dicom.headers import referred_to
from tests.peers.radiographs import radiograph, write
from tests.support.analysis import radiograph_file
from tests.support.content import items
from tests.unit.patchclip_node.cli.conftest import BRIGHT, Command


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    write(radiograph(study_instance_uid="1.2.1", bright=True), folder / "bright.dcm")
    write(radiograph(study_instance_uid="1.2.2"), folder / "dark.dcm")
    radiograph_file(folder, "lateral.dcm", "1.2.3", ViewPosition="LL")
    (folder / "README.txt").write_text("not an image")
    return folder


def document(out: Path) -> dict[str, Any]:
    """Return findings.json; file name -> entry under `files`."""
    content: dict[str, Any] = json.loads((out / "findings.json").read_text(encoding="utf-8"))
    return content | {"files": {Path(entry["file"]).name: entry for entry in content["images"]}}


def test_a_folder_of_studies_is_analysed(command: Command, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    ended = command("analyze", images, "--out", out, "--model", BRIGHT)

    assert ended.status == 0, ended.err
    assert sorted(path.name for path in out.iterdir()) == [
        "bright-seg.dcm",
        "bright-sr.dcm",
        "bright.png",
        "dark-sr.dcm",
        "dark.png",
        "findings.json",
    ]
    report = pydicom.dcmread(out / "bright-sr.dcm")
    assert (report.Modality, report.StudyInstanceUID) == ("SR", "1.2.1")
    assert pydicom.dcmread(out / "bright-seg.dcm").Modality == "SEG"
    with Image.open(out / "bright.png") as picture:
        assert picture.format == "PNG"


def test_a_profile_says_which_objects_are_written(command: Command, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    ended = command("analyze", images / "bright.dcm", "--out", out, "--model", BRIGHT, "--profile", "research")

    assert ended.status == 0, ended.err
    written = {path.name: pydicom.dcmread(path).Modality for path in out.glob("*.dcm")}
    assert written == {
        "bright-sr.dcm": "SR",
        "bright-seg.dcm": "SEG",
        "bright-sc.dcm": "SC",
        "bright-gsps.dcm": "PR",
        "bright-text_sr.dcm": "SR",
        "bright-ko.dcm": "KO",
        "bright-fractional_seg.dcm": "SEG",
        "bright-parametric_map.dcm": "OT",
    }


def test_each_object_is_listed_where_it_belongs_and_named_after_its_image(command: Command, tmp_path: Path) -> None:
    for number in (1, 2):
        write(radiograph(study_instance_uid="1.2.9", bright=True), tmp_path / f"image-{number}.dcm")
    out = tmp_path / "out"

    ended = command("analyze", "image-*.dcm", "--out", out, "--model", BRIGHT, "--profile", "research")

    content = document(out)
    of_image = ("seg", "sc", "gsps", "fractional_seg", "parametric_map")
    for number in (1, 2):
        entry = content["files"][f"image-{number}.dcm"]
        assert entry["objects"] == [*(f"image-{number}-{kind}.dcm" for kind in of_image), f"image-{number}.png"]
        for name in entry["objects"][:-1]:
            assert referred_to(pydicom.dcmread(out / name)) == {entry["sop_instance_uid"]}
    of_study = [f"image-1-{kind}.dcm" for kind in ("sr", "text_sr", "ko")]
    assert content["studies"] == [{"study_instance_uid": "1.2.9", "objects": of_study}]
    assert all((out / name).exists() for name in of_study)
    assert "of the whole study" in ended.out


def test_the_png_is_drawn_as_the_profile_says(command: Command, images: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "profiles:\n"
        "  - {name: mine, objects: [sr], drawing: heat_map, language: de, longest_side_px: 1200}\n"
        "  - {name: same, objects: [sc], drawing: heat_map, language: de, longest_side_px: 1200}\n"
    )

    for profile in ("mine", "same"):
        command(
            *("analyze", images / "bright.dcm", "--out", profile, "--model", BRIGHT),
            *("--profile", profile, "--config", "mine.yaml"),
        )

    capture = pydicom.dcmread(tmp_path / "same" / "bright-sc.dcm")
    for profile in ("mine", "same"):
        with Image.open(tmp_path / profile / "bright.png") as picture:
            assert picture.tobytes() == capture.PixelData[: capture.Rows * capture.Columns * 3]


def test_an_unknown_profile_is_one_message(command: Command, images: Path, tmp_path: Path) -> None:
    ended = command("analyze", images, "--out", tmp_path / "out", "--profile", "mine")

    assert ended.status != 0
    assert "there is no profile 'mine': take one of standard" in ended.err


def test_the_numbers_say_what_where_and_why_not(command: Command, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    command("analyze", images, "--out", out, "--model", BRIGHT)

    content = document(out)
    bright = content["files"]["bright.dcm"]
    opacity = next(finding for finding in bright["findings"] if finding["key"] == "opacity")
    assert bright["study_instance_uid"] == "1.2.1"
    assert opacity["state"] == "present"
    (region,) = opacity["regions"]
    # the bright rectangle is rows 32 to 64, columns 12 to 32 of 128 x 96
    assert region["x"] == pytest.approx(12, abs=4)
    assert region["y"] == pytest.approx(32, abs=4)
    assert region["w"] == pytest.approx(20, abs=6)
    assert region["h"] == pytest.approx(32, abs=6)
    assert content["files"]["lateral.dcm"]["analysed"] is False
    assert "lateral" in content["files"]["lateral.dcm"]["reason"]
    assert "README.txt" not in content["files"]


def test_a_rejected_image_alone_is_no_error(command: Command, images: Path, tmp_path: Path) -> None:
    ended = command("analyze", images / "lateral.dcm", "--out", tmp_path / "out", "--model", BRIGHT)

    assert ended.status == 0
    assert "not analysed: the view is lateral" in ended.out


def test_a_file_that_is_no_dicom_ends_with_one_line_that_names_it(
    command: Command, images: Path, tmp_path: Path
) -> None:
    ended = command("analyze", images / "README.txt", "--out", tmp_path / "out", "--model", BRIGHT)

    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert "README.txt" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["nowhere.dcm", "nothing-*.dcm"])
def test_a_file_that_is_not_there_is_named(command: Command, tmp_path: Path, name: str) -> None:
    ended = command("analyze", name, "--out", tmp_path / "out")

    assert (ended.status, ended.err) == (2, f"patchclip-node: {name}: there is no such file\n")


def test_a_folder_without_images_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert "no DICOM file is in this folder" in command("analyze", "empty", "--out", "out").err


def test_a_pattern_is_expanded(command: Command, images: Path, tmp_path: Path) -> None:
    command("analyze", images / "d*.dcm", "--out", tmp_path / "out", "--model", BRIGHT)

    assert list(document(tmp_path / "out")["files"]) == ["dark.dcm"]


def test_several_images_of_a_study_have_the_numbers_that_its_report_calls_them_by(
    command: Command, tmp_path: Path
) -> None:
    radiograph_file(tmp_path, "lateral.dcm", "1.2.1", ViewPosition="LL")
    write(radiograph(study_instance_uid="1.2.1", bright=True), tmp_path / "one.dcm")
    write(radiograph(study_instance_uid="1.2.1"), tmp_path / "two.dcm")

    command("analyze", "lateral.dcm", "one.dcm", "two.dcm", "--out", "out", "--model", BRIGHT)

    files = document(tmp_path / "out")["files"]
    (report,) = (tmp_path / "out").glob("*-sr.dcm")
    said = [item.TextValue for item in items(pydicom.dcmread(report), "Comment")]
    assert "number" not in files["lateral.dcm"]
    assert [files[name]["number"] for name in ("one.dcm", "two.dcm")] == [1, 2]
    for name in ("one.dcm", "two.dcm"):
        (line,) = [line for line in said if line.endswith(f"UID {files[name]['sop_instance_uid']}")]
        assert line.startswith(f"Image {files[name]['number']}: ")


def test_output_names_are_safe_and_unique(command: Command, tmp_path: Path) -> None:
    for number, name in enumerate(("a b.dcm", "a_b.dcm", ".dcm")):
        radiograph_file(tmp_path, name, f"1.2.{number}")

    command("analyze", "a b.dcm", "a_b.dcm", ".dcm", "--out", "out", "--model", BRIGHT)

    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a_b-2.png", "a_b.png", "dcm.png"]


def test_the_same_instance_twice_is_analysed_once(command: Command, images: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.dcm").write_bytes((images / "dark.dcm").read_bytes())

    ended = command("analyze", images / "dark.dcm", "copy.dcm", "--out", "out", "--model", BRIGHT)

    assert "copy.dcm: left out, it is the same instance as" in ended.err
    assert list(document(tmp_path / "out")["files"]) == ["dark.dcm"]


def test_a_decoding_that_takes_too_long_fails_the_command_but_not_the_others(
    command: Command, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = DecodingProcess.read

    def slow(self: DecodingProcess, path: Path) -> object:
        if path.name == "dark.dcm":
            raise DecoderTimeoutError("decoding took longer than 60 s and was stopped")
        return read(self, path)

    monkeypatch.setattr(DecodingProcess, "read", slow)

    ended = command("analyze", images, "--out", "out", "--model", BRIGHT)

    assert ended.status == 1
    assert "took longer" in document(tmp_path / "out")["files"]["dark.dcm"]["reason"]
    assert document(tmp_path / "out")["files"]["bright.dcm"]["analysed"] is True


def test_an_unknown_model_is_one_message(command: Command, images: Path) -> None:
    ended = command("analyze", images, "--out", "out", "--model", "no-such-model")

    assert ended.status == 2
    assert "no-such-model" in ended.err
    assert "Traceback" not in ended.err


def test_an_untrained_model_says_that_it_is_untrained(command: Command, images: Path, tmp_path: Path) -> None:
    ended = command("analyze", images / "dark.dcm", "--model", "untrained", "--out", "out")

    assert "UNTRAINED MODEL" in ended.out
    assert document(tmp_path / "out")["model"]["trained"] is False
    assert "UNTRAINED MODEL" in document(tmp_path / "out")["notice"]


def test_the_numbers_alone_go_to_standard_output(command: Command, images: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    ended = command("analyze", images, "--json", "--model", BRIGHT)

    assert ended.status == 0
    assert sorted(tmp_path.rglob("*")) == before
    entries = {entry["file"]: entry for entry in ended.json["images"]}
    assert set(entries) == {"images/bright.dcm", "images/dark.dcm", "images/lateral.dcm"}, "as seen from here"
    assert entries["images/bright.dcm"]["objects"] == []
    assert {one["key"]: one["state"] for one in entries["images/bright.dcm"]["findings"]}["opacity"] == "present"


def test_with_a_folder_the_same_numbers_are_printed_and_written(command: Command, images: Path, tmp_path: Path) -> None:
    ended = command("analyze", images, "--json", "--out", "out", "--model", BRIGHT)

    assert ended.out == (tmp_path / "out" / "findings.json").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "bright-sr.dcm").exists()


def test_without_a_folder_it_asks_what_is_wanted(command: Command, images: Path) -> None:
    ended = command("analyze", images)

    assert ended.status == 2
    assert "--json" in ended.err


@pytest.mark.parametrize("patients", [("a", "a"), ("a", "b")])
def test_each_image_of_a_study_is_told_of_once(command: Command, tmp_path: Path, patients: tuple[str, str]) -> None:
    for name, patient in zip(("one.dcm", "two.dcm"), patients, strict=True):
        radiograph_file(tmp_path, name, "1.2.1", PatientID=patient)
    radiograph_file(tmp_path, "lateral.dcm", "1.2.1", ViewPosition="LL", PatientID=patients[0])

    ended = command("analyze", "one.dcm", "two.dcm", "lateral.dcm", "--json", "--model", BRIGHT)

    told = [line.split(": ") for line in ended.err.splitlines()]
    assert [step for step, _ in told] == ["image 1/3", "image 2/3", "image 3/3"]
    assert sorted(name for _, name in told) == ["lateral.dcm", "one.dcm", "two.dcm"]


@pytest.mark.real_data
def test_every_real_file_is_analysed(command: Command, real_data_dir: Path, tmp_path: Path) -> None:
    ended = command("analyze", real_data_dir / "dicom", "--out", "out")

    assert ended.status == 0
    entries = document(tmp_path / "out")["images"]
    assert entries
    assert [entry["file"] for entry in entries if not entry["analysed"]] == []
