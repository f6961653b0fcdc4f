"""What a trunk that first learned labels of whole images is worth to patch heads, each fold's trunk without its images.

    for K in 0 1 2 3 4; do
      patchclip-trainer stage2 --recipe demo --data prepared-320 --out warm/fold-$K --set model=MODEL \
        --set left_out_fold=$K --set parts.patches=0 --set parts.pooled=0 --set epochs=4 ...
    done
    python -m benchmarks.warmed_trunk --data prepared-448 --out heads/published
    python -m benchmarks.warmed_trunk --data prepared-448 --out heads/warmed --trunks warm
    python -m benchmarks.mean_of_findings --predictions heads/warmed --against heads/published

The heads are the baseline's, with two layers on each patch; the trunk's weights are the only thing that differs. Images
of which readers said something are predicted, and written as the baseline writes them.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.efficientnet import EfficientNetImageTower
from patchclip_core.terminal import progress
from patchclip_core.values.definitions import load_findings
from patchclip_trainer.baseline.patch_head import HeadRecipe, patch_probabilities, train_head
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.data.shards import DESCRIPTION, PreparedData, open_prepared
from patchclip_trainer.data.splits import train_folds
from patchclip_trainer.evaluation.out_of_fold import OutOfFold, fold_folder, write_out_of_fold
from patchclip_trainer.evaluation.predictions import PREDICTIONS_FILE, Predictions, gridded, joined, write_predictions
from patchclip_trainer.training.inputs.feature_cache import FEATURES, FeatureCache, Progress, Wanted
from patchclip_trainer.training.inputs.input_source import check_fit
from patchclip_trainer.training.inputs.views import PLAIN, Views
from patchclip_trainer.training.loop.start import Start, build, sentences_of
from patchclip_trainer.training.run_recipe import AugmentRecipe
from patchclip_trainer.training.stage2.samples import Samples, collect, targets_of
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe, read_stage2_recipe


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What all folds share. indices: images of which readers said something; fold_of: the fold of each."""

    samples: Samples
    start: Start
    indices: NDArray[np.int64]
    fold_of: NDArray[np.intp]
    features: Path

    @property
    def data(self) -> PreparedData:
        """The prepared data."""
        return self.samples.data


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit heads, predict out of fold, and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=Path("demo-on-cpu"), help="its trunk stays as it is")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--trunks", type=Path, help="fold-K/checkpoint of each fold; left out: the published trunk")
    parser.add_argument("--folds", type=int, nargs="+", metavar="K", help="these alone; left out: all of the recipe's")
    parser.add_argument("--features", type=Path, help="default: beside the data")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    recipe, data = read_stage2_recipe(asked.recipe, asked.changes).whole, open_prepared(asked.data)
    setting = _setting(recipe, data, asked.features or data.folder / FEATURES)
    parts, folds = [], asked.folds or range(recipe.folds)
    for fold in folds:
        if asked.trunks is not None:
            put_trunk(setting.start, fold_folder(asked.trunks, fold) / "checkpoint")
        with progress(f"fold {fold + 1} of {recipe.folds}", "views") as advance:
            parts.append(predicted(setting, fold, recipe.seed, advance))
    asked.out.mkdir(parents=True, exist_ok=True)
    write_predictions(asked.out / PREDICTIONS_FILE, joined(parts))
    fold_of = {
        data.rows[int(index)].image: int(fold)
        for index, fold in zip(setting.indices, setting.fold_of, strict=True)
        if fold in folds
    }
    write_out_of_fold(
        asked.out,
        OutOfFold(
            name="patch head on a warmed trunk" if asked.trunks else "patch head",
            folds=recipe.folds,
            fold_of=fold_of,
            data=str(data.folder.resolve()),
            data_digest=f"sha256:{hashlib.sha256((data.folder / DESCRIPTION).read_bytes()).hexdigest()}",
            recipe={"model": recipe.model, "seed": recipe.seed, "trunks": str(asked.trunks)},
        ),
    )
    sys.stdout.write(f"{asked.out}: {len(fold_of)} images\n")


def put_trunk(start: Start, checkpoint: Path) -> None:
    """Give a network the trunk of a checkpoint, which may have learned there. Ends the program where it has none."""
    model, trunk = load(checkpoint, "cpu"), start.network.trunk
    learned = model.network.trunk if isinstance(model, NetworkAnalyzer) else None
    if not isinstance(trunk, EfficientNetImageTower) or not isinstance(learned, EfficientNetImageTower):
        sys.exit(f"{checkpoint} or the recipe has no EfficientNet trunk")
    trunk.model.load_state_dict(learned.model.state_dict())


def _setting(recipe: Stage2Recipe, data: PreparedData, features: Path) -> Setting:
    definitions = load_findings()
    samples = collect(data, recipe, definitions, load_label_domains())
    with tempfile.TemporaryDirectory() as scratch:
        start = build(recipe, recipe.objective, Path(scratch) / "tokenizer", sentences_of(definitions.values()))
    check_fit(data, start.preprocess)
    folds = train_folds(data.rows, recipe.folds)
    read = np.array(
        [
            index
            for index in samples.train
            if any(
                label.present is not None and not by_text
                for label, by_text in zip(samples.labels[int(index)], samples.text_mined[int(index)], strict=True)
            )
        ],
        dtype=np.int64,
    )
    return Setting(samples, start, read, np.array([folds[int(index)] for index in read], dtype=np.intp), features)


def predicted(setting: Setting, fold: int, seed: int, advance: Progress) -> Predictions:
    """Return what a head says of a fold's images that was trained on those of the others, on the trunk at hand.

    Of each finding that has boxes: patch probabilities, and the highest of them for the image; neither is calibrated.
    """
    trunk, grid = setting.start.network.trunk, setting.start.preprocess.grid
    assert trunk is not None
    cache = FeatureCache(setting.features, trunk, setting.start.preprocess, Views(setting.data, AugmentRecipe()))
    cache.fill([Wanted(setting.indices, PLAIN)], advance)
    read, views = cache.read(setting.indices, PLAIN)
    values = read.values.half().cpu().numpy()
    counts = setting.samples.counts()
    findings = setting.samples.findings
    boxed = np.array([counts[item.key].boxes > 0 and item.extent == "localised" for item in findings])
    targets = targets_of(setting.samples, setting.indices, views, grid, False)
    head = train_head(values, targets, np.flatnonzero(setting.fold_of != fold), HeadRecipe(seed=seed))
    own = np.flatnonzero(setting.fold_of == fold)
    maps = patch_probabilities(head, values[own])[:, boxed]
    return gridded(
        [finding.key for finding, has in zip(findings, boxed, strict=True) if has],
        [setting.data.rows[int(index)] for index in setting.indices[own]],
        [replace(views[place].geometry, grid=grid) for place in own],
        maps.reshape(*maps.shape[:2], -1).max(axis=2).astype(np.float64),
        maps,
    )


if __name__ == "__main__":
    main()
