"""Features of views are computed once, survive a kill, and are of the wanted views and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from patchclip_core.checkpoints.checkpoint import read_card
from patchclip_core.models.alignment import Alignment
from patchclip_core.models.efficientnet import EfficientNetImageSettings, EfficientNetImageTower, Reader
from patchclip_core.models.methods.patchclip import PatchClip, PatchClipSettings
from patchclip_core.models.towers import Features, ImageTokens, TrunkTower
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.values.results import PatchGrid
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import TrainerError
from patchclip_trainer.training.inputs.feature_cache import FeatureCache, Wanted
from patchclip_trainer.training.inputs.views import Views, normalised
from patchclip_trainer.training.loop.plan import plan_run
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.run_recipe import AugmentRecipe
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe
from tests.support.checkpoints import write_checkpoint, write_network
from tests.support.squares import write_squares

MakeRecipe = Callable[..., Stage2Recipe]

PREPROCESS = PreprocessSettings(input_px=32, grid=PatchGrid(4, 4, 8.0, 4.0))


class CountingTower(TrunkTower):
    """Means of squares of 8 pixels, through one weight; counts the images that it has seen."""

    def __init__(self, weight: float = 2.0) -> None:
        super().__init__()
        self.scale = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(self.scale.weight, weight)
        self.seen = 0

    @property
    def channels(self) -> int:
        return 1

    @property
    def cell_channels(self) -> int:
        return 1

    @property
    def fixed(self) -> torch.nn.Module:
        return self.scale

    def align(self, alignment: Alignment) -> Alignment:
        return alignment.convolved(8, 8, 0)

    def features(self, images: torch.Tensor) -> Features:
        self.seen += len(images)
        return Features(torch.nn.functional.avg_pool2d(images, 8) * self.scale.weight)

    def encode(self, features: Features) -> ImageTokens:
        raise NotImplementedError


def open_cache(
    folder: Path, data: PreparedData, tower: TrunkTower | None = None, **augment: Any
) -> tuple[FeatureCache, CountingTower]:
    tower = tower or CountingTower()
    assert isinstance(tower, CountingTower)
    cache = FeatureCache(folder, tower, PREPROCESS, Views(data, AugmentRecipe.model_validate({"views": 3} | augment)))
    tower.seen = 0
    return cache, tower


def test_a_tower_in_training_stays_in_training_when_its_features_are_computed(
    squares: PreparedData, tmp_path: Path
) -> None:
    cache, tower = open_cache(tmp_path / "kept", squares)
    tower.train()

    cache.read(np.array([3]), 1)

    assert tower.seen == 1
    assert tower.training


def test_features_are_those_of_the_view_and_computed_once(squares: PreparedData, tmp_path: Path) -> None:
    cache, tower = open_cache(tmp_path / "kept", squares, mirror=0.5)
    indices = np.array([5, 2, 30])
    told: list[tuple[int, int]] = []

    cache.fill([Wanted(np.arange(32), 2)], lambda done, total: told.append((done, total)))
    features, views = cache.read(indices, 2)

    assert told == [(16, 32), (32, 32)]
    assert tower.seen == 32
    of_view = Views(squares, AugmentRecipe(views=3, mirror=0.5))
    images, expected = of_view.see(indices, 2, torch.device("cpu"))
    wanted = tower.features(normalised(images, PREPROCESS)).values
    torch.testing.assert_close(features.values, wanted, rtol=1e-3, atol=1e-3)
    assert views == expected


def test_another_run_computes_only_what_is_missing(squares: PreparedData, tmp_path: Path) -> None:
    open_cache(tmp_path / "kept", squares)[0].fill([Wanted(np.arange(20), 1)])

    cache, tower = open_cache(tmp_path / "kept", squares)
    cache.fill([Wanted(np.arange(32), 1)])

    assert tower.seen == 12


@pytest.mark.parametrize(
    ("change", "seen"),
    [({}, 0), ({"views": 5}, 0), ({"shift": 0.1}, 4), ({"seed": 1}, 4)],
    ids=["the same", "more views", "another shift", "another seed"],
)
def test_what_a_view_changes_decides_whose_features_it_has(
    change: dict[str, Any], seen: int, squares: PreparedData, tmp_path: Path
) -> None:
    open_cache(tmp_path / "kept", squares)[0].fill([Wanted(np.arange(4), view) for view in (0, 1)])

    cache, tower = open_cache(tmp_path / "kept", squares, **change)
    cache.fill([Wanted(np.arange(4), view) for view in (0, 1)])

    assert tower.seen == seen  # view 0 changes nothing, whatever the recipe says


def test_another_trunk_has_features_of_its_own(squares: PreparedData, tmp_path: Path) -> None:
    open_cache(tmp_path / "kept", squares)[0].fill([Wanted(np.arange(4), 0)])

    cache, tower = open_cache(tmp_path / "kept", squares, CountingTower(3.0))
    cache.fill([Wanted(np.arange(4), 0)])

    assert tower.seen == 4


def test_a_killed_run_loses_the_images_that_it_was_at(squares: PreparedData, tmp_path: Path) -> None:
    cache, _ = open_cache(tmp_path / "kept", squares)

    def die(done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.fill([Wanted(np.arange(32), 0)], die)
    (journal,) = (tmp_path / "kept").glob("*/journal.jsonl")
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"images": [17, 18')  # killed while it wrote a line
    again, tower = open_cache(tmp_path / "kept", squares)
    again.fill([Wanted(np.arange(32), 0)])

    assert tower.seen == 16
    assert len(open_cache(tmp_path / "kept", squares)[0].missing([Wanted(np.arange(32), 0)])) == 0


def test_damaged_features_are_computed_anew(squares: PreparedData, tmp_path: Path) -> None:
    cache, _ = open_cache(tmp_path / "kept", squares)
    cache.fill([Wanted(np.arange(32), 0)])
    whole = cache.read(np.arange(32), 0)[0].values
    (values,) = (tmp_path / "kept").glob("*/values.f16")
    content = bytearray(values.read_bytes())
    content[3] ^= 0xFF
    values.write_bytes(content)

    again, tower = open_cache(tmp_path / "kept", squares)

    assert torch.equal(again.read(np.arange(32), 0)[0].values, whole)
    assert tower.seen == 16


def test_cut_off_features_are_named(squares: PreparedData, tmp_path: Path) -> None:
    open_cache(tmp_path / "kept", squares)[0].fill([Wanted(np.arange(4), 0)])
    (values,) = (tmp_path / "kept").glob("*/values.f16")
    values.write_bytes(b"")

    with pytest.raises(TrainerError, match="delete it"):
        open_cache(tmp_path / "kept", squares)[0].read(np.arange(4), 0)


def test_a_full_disk_is_told_before_the_work(
    squares: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, tower = open_cache(tmp_path / "kept", squares)
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: type("Usage", (), {"free": 100})())

    with pytest.raises(TrainerError, match="--features"):
        cache.fill([Wanted(np.arange(32), 0)])
    assert tower.seen == 0


def efficientnet_checkpoint(folder: Path, readers: int = 1) -> Path:
    """A checkpoint of a network that begins with a fixed trunk, at 64 px."""
    write_checkpoint(folder, "patchclip")
    card = read_card(folder)
    settings = PatchClipSettings.model_validate(card.settings)
    tower = EfficientNetImageSettings(
        input_px=64, stride=16, width=16, attention_heads=2, hidden=16, dropout=0.0, readers=readers
    )
    network = PatchClip(settings.model_copy(update={"image_tower": tower}))
    return write_network(folder, network)


def test_each_reader_learns_all_targets(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    squares = write_squares(tmp_path / "prepared64", 64)
    start = efficientnet_checkpoint(tmp_path / "start", readers=2)
    stage = Stage2(make_recipe(model=None, start=str(start)), squares, tmp_path / "t")
    tower = stage.network.image_tower
    assert isinstance(tower, EfficientNetImageTower)
    batch = stage.batch(stage.items[:8], 0)

    loss, _ = stage.objective.loss(stage.network, batch)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    slopes = [reader.projection.weight.grad for reader in tower.reading if isinstance(reader, Reader)]
    tower.reading[1].load_state_dict(tower.reading[0].state_dict())
    alike, _ = stage.objective.loss(stage.network, batch)
    tower.reading = torch.nn.ModuleList([tower.reading[0]])
    alone, _ = stage.objective.loss(stage.network, batch)

    assert all(slope is not None and slope.abs().sum() > 0 for slope in slopes)
    assert len(slopes) == 2
    torch.testing.assert_close(alike, alone)


def test_a_run_on_kept_features_is_a_run_on_pixels(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    squares = write_squares(tmp_path / "prepared64", 64)
    start = efficientnet_checkpoint(tmp_path / "start")
    recipe = make_recipe(model=None, start=str(start), epochs=3, augment={"views": 2})
    stage = Stage2(recipe, squares, tmp_path / "t1")
    from_pixels = Stage2(recipe, squares, tmp_path / "t2")
    from_pixels.inputs.cache = None
    losses = []

    stage.fill(lambda _done, _total: None)
    for one in (stage, from_pixels):
        run = Run(one)
        losses.append([run.take_step(epoch, 0)["loss"] for epoch in range(3)])

    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-3)
    assert sorted(path.name.split("-")[1] for path in (squares.folder / "features").iterdir()) == ["0", "1"]
    held_out = [one.validate(one.network)["held_out_loss"] for one in (stage, from_pixels)]
    assert held_out[0] == pytest.approx(held_out[1], rel=2e-3)


def test_a_plan_counts_features_that_are_kept_and_the_time_of_the_others_and_keeps_none(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squares = write_squares(tmp_path / "prepared64", 64)
    start = efficientnet_checkpoint(tmp_path / "start")
    recipe = make_recipe(model=None, start=str(start), epochs=3, augment={"views": 2})

    def plan() -> dict[str, Any]:
        return plan_run(Run(Stage2(recipe, squares, tmp_path / "tokenizer")), tmp_path / "scratch")

    first = plan()
    assert first["features to compute"].startswith("56 views")  # 32 as they are, and 24 to train on changed
    assert not (squares.folder / "features").exists()
    Stage2(recipe, squares, tmp_path / "tokenizer").fill(lambda _done, _total: None)
    kept = {path: path.read_bytes() for path in (squares.folder / "features").glob("*/*")}
    assert plan()["features to compute"].startswith("0 views")
    assert {path: path.read_bytes() for path in (squares.folder / "features").glob("*/*")} == kept
    monkeypatch.setattr(Stage2, "rehearse", lambda _stage, _folder: 7200.0)
    assert plan()["hours at most"] >= 2


def test_a_rehearsal_measures_how_long_missing_features_take(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    squares = write_squares(tmp_path / "prepared64", 64)
    start = efficientnet_checkpoint(tmp_path / "start")
    recipe = make_recipe(model=None, start=str(start), epochs=3, augment={"views": 2})
    stage, later = (Stage2(recipe, squares, tmp_path / "tokenizer") for _ in range(2))

    missing_s = stage.rehearse(tmp_path / "scratch")
    later.fill(lambda _done, _total: None)

    assert missing_s > 0
    assert later.rehearse(tmp_path / "other scratch") == 0
