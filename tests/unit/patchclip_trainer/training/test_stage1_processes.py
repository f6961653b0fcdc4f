"""Stage 1 in two processes contrasts every image with the texts of both: the losses and weights of one process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from patchclip_trainer.training.recipe import TrainingRecipe
from patchclip_trainer.training.run import Run
from patchclip_trainer.training.stage1 import Stage1
from patchclip_trainer.training.stage1_recipe import Stage1Recipe
from tests.reported import write_reported

MakeRecipe = Callable[..., TrainingRecipe]

# Plain descent: weights tell gradients, none of whose lengths a division by their own mean square would hide.
DESCENT = {"kind": "sgd", "momentum": 0.5, "rate_tower": 0.05, "rate_new": 0.05, "clip": None, "weight_decay": 0.0}
RECIPES: dict[str, dict[str, Any]] = {
    "ddp": {"bank": 9, "chunk": 2, "ema": 0.8},
    "lrclr": {"objective": "lrclr", "ema": 0.0},
    "fsdp": {"parallel": "fsdp", "ema": 0.0},
}


def test_two_processes_take_the_steps_of_one(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    data = write_reported(tmp_path / "prepared", images=12, validation=0)
    together, alone = tmp_path / "together", tmp_path / "alone"
    together.mkdir()
    # Batches of five: one process has three images of them, the other two.
    base = {"name": "toy", "model": make_recipe().model, "epochs": 1, "batch": 5, "sentences": 1, "device": "cpu"}
    recipes = {name: Stage1Recipe.model_validate(base | {"optimizer": DESCENT} | RECIPES[name]) for name in RECIPES}
    for name, recipe in recipes.items():
        (together / f"{name}.json").write_text(recipe.model_dump_json(), encoding="utf-8")

    run_two(Path(__file__).with_name("two_processes_stage1.py"), data.folder, together)
    for name, recipe in recipes.items():
        Run(Stage1(recipe, data, tmp_path / f"t-{name}")).run(alone / name)

    for name, recipe in recipes.items():
        for key in ("loss", "gradient", "held_out_loss"):
            np.testing.assert_allclose(logged(together / name, key), logged(alone / name, key), rtol=1e-4, err_msg=name)
        weights, expected = (load_file(out / name / "checkpoint" / "weights.safetensors") for out in (together, alone))
        start = Stage1(recipe, data, tmp_path / f"s-{name}").network.state_dict()
        for part, value in expected.items():
            moved = float((value - start[part]).abs().max())
            torch.testing.assert_close(weights[part], value, rtol=0, atol=1e-6 + 1e-3 * moved, msg=f"{name}: {part}")


def run_two(script: Path, *arguments: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    done = subprocess.run(
        [*command, f"--master-port={port}", str(script), *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def logged(out: Path, key: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line[key] for line in lines if key in line]
