"""A linear reader is fitted to the images that a run trains on, and to no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logit

from patchclip_core.checkpoints import checkpoint
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.linear_reader import LinearReader, directions_of, pooled
from patchclip_core.models.methods.patchclip import PatchClip
from patchclip_core.models.towers import Features
from patchclip_core.values.results import Box, Radiograph
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.data.splits import train_folds
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.metrics.candidates import to_grid
from patchclip_trainer.metrics.regression import fit
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage2 import fitting
from patchclip_trainer.training.stage2.cross_validation import cross_validate, cross_validation
from patchclip_trainer.training.stage2.fitting import LEAST_IMAGES, PENALTY, Known, fit_linear_reader
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe
from tests.support.squares import squares_recipe, write_squares

MODEL = """
input_px: 64
image: efficientnet-lite0
image_options: {stride: 16, width: 16, layers: 1, attention_heads: 2, hidden: 16}
text_options: {width: 16, layers: 1}
embedding: 16
sparse: null
linear_reader: true
"""


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return write_squares(tmp_path_factory.mktemp("squares") / "prepared", 64)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage2Recipe:
    monkeypatch.setattr(fitting, "LEAST_IMAGES", 4)  # there are 32 images
    made = squares_recipe(tmp_path, epochs=1, held_out_fold=None, left_out_fold=0, mirrored=True, augment={"views": 1})
    Path(str(made.model)).write_text(MODEL, encoding="utf-8")
    return made


def trained(recipe: Stage2Recipe, data: PreparedData, folder: Path) -> NetworkAnalyzer:
    outcome = Run(Stage2(recipe, data, folder / "tokenizer", features=folder / "features")).run(folder / "out")
    assert outcome.checkpoint is not None
    loaded = checkpoint.load(outcome.checkpoint, "cpu")
    assert isinstance(loaded, NetworkAnalyzer)
    return loaded


def slopes_of(model: NetworkAnalyzer) -> torch.Tensor:
    """What the linear reader makes of features, in the shared space."""
    assert isinstance(model.network, PatchClip)
    assert model.network.linear_reader is not None
    return model.network.linear_reader.projection.detach()


def test_the_reader_is_the_regression_on_the_training_images(
    recipe: Stage2Recipe, squares: PreparedData, tmp_path: Path
) -> None:
    model = trained(recipe, squares, tmp_path)
    network = model.network
    assert isinstance(network, PatchClip)
    assert network.linear_reader is not None
    assert network.trunk is not None
    own = [index for index, fold in train_folds(squares.rows, 4).items() if fold != 0]
    mean, deviation = model.card.preprocess.mean[0], model.card.preprocess.std[0]
    pictures = torch.from_numpy((squares.images[own][:, None] / np.float32(255) - mean) / deviation)
    with torch.no_grad():
        features = Features(network.trunk.features(pictures.float()).values.half().float())  # as they are kept
        said = network.linear_reader(features, directions_of(model.texts[0]))[:, 0]
    truth = np.array([index % 2 == 0 for index in own])

    seen = pooled(features).double().numpy()

    wanted = logit(fit(seen, truth, PENALTY).probability(seen))

    np.testing.assert_allclose(said.numpy(), wanted, rtol=1e-2, atol=1e-2)


def test_what_is_left_out_has_no_part_in_what_is_fitted(
    recipe: Stage2Recipe, squares: PreparedData, tmp_path: Path
) -> None:
    fold_of = train_folds(squares.rows, 4)
    names = {squares.rows[index].image: fold for index, fold in fold_of.items()}

    def moved(fold: int) -> PreparedData:
        boxes = tuple(replace(row, box=Box(0, 0, 60, 60)) if names[row.image] == fold else row for row in squares.boxes)
        read = tuple(
            replace(row, chestxdet=("Pneumothorax",)) if names[row.image] == fold else row for row in squares.rows
        )
        return replace(squares, rows=read, boxes=boxes)

    first, same, other = (
        slopes_of(trained(recipe, data, tmp_path / name))
        for name, data in (("first", squares), ("left", moved(0)), ("used", moved(1)))
    )

    assert torch.equal(first, same)
    assert not torch.allclose(first, other)


@contextmanager
def quiet(_description: str, _unit: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda _done, _total: None


def test_out_of_fold_predictions_are_what_each_fold_s_checkpoint_answers(
    recipe: Stage2Recipe, squares: PreparedData, tmp_path: Path
) -> None:
    wanted = cross_validation(recipe.model_copy(update={"left_out_fold": None}), squares, features=tmp_path / "kept")

    predictions = cross_validate(wanted, tmp_path / "out", quiet)

    assert predictions is not None
    probabilities, grids = predictions.of("pneumothorax")
    fold_of = train_folds(squares.rows, 4)
    place = {row.image: index for index, row in enumerate(squares.rows)}
    for number, row in enumerate(predictions.rows[::7]):
        index = place[row.image]
        model = checkpoint.load(tmp_path / "out" / f"fold-{fold_of[index]}" / "checkpoint", "cpu")
        (found,) = model.analyze_batch([Radiograph(squares.images[index] / np.float32(255))])
        finding = found["pneumothorax"]
        assert finding.patch_map is not None
        assert probabilities[7 * number] == pytest.approx(finding.probability, abs=2e-3)
        np.testing.assert_allclose(grids[7 * number], to_grid(finding.patch_map, found.geometry), atol=2e-2)


@pytest.mark.parametrize(("positive", "says"), [(LEAST_IMAGES - 1, False), (LEAST_IMAGES, True)])
def test_a_finding_with_few_images_of_a_side_has_no_regression(positive: int, says: bool) -> None:
    chance = np.random.default_rng(0)
    seen, present = chance.normal(size=(4 * LEAST_IMAGES, 6)), np.zeros((4 * LEAST_IMAGES, 2), dtype=np.int8)
    present[: 2 * LEAST_IMAGES, 0] = 1  # has enough of both sides
    present[:positive, 1], present[3 * LEAST_IMAGES :, 1] = 1, -1
    reader = LinearReader(channels=3, embedding=4)

    fit_linear_reader(reader, Known(seen, present), torch.eye(4)[:2])

    assert float(reader.projection[0].abs().max()) > 0
    assert bool(reader.projection[1].any()) is says


def test_a_space_too_narrow_for_the_findings_is_refused() -> None:
    known = Known(np.zeros((2, 6)), np.array([[1, 1], [0, 0]], dtype=np.int8))

    with pytest.raises(RecipeError, match=r"linear_reader: .* do not point 2 ways.*widen the network's `embedding`"):
        fit_linear_reader(LinearReader(channels=3, embedding=3), known, torch.ones(2, 3))
