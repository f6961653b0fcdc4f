"""How much of what radiologists boxed lies in the regions that LRCLR selects.

    python -m benchmarks.lrclr --crossval DIR

Out of fold, of a cross-validation with the objective `lrclr`. Prints Markdown: for each finding, the part of the boxed
patches that is among the selected ones, the part of the lesions' images in which any of it is, and what a selection of
as many patches would cover by chance, and by the mean box of the other folds' images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.cross_validated import cross_validated
from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.methods.lrclr import Lrclr
from patchclip_trainer.evaluation.out_of_fold import fold_folder
from patchclip_trainer.training.stage2.stage import Stage2


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    given = cross_validated(__doc__, arguments)
    folder, folds, data, recipe, parser = given.folder, given.folds, given.data, given.recipe, given.parser
    with TemporaryDirectory() as tokenizer:
        stage = Stage2(recipe, data, Path(tokenizer))
    used = np.sort(np.concatenate([stage.samples.train, stage.samples.held_out]))
    fold_of = np.array([folds.fold_of[data.rows[int(index)].image] for index in used])
    targets = stage.batch(used, 0).targets
    boxed = (targets.patches * targets.patches_known * targets.image[..., None]).numpy()  # (N, F, P)
    found: dict[str, list[tuple[float, float, float]]] = {item.key: [] for item in stage.samples.findings}
    share = 0.0
    for fold in range(folds.folds):
        model = load(fold_folder(folder, fold) / "checkpoint")
        if not (isinstance(model, NetworkAnalyzer) and isinstance(model.network, Lrclr)):
            parser.error(f"{folder} is not of the objective lrclr")
        if model.network.readers > 1:
            parser.error(f"{folder} has {model.network.readers} readers, which select each for itself; train with one")
        share = model.network.settings.selected / boxed.shape[-1]
        mean = boxed[fold_of != fold].sum(axis=0)  # (F, P)
        for place in np.flatnonzero(fold_of == fold):
            if not boxed[place].any():
                continue
            with torch.inference_mode():
                gates = model.network.select(stage.batch(used[place : place + 1], 0).seen).gates[0].numpy() > 0.5
            for number, item in enumerate(stage.samples.findings):
                covered = boxed[place, number]
                if covered.sum() == 0:
                    continue
                usual = mean[number].argsort()[::-1][: gates.sum()]
                found[item.key].append(
                    (
                        float(covered[gates].sum() / covered.sum()),
                        float(covered[gates].any()),
                        float(covered[usual].sum() / covered.sum()),
                    )
                )
    print("| finding | images | boxed area selected | any of it selected | by the mean box | by chance |")
    print("|---|---|---|---|---|---|")
    for key, values in found.items():
        if values:
            area, touched, usual_area = np.mean(values, axis=0)
            print(f"| {key} | {len(values)} | {area:.3f} | {touched:.3f} | {usual_area:.3f} | {share:.3f} |")


if __name__ == "__main__":
    main()
