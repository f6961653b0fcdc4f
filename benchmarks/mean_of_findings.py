"""Systems compared on the findings that have boxes and on their mean, paired, as tables of docs/trials.md do it.

    python -m benchmarks.mean_of_findings --predictions heads/new --against heads/old [--against ...]

Each folder holds predictions out of fold of the same images. Prints Markdown: each measure of the first system, and
minus each other one, with 95 % intervals over 1,000 draws of patients, the same for all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.finding_draws import MACRO, MEASURES, Draws, draws_of, measured, with_interval
from patchclip_core.statistics.bootstrap import Numbers


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and say it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--against", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--data", type=Path, help="default: the prepared data that the predictions name")
    parser.add_argument("--source", default="NIH ChestX-ray14")
    parser.add_argument("--least", type=int, default=40, help="boxed images that a finding needs")
    asked = parser.parse_args(arguments)
    folders = [asked.predictions, *asked.against]
    draws = draws_of([measured(folder, asked.data, asked.source) for folder in folders], asked.least)
    sys.stdout.write("\n".join(lines(draws, [folder.resolve().name for folder in folders])) + "\n")


def lines(draws: Draws, names: Sequence[str]) -> list[str]:
    """Return the table: a row a finding, then their mean."""
    heads = ["finding"]
    for measure in MEASURES:
        heads += [f"{measure}: {names[0]}", *(f"minus {name}" for name in names[1:])]
    said = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for key in [*draws[MEASURES[0]], MACRO]:
        cells = [key.replace("_", " ")]
        for measure in MEASURES:
            first, *others = _of(draws, measure, key)
            cells += [_said(first, ""), *(_said(first - other, "+") for other in others)]
        said.append("| " + " | ".join(cells) + " |")
    return said


def _of(draws: Draws, measure: str, key: str) -> list[Numbers]:
    """Return each system's draws of a finding, or of the mean of all."""
    if key != MACRO:
        return draws[measure][key]
    return [np.mean(of_system, axis=0) for of_system in zip(*draws[measure].values(), strict=True)]


def _said(values: Numbers, sign: str) -> str:
    value, low, high = (f"{number:{sign}.3f}".replace("0.", ".", 1) for number in with_interval(values))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()
