"""Saliency out of fold: from the checkpoint of the fold that held an image out, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from patchclip_core.checkpoints.checkpoint import read_card, write_card
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.inference.saliency import MAP_MAKERS
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.collection import Collection, open_collection
from patchclip_trainer.evaluation.fold_saliency import fold_saliency
from patchclip_trainer.evaluation.measure_table import Progress
from patchclip_trainer.evaluation.out_of_fold import OutOfFold, read_out_of_fold, write_out_of_fold
from patchclip_trainer.evaluation.predictions import load_whole
from patchclip_trainer.metrics.candidates import to_grid
from tests.support.checkpoints import write_checkpoint


@pytest.fixture
def collection(data: Path) -> Collection:
    return open_collection(data)


@pytest.fixture
def crossval(collection: Collection, tmp_path: Path) -> Path:
    """Two folds with a checkpoint each; opacity is not reported by them."""
    folder = tmp_path / "crossval"
    for fold in range(2):
        checkpoint = write_checkpoint(folder / f"fold-{fold}" / "checkpoint", "patchclip", seed=fold)
        card = read_card(checkpoint)
        findings = tuple(item.model_copy(update={"reported": item.key != "opacity"}) for item in card.findings)
        write_card(checkpoint, card.model_copy(update={"findings": findings}))
    patients = sorted({row.patient_id for row in collection.rows})
    fold_of = {row.image: patients.index(row.patient_id) % 2 for row in collection.rows}
    write_out_of_fold(folder, OutOfFold(name="toy", folds=2, fold_of=fold_of, data="-", data_digest="-"))
    return folder


def _progress(done: list[str]) -> Progress:
    @contextmanager
    def progress(what: str, _total: int) -> Iterator[Callable[[int], None]]:
        done.append(what)
        yield lambda _count: None

    return progress


def test_each_image_is_looked_at_by_the_checkpoint_that_did_not_see_it(collection: Collection, crossval: Path) -> None:
    rows, judged = collection.rows, {"opacity": np.arange(len(collection.rows)) < 6}

    rollout, cam = fold_saliency("", crossval, collection, rows, judged, "cpu", _progress([]))

    folds = read_out_of_fold(crossval)
    assert folds is not None
    assert (rollout.name, cam.name) == ("attention_rollout", "grad_cam")
    assert "transformer layers" in cam.about
    for system in (rollout, cam):
        maps = system.grids["opacity"]
        assert np.isnan(maps[6:]).all()
        for index in range(6):
            by_fold = [_map_of(crossval, fold, system.name, collection, index) for fold in range(2)]
            own = folds.fold_of[rows[index].image]
            np.testing.assert_allclose(maps[index], by_fold[own], atol=1e-5)
            assert not np.allclose(maps[index], by_fold[1 - own], atol=1e-3)


def _map_of(crossval: Path, fold: int, maker: str, collection: Collection, index: int) -> NDArray[np.float64]:
    model = load_whole(crossval / f"fold-{fold}" / "checkpoint", "cpu")
    assert isinstance(model, NetworkAnalyzer)
    made = MAP_MAKERS[maker](model, collection.radiograph(collection.rows[index]), "opacity")
    return to_grid(made.values, made.geometry)


def test_maps_are_made_once_and_anew_for_other_weights(collection: Collection, crossval: Path) -> None:
    rows, judged = collection.rows, {"opacity": np.ones(len(collection.rows), dtype=bool)}
    done: list[str] = []

    first = fold_saliency("own_", crossval, collection, rows, judged, "cpu", _progress(done))
    again = fold_saliency("own_", crossval, collection, rows, judged, "cpu", _progress(done))
    write_checkpoint(crossval / "fold-1" / "checkpoint", "patchclip", seed=7)
    fold_saliency("own_", crossval, collection, rows, judged, "cpu", _progress(done))

    assert done == ["own_saliency"] * 2
    assert [system.about for system in first] == [system.about for system in again]
    for before, after in zip(first, again, strict=True):
        np.testing.assert_allclose(before.grids["opacity"], after.grids["opacity"], atol=1e-5)


def test_a_folder_without_a_cross_validation_is_refused(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no cross-validation \(out_of_fold\.json is missing\)"):
        fold_saliency("", tmp_path, collection, collection.rows, {}, "cpu", _progress([]))
