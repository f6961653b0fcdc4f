"""What `torchrun` runs in a test: steps of several recipes, by all processes together, stopped once and resumed.

Arguments: stage1 or stage2, the prepared data, and a folder with `NAME.json`, a recipe each; `NAME/` comes to hold its
run, or holds the state of one that another number of processes began.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch

from patchclip_trainer.data.shards import open_prepared
from patchclip_trainer.training.loop.processes import joined
from patchclip_trainer.training.loop.state import STATE
from patchclip_trainer.training.loop.training_run import Run, Stage
from patchclip_trainer.training.stage1.stage import Stage1
from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe


def main(name: str, folder_of_data: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    data = open_prepared(folder_of_data)
    with joined(torch.device("cpu")) as processes:
        for path in sorted(folder.glob("*.json")):
            recipe, tokenizer = path.read_text(encoding="utf-8"), folder / f"tokenizer-{path.stem}-{processes.number}"
            stage: Stage = (
                Stage1(Stage1Recipe.model_validate_json(recipe), data, tokenizer, processes=processes)
                if name == "stage1"
                else Stage2(Stage2Recipe.model_validate_json(recipe), data, tokenizer, processes=processes)
            )
            run = Run(stage, processes)
            out = folder / path.stem
            run.run(out, resume=(out / STATE).exists(), stopped=partial(has_come_to, run, 2))
            run.run(out, resume=True)


def has_come_to(run: Run, step: int) -> bool:
    return run.step == step


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
