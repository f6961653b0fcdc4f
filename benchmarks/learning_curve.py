"""What more boxed images would bring: one recipe trained on parts of the train split, out of fold, and a power law.

    python -m benchmarks.learning_curve --recipe demo-on-cpu --data prepared --out curve [--whole CROSSVAL]
    python -m benchmarks.learning_curve --kind patch-head ...

Each part is whole patients, a smaller one a part of a larger one (`train_images`), with the folds of the whole. Scored
are the same images each time, NIH's by default. A finding counts from `--least` boxed images on. Stopped, it goes on
with what is there. Writes learning-curve.json and learning-curve.svg, prints the table of docs/results.md. What lies
beyond the largest part is an extrapolation: nothing was measured there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.finding_draws import AUC, MACRO, MEAN_SENSITIVITY, draws_of, measured, with_interval
from patchclip_core.terminal import progress
from patchclip_core.values.definitions import load_findings
from patchclip_trainer.baseline.fit_and_predict import BaselineSettings, fit_and_predict
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.data.shards import PreparedData, open_prepared
from patchclip_trainer.evaluation.measure_table import Measured
from patchclip_trainer.evaluation.out_of_fold import OUT_OF_FOLD_FILE
from patchclip_trainer.evaluation.plots import SHARE, Axis, Curve, plot
from patchclip_trainer.metrics.learning_curve import PowerLaw
from patchclip_trainer.training.stage2.cross_validation import cross_validate, cross_validation
from patchclip_trainer.training.stage2.samples import collect
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe, read_stage2_recipe


@dataclass(frozen=True, slots=True)
class Told:
    """One row of the table: a measure at each part and its power law, as (value, low, high)."""

    finding: str
    measure: str
    boxed: int
    at: tuple[tuple[float, float, float], ...]
    exponent: tuple[float, float, float]
    extrapolated: tuple[float, float, float]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not there, measure, fit, and say it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", choices=("network", "patch-head"), default="network")
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--whole", type=Path, help="predictions out of fold of the recipe on all images, if there are")
    parser.add_argument("--source", default="NIH ChestX-ray14")
    parser.add_argument("--least", type=int, default=40, help="boxed images that a finding needs")
    parser.add_argument("--extrapolate", type=int, default=16_000, help="boxed images")
    asked = parser.parse_args(arguments)
    data, recipe = open_prepared(asked.data), read_stage2_recipe(asked.recipe, asked.changes)
    parts = [recipe.model_copy(update={"train_images": size}) for size in sorted(asked.sizes)] + [recipe]
    folders = [asked.out / str(part.train_images or "all") for part in parts]
    if asked.whole is not None:
        folders[-1] = asked.whole
    for part, folder in zip(parts, folders, strict=True):
        train(part, data, folder, asked.kind, asked.features)
    boxed = np.array([boxed_images(part, data) for part in parts])
    table = told(
        [measured(folder, asked.data, asked.source) for folder in folders], boxed, asked.least, asked.extrapolate
    )
    asked.out.mkdir(parents=True, exist_ok=True)
    record = {
        "boxed_images": boxed.tolist(),
        "extrapolated_to": asked.extrapolate,
        "rows": [asdict(row) for row in table],
    }
    (asked.out / "learning-curve.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (asked.out / "learning-curve.svg").write_text(drawn(table, boxed, asked.extrapolate), encoding="utf-8")
    sys.stdout.write("\n".join(lines(table, boxed, asked.extrapolate)) + "\n")


def train(recipe: Stage2Recipe, data: PreparedData, folder: Path, kind: str, features: Path | None) -> None:
    """Cross-validate one part, unless it is there."""
    if (folder / OUT_OF_FOLD_FILE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    domains = load_label_domains()
    if kind == "patch-head":
        with progress(folder.name, "views") as advance:
            fit_and_predict(BaselineSettings("patch-head", recipe, features=features), data, domains, folder, advance)
    else:
        cross_validate(
            cross_validation(recipe, data, domains=domains, features=features), folder, progress, resume=True
        )


def boxed_images(recipe: Stage2Recipe, data: PreparedData) -> float:
    """Return how many training images of a fold have a box of any finding, the mean over folds."""
    samples = collect(data, recipe.whole, load_findings(), load_label_domains())
    boxed = sum(any(label.boxes for label in samples.labels[int(index)]) for index in samples.train)
    return boxed * (recipe.folds - 1) / recipe.folds


def told(systems: Sequence[Measured], boxed: NDArray[np.floating], least: int, amount: int) -> list[Told]:
    """Return a row for each finding with enough boxes and each measure, then their means."""
    draws, truths, result = draws_of(systems, least), systems[0].truths, []
    for name in (MEAN_SENSITIVITY, AUC):
        by_finding = {key: np.stack(of_parts, axis=1) for key, of_parts in draws[name].items()}
        for key, values in [*by_finding.items(), (MACRO, np.mean(list(by_finding.values()), axis=0))]:
            law = PowerLaw.of(boxed, values)
            at = tuple(with_interval(values[:, part]) for part in range(len(systems)))
            count = 0 if key == MACRO else int(truths[key].boxed[truths[key].placed].sum())
            result.append(Told(key, name, count, at, law.falls_by, law.at(amount)))
    return result


def lines(table: Sequence[Told], boxed: NDArray[np.floating], amount: int) -> list[str]:
    """Return the table in Markdown; the last column is an extrapolation."""
    measured_at = [f"{each:.0f} boxed" for each in boxed]
    heads = ["finding (boxed)", "measure", *measured_at, "exponent", f"at {amount:,}, extrapolated"]
    said = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in table:
        name = row.finding.replace("_", " ") + (f" ({row.boxed})" if row.boxed else "")
        cells = [_said(estimate) for estimate in (*row.at, row.exponent, row.extrapolated)]
        said.append("| " + " | ".join([name, row.measure, *cells]) + " |")
    return said


def _said(estimate: tuple[float, float, float]) -> str:
    value, low, high = (f"{number:.3f}".replace("0.", ".", 1) for number in estimate)
    return f"{value} [{low}, {high}]"


def drawn(table: Sequence[Told], boxed: NDArray[np.floating], amount: int) -> str:
    """Return the curves as SVG: what was measured solid, the law beyond it dashed."""
    curves = []
    for row in table:
        if row.measure != MEAN_SENSITIVITY:
            continue
        name = row.finding.replace("_", " ")
        curves.append(Curve(name, boxed, np.array([value for value, *_ in row.at]), points=True, group=row.finding))
        beyond = np.geomspace(boxed[-1], amount, 30)
        missed = (1 - row.extrapolated[0]) * (beyond / amount) ** -row.exponent[0]
        curves.append(Curve(f"{name}, extrapolated", beyond, 1 - missed, dashed=True, group=row.finding))
    ticks = tuple(float(tick) for tick in (50, 100, 200, 500, 1000, 2000, 5000, amount) if tick >= boxed[0])
    across = Axis("boxed training images", float(boxed[0]), float(amount), ticks, logarithmic=True)
    return plot("Learning curve", across, Axis(MEAN_SENSITIVITY, 0.0, 1.0, SHARE), curves)


if __name__ == "__main__":
    main()
