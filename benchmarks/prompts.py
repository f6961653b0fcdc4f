"""What the negative sentences are good for, and whether a negation is understood that was not trained.

    python -m benchmarks.prompts --crossval DIR

Out of fold, of a cross-validation of a recipe with a fixed trunk. Prints Markdown:

- AUC of each finding against its readers and its text-mined labels when it is scored by its positive and negative
  sentences, by the positive ones alone, and by the negative ones alone (the less alike, the more likely);
- sentences that no training saw, each as an affirmation and as a negation: for how many pairs the affirmation lies
  nearer to the finding's positive sentences than its negation does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.cross_validated import cross_validated
from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.models.methods.patchclip import PatchClip
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.evaluation.out_of_fold import fold_folder
from patchclip_trainer.evaluation.truth import truth_of
from patchclip_trainer.training.stage2.stage import Stage2

UNSEEN = {
    "opacity": (
        ("patchy consolidation in the right lung", "patchy consolidation is not seen in the right lung"),
        ("hazy opacification of the left lung", "without hazy opacification of the left lung"),
        ("there is airspace disease", "there is no airspace disease"),
    ),
    "pleural_effusion": (
        ("small effusion on the left", "no effusion on the left"),
        ("fluid in the pleural space", "the pleural space is free of fluid"),
        ("bilateral pleural effusions are present", "pleural effusions are absent"),
    ),
    "cardiomegaly": (
        ("the cardiac silhouette is enlarged", "the cardiac silhouette is not enlarged"),
        ("marked cardiac enlargement", "without cardiac enlargement"),
        ("the heart is bigger than normal", "the heart is of normal size"),
    ),
    "nodule_mass": (
        ("a pulmonary nodule is seen", "a pulmonary nodule is not seen"),
        ("suspicious mass in the upper lobe", "no suspicious mass"),
        ("several nodules", "without nodules"),
    ),
}
"""Affirmations and negations in other words than those of `conf/findings.yaml`."""

WAYS = ("both", "positive alone", "negative alone")


def _texts(pairs: torch.Tensor, way: str) -> torch.Tensor:
    """Return texts (F, 2, D) whose difference is the direction that a way of asking scores by."""
    nothing = torch.zeros_like(pairs[:, :1])
    if way == "both":
        return pairs
    side = pairs[:, :1] if way == "positive alone" else pairs[:, 1:]
    return torch.cat([side, nothing] if way == "positive alone" else [nothing, side], dim=1)


def _told_apart(model: NetworkAnalyzer, network: PatchClip) -> dict[str, list[bool]]:
    told: dict[str, list[bool]] = {}
    for place, key in enumerate(model.finding_keys):
        for pair in UNSEEN.get(key, ()):
            with torch.inference_mode():
                said = network.encode_text(model.tokenizer(list(pair)))  # (2, D)
                direction = model.texts[0][place, 0] - model.texts[0][place, 1]
            told.setdefault(key, []).append(bool((said[0] - said[1]) @ direction > 0))
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    given = cross_validated(__doc__, arguments)
    folder, folds, data, recipe, parser = given.folder, given.folds, given.data, given.recipe, given.parser
    domains = load_label_domains()
    places = {row.image: place for place, row in enumerate(data.rows)}
    scores: dict[str, dict[str, dict[str, float]]] = {way: {} for way in WAYS}
    told: dict[str, list[bool]] = {}
    for fold in range(folds.folds):
        model = load(fold_folder(folder, fold) / "checkpoint")
        if not (isinstance(model, NetworkAnalyzer) and isinstance(model.network, PatchClip)):
            parser.error(f"{folder} is of another method than Patch-CLIP")
        network, model = model.network, model.unabridged()
        for key, right in _told_apart(model, network).items():
            told.setdefault(key, []).extend(right)
        indices = np.array([places[image] for image, of in folds.fold_of.items() if of == fold], dtype=np.int64)
        with TemporaryDirectory() as tokenizer:
            stage = Stage2(recipe.model_copy(update={"left_out_fold": fold}), data, Path(tokenizer))
        for way in WAYS:
            found = stage.predict(model.network, (_texts(model.texts[0], way),), indices)
            for place, row in enumerate(found.rows):
                values = dict(zip(found.keys, found.probabilities[place], strict=True))
                scores[way][row.image] = values
    rows = [row for row in data.rows if row.image in scores["both"]]
    boxes = {row.image: data.boxes_of(places[row.image]) for row in rows}
    print("| finding | labels | images (positive) | " + " | ".join(WAYS) + " |\n|---|---|---|---|---|---|")
    for key in next(iter(scores["both"].values())):
        truth = truth_of(rows, boxes, key, domains)
        for name, known, positive in (
            ("readers", truth.read, truth.positive),
            ("text-mined", truth.text_known, truth.text_positive),
        ):
            labels = positive[known]
            if not labels.any() or labels.all():
                continue
            values = {way: np.array([scores[way][row.image][key] for row in rows])[known] for way in WAYS}
            shown = " | ".join(f"{roc_auc_score(labels, values[way]):.3f}" for way in WAYS)
            print(f"| {key} | {name} | {len(labels)} ({int(labels.sum())}) | {shown} |")
    print("\n| finding | unseen pairs told apart, over folds |\n|---|---|")
    for key, right in told.items():
        print(f"| {key} | {sum(right)} of {len(right)} |")


if __name__ == "__main__":
    main()
