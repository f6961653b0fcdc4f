"""Does a downscaler that has learned from reports place findings better than a fixed resize? A controlled task.

    python -m benchmarks.two_stages [--seeds 5] [--pairs 800] [--boxed 64] [--judged 160]

Images four times as large as what the tower sees (96 px, 24 px), of noise and soft clouds; in some a patch (24 to 32
px) of fine stripes: horizontal ones are told as a pneumothorax, vertical ones as a nodule. The clouds tell nothing. The
stripes have the mean of their surroundings and a period of 3 to 5 px, so that a resize by four leaves little of them:
the task is made so that a downscaler can matter, and says nothing of how often it does in radiographs. Sentences say
what is there, not where.

Each seed draws data, weights and order again; its systems share them. All are trained for all epochs, nothing is chosen
by the images that are judged, and the towers are the same.

| system | stage 1 on `--pairs` images with sentences | stage 2 on `--boxed` images with boxes |
|---|---|---|
| two stages, learned | learned downscaler | goes on |
| two stages, fixed | area resize | goes on |
| stage 2 alone, learned | | learned downscaler |
| stage 2 alone, fixed | | area resize |

Stage 1 must have learned, or the question is not asked: of the judged images, the share whose own sentence is the
nearest of the three is printed, too. How long stage 1 is trained was chosen by this share alone.

Printed as Markdown: mean sensitivity of FROC and the pointing game over `--judged` other images, and differences
paired by seed with t intervals of 95 %.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from scipy import stats

from patchclip_core.values.results import Box
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.data.manifest import BoxRow, ImageRow, SplitName
from patchclip_trainer.data.prepare import prepare_settings
from patchclip_trainer.data.shards import Decoded, PreparedData, ShardWriter, SourceSize, open_prepared
from patchclip_trainer.evaluation.truth import truth_of
from patchclip_trainer.metrics.pointing import points_at
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage1.stage import Stage1
from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe
from patchclip_trainer.training.stage2.held_out_loss import mean_froc
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe

SIDE, FACTOR = 96, 4
FINDINGS: Final = {"pneumothorax": "Pneumothorax", "nodule_mass": "Nodule"}
_SENTENCES: Final = {
    "pneumothorax": "There is a pneumothorax.",
    "nodule_mass": "There is a lung nodule.",
    "": "The lungs are clear. There is no pneumothorax and no lung nodule.",
}
LEARNED: Final = {"kind": "learned", "factor": FACTOR, "channels": 1, "hidden": 8}
FIXED: Final = {"kind": "area", "factor": FACTOR}
TWO_LEARNED, TWO_FIXED = "two stages, learned", "two stages, fixed"
ONE_LEARNED, ONE_FIXED = "stage 2 alone, learned", "stage 2 alone, fixed"
DIFFERENCES: Final = (
    (TWO_LEARNED, ONE_FIXED, "the two stages against stage 2 alone with a fixed resize"),
    (TWO_LEARNED, TWO_FIXED, "what the learned downscaler gives, both after stage 1"),
    (TWO_LEARNED, ONE_LEARNED, "what stage 1 gives to the learned downscaler"),
    (ONE_LEARNED, ONE_FIXED, "what a learned downscaler gives without stage 1"),
)
MEASURES: Final = ("FROC", "pointing")


def draw(chance: np.random.Generator) -> tuple[NDArray[np.uint8], str, Box | None]:
    """Return an image, the finding in it (empty: none) and its box."""
    image = chance.normal(110, 10, (SIDE, SIDE))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for _ in range(3):
        x, y, reach, height = chance.uniform((0, 0, 6, 10), (SIDE, SIDE, 20, 40))
        image += height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * reach**2))
    finding = str(chance.choice(["", *FINDINGS], p=[0.4, 0.3, 0.3]))
    if not finding:
        return _grey(image), "", None
    size, period = int(chance.integers(24, 33)), float(chance.uniform(3, 5))
    x, y = (int(place) for place in chance.integers(0, SIDE - size, 2))
    wave = chance.uniform(30, 50) * np.sin(2 * np.pi * (np.arange(size) / period + chance.random()))
    stripes = np.broadcast_to(wave[:, None] if finding == "pneumothorax" else wave, (size, size))
    image[y : y + size, x : x + size] += stripes
    return _grey(image), finding, Box(x, y, size, size)


def _grey(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    grey: NDArray[np.uint8] = np.rint(image.clip(0, 255)).astype(np.uint8)
    return grey


def write_images(folder: Path, seed: tuple[int, int], counts: dict[SplitName, int]) -> PreparedData:
    """Write images of one patient each. counts: by part of the data."""
    chance, settings = np.random.default_rng(seed), prepare_settings(SIDE)
    decoded, rows, boxes = [], [], []
    for split in (split for split, count in counts.items() for _ in range(count)):
        pixels, finding, box = draw(chance)
        number = len(rows)
        name = f"images/{number}.png"
        seen = (FINDINGS[finding],) if finding else ("no abnormality boxed",)
        if box is not None:
            boxes.append(BoxRow(name, FINDINGS[finding], box, source="ChestX-Det"))
        decoded.append(Decoded(number, SourceSize(SIDE, SIDE), pixels))
        rows.append(ImageRow(name, f"patient {number}", split, chestxdet=seen, text=_SENTENCES[finding]))
    writer = ShardWriter(folder, settings, "stripes")
    writer.append(decoded, (), len(decoded))
    writer.finish(rows, boxes, settings, {})
    return open_prepared(folder)


def model_with(downscaler: dict[str, Any], folder: Path) -> str:
    """Write the recipe of a network: the towers are the same whatever the downscaler."""
    content = {
        "input_px": SIDE,
        "embedding": 32,
        "image_options": {"channels": 1, "widths": [24, 48], "strides": [2, 2], "layers": 1},
        "text_options": {"width": 32, "layers": 1},
        "sparse": {"hidden": 48, "patches": 4, "layers": 1},
        "downscaler": downscaler,
    }
    path = folder / f"{downscaler['kind']}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def common(seed: int, epochs: int, batch: int) -> dict[str, Any]:
    """Return what the recipes of both stages have in common."""
    return {
        "name": "stripes",
        "seed": seed,
        "epochs": epochs,
        "batch": batch,
        "held_out_fold": None,
        "patience": None,
        "ema": 0.95,
        "device": "cpu",
        "augment": {"shift": 0.1, "scale": 0.0, "brightness": 0.0, "contrast": 0.0},
        "optimizer": {"rate_tower": 1e-3, "rate_new": 1e-3, "weight_decay": 0.05},
    }


def first_stage(model: str, data: PreparedData, seed: int, epochs: int, folder: Path) -> str:
    """Train stage 1; return its checkpoint."""
    recipe = Stage1Recipe.model_validate(common(seed, epochs, 64) | {"model": model, "sentences": None})
    outcome = Run(Stage1(recipe, data, folder / "tokenizer")).run(folder / "run")
    assert outcome.checkpoint is not None
    return str(outcome.checkpoint)


def own_sentence(checkpoint: str, data: PreparedData, folder: Path) -> float:
    """Return the share of images of the part val whose own sentence is the nearest of all kinds' sentences."""
    recipe = Stage2Recipe.model_validate(common(0, 1, 32) | {"start": checkpoint, "findings": list(FINDINGS)})
    stage = Stage2(recipe, data, folder)
    network, sentences, judged = stage.network.eval(), list(_SENTENCES.values()), data.split("val")
    with torch.inference_mode():
        images = [network.encode_image(stage.inputs.read(part, 0)[0]) for part in np.array_split(judged, 8)]
        nearest = (torch.cat(images) @ network.encode_text(stage.start.tokenizer(sentences)).T).argmax(dim=1)
    own = [sentences.index(data.rows[int(index)].text) for index in judged]
    return float(np.mean(nearest.numpy() == own))


