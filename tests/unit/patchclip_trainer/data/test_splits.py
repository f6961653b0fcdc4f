"""Parts and folds keep patients whole and come out alike each time."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.splits import SplitShares, assign_folds, with_splits
from patchclip_trainer.errors import DataError

PATIENTS = [f"p{number // 2}" for number in range(400)]


def test_no_patient_is_in_two_parts_and_shares_are_about_right() -> None:
    rows = with_splits([ImageRow(f"{i}.png", patient) for i, patient in enumerate(PATIENTS)], SplitShares())
    parts = defaultdict(set)
    for row in rows:
        parts[row.patient_id].add(row.split)

    assert {len(splits) for splits in parts.values()} == {1}
    counts = Counter(row.split for row in rows)
    assert 280 <= counts["train"] <= 360
    assert counts["val"] > 10
    assert counts["test"] > 10


def test_a_split_that_training_does_not_know_is_drawn_by_patient() -> None:
    rows = [ImageRow(f"{number}.png", f"p{number // 2}", split="heldout") for number in range(40)]

    drawn = with_splits(rows, SplitShares(50, 25, 25))

    assert {row.split for row in drawn} == {"train", "val", "test"}
    assert all(first.split == second.split for first, second in zip(drawn[::2], drawn[1::2], strict=True))


def test_a_split_of_the_source_stays() -> None:
    (row,) = with_splits([ImageRow("a.png", "p", split="test")], SplitShares(100, 0, 0))

    assert row.split == "test"


@pytest.mark.parametrize("text", ["80/10", "80/10/20", "a/b/c", "-10/100/10"])
def test_shares_that_do_not_add_up_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="shares"):
        SplitShares.parse(text)


def test_folds_keep_patients_whole_and_spread_strata() -> None:
    strata = ["rare" if number < 40 else "common" for number in range(400)]

    folds = assign_folds(PATIENTS, 5, strata=strata)

    by_patient = defaultdict(set)
    for patient, fold in zip(PATIENTS, folds, strict=True):
        by_patient[patient].add(int(fold))
    assert {len(found) for found in by_patient.values()} == {1}
    assert np.bincount(folds).tolist() == [80] * 5
    assert np.bincount(folds[:40]).tolist() == [8] * 5


def test_folds_do_not_depend_on_the_order_of_images() -> None:
    folds = dict(zip(PATIENTS, assign_folds(PATIENTS, 4), strict=True))
    turned = dict(zip(PATIENTS[::-1], assign_folds(PATIENTS[::-1], 4), strict=True))

    assert folds == turned
    assert folds != dict(zip(PATIENTS, assign_folds(PATIENTS, 4, seed=1), strict=True))


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(DataError, match="3 folds of 2 patients"):
        assign_folds(["a", "b"], 3)
