"""Two processes are one run: the same losses, the same gradients, the same weights."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from patchclip_core.checkpoints import checkpoint
from patchclip_core.models.losses import bag_loss, balanced_patch_loss, masked_cross_entropy, summed_patch_loss
from patchclip_core.models.methods.lrclr_losses import sparsity_prior
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import RecipeError, TrainerError
from patchclip_trainer.training.loop.processes import Processes
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.run_recipe import RunRecipe
from patchclip_trainer.training.stage1.stage import Stage1
from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe
from tests.support.reported import write_reported
from tests.support.torchrun import DESCENT, ENVIRONMENT, assert_same_run, two_processes

MakeRecipe = Callable[..., Stage2Recipe]

RECIPES: dict[str, dict[str, Any]] = {
    "ddp": {"objective": "patchclip", "ema": 0.8},
    "lrclr": {"objective": "lrclr", "ema": 0.8},
    "fsdp": {"objective": "patchclip", "ema": 0.0, "parallel": "fsdp"},
    "resumed": {"objective": "patchclip", "ema": 0.8, "chunk": 2, "save_every": 1},
}
STAGE_1_RECIPES: dict[str, dict[str, Any]] = {
    "ddp": {"bank": 9, "chunk": 2, "ema": 0.8},
    "lrclr": {"objective": "lrclr", "ema": 0.0},
    "fsdp": {"parallel": "fsdp", "ema": 0.0},
}


def test_two_processes_take_the_steps_of_one(squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    # Batches of five: one process has three images of them, the other two.
    recipes = {name: make_recipe(epochs=1, batch=5, optimizer=DESCENT, **changes) for name, changes in RECIPES.items()}
    # One process begins this run, two go on with it.
    begun = Run(Stage2(recipes["resumed"], squares, tmp_path / "t-begun"))
    begun.run(tmp_path / "together" / "resumed", stopped=lambda: begun.step == 1)

    together = run_together("stage2", squares, recipes, tmp_path)

    for name, recipe in recipes.items():
        alone = Stage2(recipe, squares, tmp_path / f"t-{name}")
        start = {part: value.clone() for part, value in alone.network.state_dict().items()}
        Run(alone).run(tmp_path / name)
        assert_same_run(together / name, tmp_path / name, start, ("loss", "patches", "gradient"))
        assert checkpoint.load(together / name / "checkpoint", "cpu").finding_keys == ("pneumothorax",)


def test_two_processes_contrast_images_with_the_texts_of_both(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    data = write_reported(tmp_path / "prepared", images=12, validation=0, store="tar", shard=5)
    base = {"name": "toy", "model": make_recipe().model, "epochs": 1, "batch": 5, "sentences": 1, "device": "cpu"}
    base["held_out_fold"] = 0
    recipes = {
        name: Stage1Recipe.model_validate(base | {"optimizer": DESCENT} | changes)
        for name, changes in STAGE_1_RECIPES.items()
    }

    together = run_together("stage1", data, recipes, tmp_path)

    for name, recipe in recipes.items():
        alone = Stage1(recipe, data, tmp_path / f"t-{name}")
        start = {part: value.clone() for part, value in alone.network.state_dict().items()}
        Run(alone).run(tmp_path / name)
        assert_same_run(together / name, tmp_path / name, start, ("loss", "gradient", "held_out_loss", "recall_at_1"))


def run_together(stage: str, data: PreparedData, recipes: Mapping[str, RunRecipe], folder: Path) -> Path:
    """Run recipes in two processes; return the folder that holds their runs."""
    together = folder / "together"
    together.mkdir(exist_ok=True)
    for name, recipe in recipes.items():
        (together / f"{name}.json").write_text(recipe.model_dump_json(), encoding="utf-8")
    command = two_processes(Path(__file__).with_name("two_processes.py"), stage, data.folder, together)
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return together


@pytest.mark.parametrize("loss", [masked_cross_entropy, balanced_patch_loss, summed_patch_loss])
def test_shares_of_a_loss_add_up_to_it(loss: Callable[..., torch.Tensor]) -> None:
    chance = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, 7, generator=chance)
    targets = torch.rand(5, 3, 7, generator=chance) * (torch.rand(5, 3, 7, generator=chance) < 0.3)
    known = torch.rand(5, 3, 7, generator=chance) < 0.7
    known[:, 2], known[:3, 1] = False, False  # one finding that no part knows, one that only one part knows
    parts = (slice(0, 3), slice(3, 5))
    counts: list[list[torch.Tensor]] = [[], []]
    for part, kept in zip(parts, counts, strict=True):
        loss(logits[part], targets[part], known[part], lambda count, kept=kept: kept.append(count) or count)

    shares = []
    for part in parts:
        totals = iter([sum(both) for both in zip(*counts, strict=True)])
        shares.append(loss(logits[part], targets[part], known[part], lambda _count, totals=totals: next(totals)))

    torch.testing.assert_close(sum(shares), loss(logits, targets, known))


def test_shares_of_the_loss_of_bags_add_up_to_it() -> None:
    chance = torch.Generator().manual_seed(0)
    logits, bags = torch.randn(5, 3, 7, generator=chance), torch.rand(5, 3, 7, generator=chance) < 0.7
    bags[:, 2], bags[:3, 1] = False, False  # one finding without a bag, one with bags in one part only
    both = bags.any(dim=-1).sum()

    shares = [bag_loss(logits[part], bags[part], 2, lambda _count: both) for part in (slice(3), slice(3, 5))]

    torch.testing.assert_close(shares[0] + shares[1], bag_loss(logits, bags, 2))


def test_shares_of_the_sparsity_prior_add_up_to_it() -> None:
    significance = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))

    shares = [
        sparsity_prior(significance[part], 0.1, lambda _count: torch.tensor(5)) for part in (slice(3), slice(3, 5))
    ]

    torch.testing.assert_close(shares[0] + shares[1], sparsity_prior(significance, 0.1))


def test_parts_of_a_batch_are_all_of_it() -> None:
    batch = np.arange(7)

    parts = [Processes(3, number).part(batch) for number in range(3)]

    assert sorted(np.concatenate(parts)) == list(batch)
    with pytest.raises(RecipeError, match="start fewer"):
        Processes(8, 0).part(batch)


def test_a_run_for_one_process_says_so_under_torchrun(
    squares: PreparedData, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")

    with pytest.raises(TrainerError, match="without torchrun"):
        Run(Stage2(make_recipe(), squares, tmp_path / "t"))


def test_shards_keep_no_running_mean(make_recipe: MakeRecipe) -> None:
    with pytest.raises(ValidationError, match="ema=0"):
        make_recipe(parallel="fsdp", ema=0.9)
