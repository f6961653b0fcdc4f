"""What `torchrun` runs in a test: stage 1 by several recipes, by all processes together; see `two_processes`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from patchclip_trainer.data.shards import open_prepared
from patchclip_trainer.training.processes import joined
from patchclip_trainer.training.run import Run
from patchclip_trainer.training.stage1 import Stage1
from patchclip_trainer.training.stage1_recipe import Stage1Recipe


def main(data: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as processes:
        for path in sorted(folder.glob("*.json")):
            recipe = Stage1Recipe.model_validate_json(path.read_text(encoding="utf-8"))
            tokenizer = folder / f"tokenizer-{path.stem}-{processes.number}"
            Run(Stage1(recipe, open_prepared(data), tokenizer, processes=processes), processes).run(folder / path.stem)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
