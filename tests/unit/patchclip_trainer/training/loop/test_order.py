"""An epoch of what lies in shards: each item once, shards one after the other, and each process has its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from patchclip_trainer.training.loop import order
from patchclip_trainer.training.loop.order import STREAMS, batches_of, streamed_batches_of
from patchclip_trainer.training.loop.processes import Processes
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe
from tests.support.squares import write_squares

MakeRecipe = Callable[..., Stage2Recipe]
SHARD = 100


def epoch_of(count: int, size: int, seed: int = 0) -> list[NDArray[np.int64]]:
    places = np.arange(count)
    return streamed_batches_of(places, places, places // SHARD, size, (seed, 0))


@pytest.mark.parametrize("size", [1, 2, 3, 8, 12, 16, 24, 61, 64])
@pytest.mark.parametrize("count", [1, 7, 100, 801, 1001])
def test_each_item_comes_once_in_as_many_batches_as_ever(count: int, size: int) -> None:
    batches = epoch_of(count, size)

    assert sorted(np.concatenate(batches)) == list(range(count))
    assert len(batches) == len(batches_of(np.arange(count), size, None))
    assert all(0 < len(batch) <= size for batch in batches)
    if len(batches) > 1:
        assert max(map(len, batches)) - min(map(len, batches)) <= STREAMS


def test_the_order_depends_on_the_seed_alone_and_is_another_each_time() -> None:
    one, same, other = epoch_of(900, 16), epoch_of(900, 16), epoch_of(900, 16, seed=1)

    assert all(np.array_equal(*pair) for pair in zip(one, same, strict=True))
    assert not np.array_equal(np.concatenate(one), np.concatenate(other))
    assert np.mean(np.diff(np.concatenate(one)) == 1) < 0.05


@pytest.mark.parametrize("count", [2, 4, 8])
def test_a_process_reads_shards_that_no_other_reads(count: int) -> None:
    # 8 streams of 8 whole shards each.
    batches = epoch_of(8 * 8 * SHARD, 64)

    shards = [
        {int(item) // SHARD for batch in batches for item in Processes(count, number).part(batch)}
        for number in range(count)
    ]

    assert sum(map(len, shards)) == 8 * 8
    assert set().union(*shards) == set(range(8 * 8))


def test_few_shards_are_open_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "BUFFER", STREAMS * 50)
    batches = epoch_of(8 * 20 * SHARD, 16)
    seen: dict[int, list[int]] = {}
    for step, batch in enumerate(batches):
        for item in batch:
            seen.setdefault(int(item) // SHARD, []).append(step)

    at_a_time = [sum(min(steps) <= step <= max(steps) for steps in seen.values()) for step in range(len(batches))]

    # A shuffle buffer of 50 lets few items wait for longer than some shards; all 160 would be open in a random order.
    assert np.mean(at_a_time) < 8 * 5


def test_an_item_may_come_several_times_and_lies_where_its_image_does() -> None:
    items, places = np.arange(6), np.array([0, 0, 5, 5, 5, 9])

    batches = streamed_batches_of(items, places, places // 4, 2, (0,))

    assert sorted(np.concatenate(batches)) == list(range(6))


def test_a_run_on_shards_resumes_with_the_same_weights(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    data = write_squares(tmp_path / "tar", store="tar", shard=5)
    recipe = make_recipe(epochs=2, batch=8, balance=2.0, prefetch=2, save_every=1)

    def stage(name: str) -> Stage2:
        return Stage2(recipe, data, tmp_path / f"t-{name}")

    whole = Run(stage("whole")).run(tmp_path / "whole")
    stopped = Run(stage("stopped"))
    stopped.run(tmp_path / "stopped", stopped=lambda: stopped.step == 2)
    again = Run(stage("again")).run(tmp_path / "stopped", resume=True)

    assert whole.checkpoint is not None
    assert again.checkpoint is not None
    assert (whole.checkpoint / "weights.safetensors").read_bytes() == (
        again.checkpoint / "weights.safetensors"
    ).read_bytes()
