"""What stage 1 gains over fixed resizing: the learned downscaler against bilinear and area, on pairs it never saw.

    python benchmarks/stage1.py PREPARED [--recipe FILE] [--set KEY=VALUE ...] [--folds K ...]

For each fold of the train split's patients a network is trained with each downscaler, all from the same weights, on the
other folds, for all epochs; the fold's pairs then look for each other. Prints Markdown: recall out of fold with patient
bootstrap intervals, and the paired differences. The default recipe is `conf/recipes/stage1-compact-448.yaml`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from patchclip_core.checkpoints.model_recipe import read_recipe
from patchclip_core.models.downscaler import LearnedDownscalerSettings
from patchclip_core.statistics.bootstrap import Estimate, Statistic, draw_patients, estimate, mean_of, paired_difference
from patchclip_core.values.definitions import conf_dir
from patchclip_trainer.data.shards import PreparedData, open_prepared
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.run_recipe import read_recipe_of
from patchclip_trainer.training.stage1.pairs import DESCRIBED_AS
from patchclip_trainer.training.stage1.stage import Stage1
from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe

KINDS = ("learned", "bilinear", "area")
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """Ranks of the images' own texts by image name, and each fold's loss."""

    ranks: dict[str, int]
    chance: list[float]
    losses: list[float]


def stage_with(kind: str, recipe: Stage1Recipe, data: PreparedData, folder: Path) -> Stage1:
    """Return a stage whose network differs from the recipe's in the downscaler alone."""
    model = read_recipe(str(recipe.model))
    if not isinstance(model.downscaler, LearnedDownscalerSettings):
        sys.exit(f"the model {recipe.model} has no learned downscaler to compare with")
    learned = Stage1(recipe, data, folder / "learned-tokenizer")
    if kind == "learned":
        return learned
    content = model.model_dump(mode="json") | {"downscaler": {"kind": kind, "factor": model.downscaler.factor}}
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    stage = Stage1(recipe.model_copy(update={"model": str(path)}), data, folder / f"{kind}-tokenizer")
    stage.network.load_state_dict(learned.network.state_dict(), strict=False)
    return stage


def train_and_look(kind: str, recipe: Stage1Recipe, data: PreparedData, folds: list[int]) -> Found:
    """Train one network a fold and rank the texts of the patients that it never saw."""
    found = Found({}, [], [])
    for fold in folds:
        apart = {"left_out_fold": fold, "held_out_fold": None, "patience": None}
        of_fold = Stage1Recipe.model_validate(recipe.model_dump() | apart)
        with tempfile.TemporaryDirectory() as folder:
            stage = stage_with(kind, of_fold, data, Path(folder))
            outcome = Run(stage).run(Path(folder) / "run")
            measured = stage.measure(outcome.checkpoint, draws=10) if outcome.checkpoint is not None else None
        if measured is None:
            sys.exit(f"fold {fold} has no pairs")
        found.ranks.update({name: item["rank_of_text"] for name, item in measured["per_image"].items()})
        found.chance.append(measured["image_to_text"]["recall_at_5"]["chance"])
        found.losses.append(measured["loss"])
        print(f"fold {fold}, {kind}: loss {measured['loss']:.3f}", file=sys.stderr, flush=True)
    return found


def statistics(ranks: NDArray[np.int64]) -> dict[str, Statistic]:
    """Return what is compared."""
    return {
        "recall at 1": mean_of((ranks <= 1).astype(np.float64)),
        "recall at 5": mean_of((ranks <= 5).astype(np.float64)),
        "mean reciprocal rank": mean_of(1.0 / ranks),
    }


def shown(found: Estimate) -> str:
    """Write a measure with its interval."""
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--recipe", type=Path, default=conf_dir() / "recipes" / "stage1-compact-448.yaml")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    recipe = read_recipe_of(Stage1Recipe, arguments.recipe, arguments.changes)
    data = open_prepared(arguments.prepared)
    found = {kind: train_and_look(kind, recipe, data, arguments.folds) for kind in KINDS}
    names = sorted(found["learned"].ranks)
    patients = {row.image: row.patient_id for row in data.rows}
    resamples = draw_patients([patients[name] for name in names], DRAWS, recipe.seed)
    measured = {kind: statistics(np.array([one.ranks[name] for name in names])) for kind, one in found.items()}
    print(
        f"{DESCRIBED_AS[recipe.text]}, {len(names)} images out of fold, {recipe.epochs} epochs, seed {recipe.seed}; "
        f"recall at 5 by chance {np.mean(found['learned'].chance):.3f}\n"
    )
    print("| downscaler | loss | recall at 1 | recall at 5 | mean reciprocal rank |\n|---|---|---|---|---|")
    for kind in KINDS:
        cells = " | ".join(shown(estimate(statistic, resamples)) for statistic in measured[kind].values())
        print(f"| {kind} | {np.mean(found[kind].losses):.3f} | {cells} |")
    for kind in KINDS[1:]:
        differences = " | ".join(
            shown(paired_difference(measured["learned"][name], measured[kind][name], resamples))
            for name in measured[kind]
        )
        loss = np.mean(found["learned"].losses) - np.mean(found[kind].losses)
        print(f"| learned - {kind} | {loss:+.3f} | {differences} |")


if __name__ == "__main__":
    main()
