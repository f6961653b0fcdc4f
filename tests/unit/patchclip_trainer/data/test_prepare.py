"""From a folder to prepared data: same pixels as the node's, nothing lost without a word, stopped and gone on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from patchclip_core.errors import DecoderTimeoutError
from patchclip_core.io import DecodingProcess, read_radiograph
from patchclip_core.places.preprocess import fit
from patchclip_core.values.results import Box, PatchGrid, Radiograph
from patchclip_trainer.data import prepare as module
from patchclip_trainer.data.adapters.generic import GENERIC
from patchclip_trainer.data.prepare import Prepared, prepare, prepare_settings
from patchclip_trainer.data.shards import open_prepared
from patchclip_trainer.errors import DataError

SETTINGS = prepare_settings(64)


def run(source: Path, out: Path, **options: object) -> Prepared:
    return prepare(source, out, GENERIC, SETTINGS, workers=1, **options)  # type: ignore[arg-type] # what a test varies


def test_pixels_are_those_of_the_nodes_own_preprocessing(generic_source: Path, tmp_path: Path) -> None:
    run(generic_source, tmp_path / "out")

    data = open_prepared(tmp_path / "out")

    expected, geometry = fit(read_radiograph(generic_source / "images" / "2.png"), SETTINGS)
    assert data.images.shape == (4, 64, 64)
    assert np.array_equal(data.images[2], np.rint(expected * 255).astype(np.uint8))
    assert data.geometries[2] == geometry
    assert data.settings == SETTINGS
    data.verify()


@pytest.mark.parametrize(("timeouts", "images"), [(1, 4), (2, 3)])
def test_an_image_is_left_out_only_where_it_takes_too_long_twice(
    generic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeouts: int, images: int
) -> None:
    tried: Counter[str] = Counter()
    read = DecodingProcess.read

    def stopped_meanwhile(decoder: DecodingProcess, path: Path) -> Radiograph:
        tried[path.name] += 1
        if path.name == "2.png" and tried[path.name] <= timeouts:
            raise DecoderTimeoutError("decoding took longer than 60 s and was stopped")
        return read(decoder, path)

    monkeypatch.setattr(DecodingProcess, "read", stopped_meanwhile)

    prepared = run(generic_source, tmp_path / "out")

    assert prepared.images == images
    assert tried == {"0.png": 1, "1.png": 1, "2.png": 2, "3.png": 1}
    left_out = [one.what for one in prepared.problems if one.kind == "unreadable image"]
    assert left_out == ["images/2.png: decoding took longer than 60 s and was stopped"][: 4 - images]


def test_boxes_and_splits_can_be_asked(generic_source: Path, tmp_path: Path) -> None:
    run(generic_source, tmp_path / "out")

    data = open_prepared(tmp_path / "out")

    assert len(data) == 4
    assert [box.box for box in data.boxes_of(0)] == [Box(10, 20, 30, 40)]
    assert data.boxes_of(1) == ()
    assert data.split("val").tolist()[0] == 2
    grid = PatchGrid(4, 4, 16.0, 8.0)
    assert data.geometries_on(grid)[0].grid == grid


def test_patients_are_hashed_and_the_original_id_is_nowhere(generic_source: Path, tmp_path: Path) -> None:
    table = generic_source / "manifest.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",a,", ",Ward-Anna,"), encoding="utf-8")

    run(generic_source, tmp_path / "out", key_file=tmp_path / "key")

    rows = open_prepared(tmp_path / "out").rows
    assert rows[0].patient_id == rows[1].patient_id != rows[2].patient_id
    for file in (tmp_path / "out").iterdir():
        assert b"Ward" not in file.read_bytes()
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("key", [None, "key"])
def test_of_a_report_only_what_is_learned_from_is_kept_without_identifiers(
    generic_source: Path, tmp_path: Path, write_csv: Callable[..., Path], key: str | None
) -> None:
    report = "INDICATION: John Smith 45M, MRN 44556677. FINDINGS: No effusion. Dr. Jane Doe saw it on 2184-03-12."
    lines = [(f"images/{number}.png", number, report) for number in range(4)]
    write_csv(generic_source / "manifest.csv", ("image", "patient_id", "text"), *lines)

    run(generic_source, tmp_path / "out", key_file=tmp_path / key if key else None)

    rows = open_prepared(tmp_path / "out").rows
    assert {row.text for row in rows} == {"FINDINGS: No effusion. ___ saw it on ___."}


def test_another_key_gives_other_hashes(generic_source: Path, tmp_path: Path) -> None:
    run(generic_source, tmp_path / "one", key_file=tmp_path / "key 1")
    run(generic_source, tmp_path / "two", key_file=tmp_path / "key 2")

    assert open_prepared(tmp_path / "one").rows[0].patient_id != open_prepared(tmp_path / "two").rows[0].patient_id


def test_what_is_wrong_with_pixels_and_boxes_is_listed(generic_source: Path, tmp_path: Path) -> None:
    (generic_source / "images" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    with (generic_source / "boxes.csv").open("a", encoding="utf-8") as file:
        file.write("images/0.png,Mass,200,10,20,20,finding\n")
        file.write("images/0.png,Mass,80,10,40,20,finding\n")
        file.write("images/0.png,Mass,80,10,16.5,20,finding\n")
        file.write("images/1.png,Mass,8,10,16,20,finding\n")

    prepared = run(generic_source, tmp_path / "out")

    assert prepared.images == 3
    assert [(str(problem.place), problem.kind, problem.action) for problem in prepared.problems] == [
        ("manifest.csv:3", "unreadable image", "image left out"),
        ("boxes.csv:4", "box outside", "box left out"),
        ("boxes.csv:5", "box outside", "box clipped to the image"),
        ("boxes.csv:7", "box without image", "box left out"),
    ]
    data = open_prepared(tmp_path / "out")
    assert [box.box.w for box in data.boxes_of(0)] == [30, 16, 16]
    assert (tmp_path / "out" / "problems.csv").read_text(encoding="utf-8").count("\n") == 5
    sheet = json.loads((tmp_path / "out" / "data_sheet.json").read_text(encoding="utf-8"))
    assert sheet["problems"] == {"box outside": 2, "unreadable image": 1, "box without image": 1}
    assert "### box outside: 2" in (tmp_path / "out" / "data_sheet.md").read_text(encoding="utf-8")


def test_a_copy_in_another_split_joins_the_patients_and_goes_to_train(generic_source: Path, tmp_path: Path) -> None:
    (generic_source / "images" / "2.png").write_bytes((generic_source / "images" / "0.png").read_bytes())

    prepared = run(generic_source, tmp_path / "out")

    leakage = prepared.sheet["leakage"]
    assert [(pair["first"], pair["second"]) for pair in leakage["near_duplicate_pairs"]] == [
        ("images/0.png", "images/2.png")
    ]
    assert (leakage["patients_joined"], leakage["near_duplicates_across_splits"]) == (1, [])
    rows = open_prepared(tmp_path / "out").rows
    assert rows[0].patient_id == rows[1].patient_id == rows[2].patient_id != rows[3].patient_id
    assert [row.split for row in rows[:3]] == ["train"] * 3
    assert str(prepared.problems[0]) == (
        "manifest.csv:4: same exposure: images/2.png shows the same exposure as images/0.png, under another patient; "
        "both patients count as one"
    )
    assert [problem.kind for problem in prepared.problems][1:] == ["patient across splits"] * 3


def test_a_run_that_was_stopped_goes_on_after_its_last_shard(
    generic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_IMAGES", 1)
    whole = tmp_path / "whole"
    run(generic_source, whole)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(generic_source, tmp_path / "out", progress=stop)
    with pytest.raises(DataError, match="not finished"):
        open_prepared(tmp_path / "out")
    with (tmp_path / "out" / "images.u8").open("ab") as file:
        file.write(b"half a shard")
    steps: list[int] = []
    run(generic_source, tmp_path / "out", progress=lambda done, total: steps.append(done))

    assert steps == [2, 3, 4]
    for name in ("images.u8", "rows.jsonl", "boxes.jsonl", "prepared.json"):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()


def test_other_settings_begin_anew(generic_source: Path, tmp_path: Path) -> None:
    run(generic_source, tmp_path / "out")

    prepare(generic_source, tmp_path / "out", GENERIC, prepare_settings(32), workers=1)

    assert open_prepared(tmp_path / "out").images.shape == (4, 32, 32)


def test_damaged_pixels_and_lists_are_noticed(generic_source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(generic_source, out)
    pixels = bytearray((out / "images.u8").read_bytes())
    pixels[1000] ^= 255
    (out / "images.u8").write_bytes(pixels)

    with pytest.raises(DataError, match="shard 0 is damaged"):
        open_prepared(out).verify()
    (out / "rows.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="its checksum is not the one"):
        open_prepared(out)
    (out / "images.u8").write_bytes(b"")
    with pytest.raises(DataError, match="its checksum"):
        open_prepared(out)


def test_a_folder_without_prepared_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no prepared data.* run `patchclip-trainer prepare SOURCE"):
        open_prepared(tmp_path)
