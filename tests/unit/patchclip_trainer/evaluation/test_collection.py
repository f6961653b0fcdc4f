"""Which images `--split` takes: by the words of the list itself, whatever they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.collection import Part, open_collection


def renamed(data: Path, word: str) -> Path:
    """Call the part `val` of the drawn data by another word."""
    manifest = data / "manifest.csv"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(",val,", f",{word},"), encoding="utf-8")
    return data


def chosen(data: Path, split: str) -> int:
    rows, _ = open_collection(data).choose(Part(split), load_label_domains())
    return len(rows)


@pytest.mark.parametrize(
    ("written", "asked"),
    [("heldout", "heldout"), ("Held-Out", "held-out"), ("TEST", "TEST"), ("test", "Test"), ("validation", "val")],
)
def test_a_part_is_found_by_its_own_word_in_upper_or_lower_case(data: Path, written: str, asked: str) -> None:
    renamed(data, written)

    assert chosen(data, asked) == 12
    assert chosen(data, "all") == 14
    assert open_collection(data).problems == ()


def test_a_part_that_is_not_there_is_named_with_the_words_of_the_list(data: Path) -> None:
    renamed(data, "Heldout")

    with pytest.raises(DataError, match=r"no image is in the split 'val'; there are: heldout, train\. `all` takes"):
        chosen(data, "val")


def test_where_no_image_is_left_the_first_reasons_are_named(data: Path) -> None:
    for image in (data / "images").iterdir():
        image.unlink()

    with pytest.raises(DataError, match=r"Lines with problems: \d+\n  manifest\.csv:2: missing image: "):
        chosen(data, "val")


def test_a_list_without_parts_says_so(data: Path) -> None:
    manifest = data / "manifest.csv"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(",split,", ",group,"), encoding="utf-8")

    with pytest.raises(DataError, match=r"there are: none with a name\. `all` takes every image"):
        chosen(data, "heldout")
    assert chosen(data, "all") == 14


def test_a_part_in_other_letters_is_the_same_part() -> None:
    assert str(Part("TEST", source="NIH")) == str(Part("test", source="NIH"))


def test_images_of_a_patient_in_the_train_part_too_are_not_evaluated(data: Path) -> None:
    renamed(data, "heldout")
    manifest = data / "manifest.csv"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(",p12,", ",p11,"), encoding="utf-8")

    assert chosen(data, "heldout") == 11
