"""Which epoch a run keeps, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

MakeRecipe = Callable[..., Stage2Recipe]


@pytest.mark.parametrize(
    ("measured", "kept", "ended"),
    [
        ([(1.0, 3.0), (1.0, 2.0), (1.0, 2.5)], 2, 3),  # the same FROC: the lower loss
        ([(1.0, 2.0), (1.0, 2.0), (0.5, 1.0)], 2, 3),  # the same of both: the later one
        ([(0.2, 2.0), (0.7, 9.0), (0.6, 1.0)], 2, 3),  # FROC comes first
        ([(0.5, 2.0), (0.5, 2.0), (0.5, 2.0), (0.5, 2.0)], 3, 3),  # as good does not keep a run going
        ([(float("nan"), 2.0), (0.1, 2.0), (float("nan"), 1.0)], 2, 3),
    ],
)
def test_the_best_epoch_is_kept_and_of_equal_ones_the_later(
    measured: list[tuple[float, float]],
    kept: int,
    ended: int,
    squares: PreparedData,
    make_recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage2(make_recipe(epochs=len(measured), patience=2, batch=32), squares, tmp_path / "tokenizer")
    written: list[int] = []
    script = iter([{"held_out_froc": froc, "held_out_loss": loss} for froc, loss in measured])
    monkeypatch.setattr(stage, "validate", lambda _network: next(script))
    monkeypatch.setattr(stage, "write_checkpoint", lambda _out, _network, _step, epochs: written.append(epochs))

    outcome = Run(stage).run(tmp_path / "out")

    assert written[-1] == kept
    assert outcome.step == ended


def test_a_run_that_ends_after_some_epochs_has_the_rates_of_the_whole_run(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    whole, part = (
        Run(Stage2(make_recipe(epochs=4, held_out_fold=None, stop_after=after), squares, tmp_path / f"t{after}"))
        for after in (None, 1)
    )

    outcome = part.run(tmp_path / "part")

    assert outcome.step == part.steps == whole.epoch_steps
    assert part.scheduled_steps == whole.steps
    with pytest.raises(ValueError, match="ends a run of at most 4 epochs"):
        make_recipe(epochs=4, held_out_fold=None, stop_after=5)
    with pytest.raises(ValueError, match="holds no fold out"):
        make_recipe(epochs=4, held_out_fold=1, stop_after=2)