def placed(start: dict[str, str], data: PreparedData, seed: int, epochs: int, folder: Path) -> dict[str, float]:
    """Train stage 2, and measure how it places findings in the images of the part val."""
    content = common(seed, epochs, 16) | start | {"findings": list(FINDINGS)}
    stage = Stage2(Stage2Recipe.model_validate(content), data, folder / "tokenizer")
    run = Run(stage)
    run.run(folder / "run")
    judged, domains = data.split("val"), load_label_domains()
    network = run.mean.eval()
    with torch.no_grad():
        predictions = stage.predict(network, stage.objective.embed(network), judged)
    rows = [data.rows[int(index)] for index in judged]
    boxes = {row.image: data.boxes_of(int(index)) for row, index in zip(rows, judged, strict=True)}
    truths = {key: truth_of(rows, boxes, key, domains) for key in FINDINGS}
    hits = [
        points_at(predictions.of(key)[1][place], truths[key].lesions[place], SIDE, SIDE)
        for key in FINDINGS
        for place in np.flatnonzero(truths[key].boxed)
    ]
    return {"FROC": mean_froc(predictions, truths), "pointing": float(np.mean(hits))}


def one_seed(seed: int, given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Train and measure all systems."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = write_images(folder / "pairs", (seed, 1), {"train": given.pairs})
        boxed = write_images(folder / "boxed", (seed, 2), {"train": given.boxed, "val": given.judged})
        for kind, downscaler, two, one in (
            ("learned", LEARNED, TWO_LEARNED, ONE_LEARNED),
            ("fixed", FIXED, TWO_FIXED, ONE_FIXED),
        ):
            model = model_with(downscaler, folder)
            checkpoint = first_stage(model, pairs, seed, given.epochs[0], folder / f"{kind}-1")
            found[kind] = {"own sentence": own_sentence(checkpoint, boxed, folder / f"{kind}-told")}
            print(f"seed {seed}, stage 1, {kind}: {found[kind]}", file=sys.stderr, flush=True)
            for system, start in ((two, {"start": checkpoint}), (one, {"model": model})):
                begun_s = time.process_time()
                found[system] = placed(start, boxed, seed, given.epochs[1], folder / system.replace(" ", "-"))
                told = ", ".join(f"{measure} {value:.3f}" for measure, value in found[system].items())
                print(
                    f"seed {seed}, {system}: {told} ({time.process_time() - begun_s:.0f} s)",
                    file=sys.stderr,
                    flush=True,
                )
    return found


def interval(differences: list[float]) -> str:
    """Write the mean of differences with its t interval."""
    mean, count = statistics.fmean(differences), len(differences)
    if count < 2:
        return f"{mean:+.3f} (no interval of one seed)"
    reach = float(stats.t.ppf(0.975, count - 1)) * statistics.stdev(differences) / count**0.5
    return f"{mean:+.3f} ({mean - reach:+.3f} to {mean + reach:+.3f})"


def report(found: list[dict[str, dict[str, float]]]) -> str:
    """Return what was found, as Markdown."""
    lines = [f"| system | {' | '.join(MEASURES)} |", "|---|---|---|"]
    for system in (TWO_LEARNED, TWO_FIXED, ONE_LEARNED, ONE_FIXED):
        cells = []
        for measure in MEASURES:
            values = [of_seed[system][measure] for of_seed in found]
            cells.append(f"{statistics.fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        lines.append(f"| {system} | {' | '.join(cells)} |")
    lines += ["", "| after stage 1, own sentence the nearest of three | mean | each seed |", "|---|---|---|"]
    for kind in ("learned", "fixed"):
        shares = [of_seed[kind]["own sentence"] for of_seed in found]
        lines.append(f"| {kind} | {statistics.fmean(shares):.2f} | {', '.join(f'{share:.2f}' for share in shares)} |")
    lines += ["", f"| difference, paired over {len(found)} seeds | {' | '.join(MEASURES)} |", "|---|---|---|"]
    for first, second, what in DIFFERENCES:
        cells = [interval([each[first][measure] - each[second][measure] for each in found]) for measure in MEASURES]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=800)
    parser.add_argument("--boxed", type=int, default=64)
    parser.add_argument("--judged", type=int, default=160)
    parser.add_argument("--epochs", type=int, nargs=2, default=[60, 80], metavar=("STAGE1", "STAGE2"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for seed in range(given.seeds):
        found.append(one_seed(seed, given))
        print(f"after {seed + 1} seeds\n\n{report(found)}", file=sys.stderr, flush=True)
    print(
        f"{given.seeds} seeds, {given.pairs} pairs for stage 1, {given.boxed} boxed images for stage 2, {given.judged} "
        f"judged; {given.epochs[0]} and {given.epochs[1]} epochs\n\n{report(found)}"
    )


if __name__ == "__main__":
    main()
