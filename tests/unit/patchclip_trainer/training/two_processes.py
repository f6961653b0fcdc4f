"""What `torchrun` runs in a test: steps of several recipes, by all processes together.

Arguments: the prepared data, and a folder with `NAME.json`, a recipe each; `NAME/` comes to hold its run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from patchclip_trainer.data.shards import open_prepared
from patchclip_trainer.training.processes import joined
from patchclip_trainer.training.recipe import TrainingRecipe
from patchclip_trainer.training.run import Run
from patchclip_trainer.training.stage2 import Stage2


def main(data: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as processes:
        for path in sorted(folder.glob("*.json")):
            recipe = TrainingRecipe.model_validate_json(path.read_text(encoding="utf-8"))
            tokenizer = folder / f"tokenizer-{path.stem}-{processes.number}"
            run = Run(Stage2(recipe, open_prepared(data), tokenizer, processes=processes), processes)
            out = folder / path.stem
            run.run(out, stopped=lambda run=run: run.step == 2)  # type: ignore[misc]  # mypy sees no type of a default
            run.run(out, resume=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
