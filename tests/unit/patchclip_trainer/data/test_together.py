"""Several prepared sets given as one: pixels, rows and boxes stay as they are, and a person is in one part."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patchclip_trainer.data.adapters import adapter_for
from patchclip_trainer.data.concatenated import Concatenated
from patchclip_trainer.data.prepare import prepare, prepare_settings
from patchclip_trainer.data.shards import open_prepared
from patchclip_trainer.data.together import open_together
from patchclip_trainer.errors import DataError

Save = Callable[..., Path]
Write = Callable[..., Path]


@pytest.fixture
def two_sets(tmp_path: Path, save_picture: Save, write_csv: Write) -> tuple[Path, Path]:
    """Each with three images of two patients; `shared` is in both, in other parts, and b's copy.png is a's 2.png."""
    for number, (name, split) in enumerate((("a", "train"), ("b", "test"))):
        source = tmp_path / f"{name}-source"
        patients = {"0.png": "shared", "1.png": "shared", "2.png": f"own-{name}"}
        for seed, image in enumerate(patients):
            save_picture(source / image, seed=10 * number + seed + 1)
        rows = [(image, patient, split if patient == "shared" else "") for image, patient in patients.items()]
        write_csv(source / "manifest.csv", ("image", "patient_id", "split"), *rows)
        write_csv(source / "boxes.csv", ("image", "finding", "x", "y", "w", "h"), ("1.png", "Nodule", 1, 2, 3, 4))
    shutil.copyfile(tmp_path / "a-source" / "2.png", tmp_path / "b-source" / "2.png")
    for name in "ab":
        source = tmp_path / f"{name}-source"
        prepare(source, tmp_path / name, adapter_for(source), prepare_settings(64), workers=1)
    return tmp_path / "a", tmp_path / "b"


def test_a_person_in_two_sets_is_one_patient_in_one_part(two_sets: tuple[Path, Path]) -> None:
    data = open_together(two_sets)

    assert [row.image for row in data.rows] == [f"{part}/{image}.png" for part in ("1-a", "2-b") for image in range(3)]
    shared = [row for row in data.rows if not row.image.endswith("2.png")]
    assert len({row.patient_id for row in shared}) == 1
    assert {row.split for row in shared} == {"train"}
    first, second = data.rows[2], data.rows[5]
    assert first.patient_id == second.patient_id  # one exposure under two names
    assert first.split == second.split


def test_pixels_and_boxes_are_those_of_the_sets(two_sets: tuple[Path, Path]) -> None:
    parts, data = [open_prepared(folder) for folder in two_sets], open_together(two_sets)
    whole = np.concatenate([part.images for part in parts])

    assert data.images.shape == (6, 64, 64)
    for index in range(6):
        assert np.array_equal(data.images[index], whole[index])
    assert [len(data.boxes_of(index)) for index in range(6)] == [0, 1, 0, 0, 1, 0]
    data.verify()


def test_joined_sets_are_opened_again_by_their_own_folder(two_sets: tuple[Path, Path]) -> None:
    data = open_together(two_sets)

    assert open_prepared(data.folder).rows == open_together(two_sets).rows == data.rows


def test_a_set_that_was_prepared_again_is_noticed(two_sets: tuple[Path, Path]) -> None:
    data = open_together(two_sets)
    (two_sets[1] / "prepared.json").write_text((two_sets[1] / "prepared.json").read_text() + "\n")

    with pytest.raises(DataError, match="prepared again since it was joined"):
        open_prepared(data.folder)
    assert open_together(two_sets).folder != data.folder


def test_sets_that_do_not_belong_together_are_refused(two_sets: tuple[Path, Path], tmp_path: Path) -> None:
    prepare(tmp_path / "b-source", tmp_path / "c", adapter_for(tmp_path / "b-source"), prepare_settings(32), workers=1)

    with pytest.raises(DataError, match="prepare both with the same --input-px"):
        open_together((two_sets[0], tmp_path / "c"))
    with pytest.raises(DataError, match="given twice"):
        open_together((two_sets[0], two_sets[1], two_sets[0]))


@pytest.mark.parametrize(
    "key",
    [0, 3, 6, -1, np.int64(4), slice(None), slice(1, 6), slice(5, 1, -2), slice(3, 3), np.array([6, 0, 3, 3]), [2, 4],
     np.array([], dtype=np.int64), (4, slice(1, 3), slice(0, 2)), (slice(2, 5), 1), (np.array([1, 5]), slice(0, 1))],
)  # fmt: skip
def test_what_is_asked_of_several_arrays_is_what_one_would_give(key: Any) -> None:
    parts = [np.arange(count * 16, dtype=np.uint8).reshape(count, 4, 4) + count for count in (3, 1, 3)]

    assert np.array_equal(Concatenated(parts)[key], np.concatenate(parts)[key])
    assert np.array_equal(np.asarray(Concatenated(parts)), np.concatenate(parts))


@pytest.mark.parametrize("index", [7, -8])
def test_an_image_that_is_not_there_is_an_error(index: int) -> None:
    with pytest.raises(IndexError):
        Concatenated([np.zeros((7, 2, 2), dtype=np.uint8)])[index]
