"""What training costs beside its network, as ratios of two sides measured in one run, in turns.

    python -m benchmarks.trainer [--threads 1] [--repeats 9] [--batch 16] [--device cpu]

Images and boxes are drawn here; time does not depend on what they show. Prints Markdown.

- a step of stage 2 with a shipped recipe against forward and backward of its bare image tower (downscaler included) on
  the same images. The step: new views of the images, targets, towers, text side, heads, losses, backward,
  clipping, optimizer, running mean. The bare tower: images ready in memory, forward, backward from the sum of its
  tokens, in training mode. Goal: 0.85 of its images/s.
- seconds are the process's own with one thread on a processor, where nothing waits: what else a busy machine does is
  not counted; else they are the clock's
- where the tower begins with a fixed trunk, both once more from features that were kept, as a run takes them from its
  second epoch over the same views on
- loading (reading or viewing the images, making the targets) as a part of the step, by torch.profiler
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.core import in_turns
from patchclip_core.values.results import Box
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.data.manifest import BoxRow, ImageRow
from patchclip_trainer.data.prepare import prepare_settings
from patchclip_trainer.data.shards import Decoded, PreparedData, ShardWriter, SourceSize, open_prepared
from patchclip_trainer.training.loop.order import batches_of
from patchclip_trainer.training.loop.training_run import Run
from patchclip_trainer.training.stage2.objective import Batch
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import read_stage2_recipe

RECIPES = Path(__file__).parents[1] / "conf" / "recipes"
LOADING, STEP = "loading", "a step"
_PROFILED_STEPS = 4


class WatchedStage2(Stage2):
    """Stage 2 whose loading the profiler sees."""

    def batch(self, indices: NDArray[np.int64], view: int) -> Batch:
        """Load, under a name."""
        with record_function(LOADING):
            return super().batch(indices, view)


def write_data(folder: Path, side: int, count: int) -> PreparedData:
    """Write noise of an image's size: every second image has a box of each finding that ChestX-Det looked for."""
    domains, chance = load_label_domains(), np.random.default_rng(0)
    names = [domains.findings[key][0] for key in domains.reads["ChestX-Det"].looked_for]
    decoded, rows, boxes = [], [], []
    for number in range(count):
        name = f"images/{number}.png"
        found = names if number % 2 == 0 else []
        pixels = chance.integers(0, 255, (side, side), dtype=np.uint8)
        decoded.append(Decoded(number, SourceSize(side, side), pixels))
        boxes += [BoxRow(name, one, Box(40, 60, side / 3, side / 4), source="ChestX-Det") for one in found]
        read = tuple(found) or ("no abnormality boxed",)
        rows.append(ImageRow(name, f"patient {number}", "train", licence_class="open", chestxdet=read))
    settings = prepare_settings(side)
    writer = ShardWriter(folder, settings, "noise")
    writer.append(decoded, (), count)
    writer.finish(rows, boxes, settings, {})
    return open_prepared(folder)


def measure(name: str, data: PreparedData, folder: Path, changes: Sequence[str], sides: str, repeats: int) -> None:
    """Print a row for a recipe."""
    recipe = read_stage2_recipe(RECIPES / f"{name}.yaml", changes)
    stage = WatchedStage2(recipe, data, folder, features=folder / "features")
    stage.fill(lambda _done, _total: None)
    run = Run(stage)
    batch = stage.batch(batches_of(stage.items, recipe.batch, None)[0], 1)
    tower = [part for part in (stage.network.downscaler, stage.network.image_tower) if part is not None]
    weights = [weight for part in tower for weight in part.parameters() if weight.requires_grad]
    synchronise: Callable[[], object] = torch.cuda.synchronize if stage.device.type == "cuda" else lambda: None

    def step() -> None:
        run.take_step(1, 0)
        synchronise()

    def bare() -> None:
        stage.network.train()
        tokens = stage.network.look(batch.seen)
        torch.autograd.grad(tokens.patches.sum() + tokens.pooled.sum(), weights, allow_unused=True)
        synchronise()

    alone = stage.device.type == "cpu" and torch.get_num_threads() == 1
    taken = in_turns(repeats, step, bare, clock=time.process_time if alone else time.perf_counter)
    share = loading_share(run)
    rates = [[recipe.batch / seconds for seconds in side] for side in taken]
    best, middle = (max(rates[0]) / max(rates[1]), statistics.median(rates[0]) / statistics.median(rates[1]))
    first, second = (f"{max(side):.1f} images/s ({statistics.median(side):.1f})" for side in rates)
    print(f"| {name}, {sides} | {first} | {second} | {best:.2f} ({middle:.2f}) | {100 * share:.1f} % |", flush=True)


def loading_share(run: Run) -> float:
    """Return the part of a step's time that passes while data are loaded."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(_PROFILED_STEPS):
            with record_function(STEP):
                run.take_step(1, 0)
    total = {event.key: event.cpu_time_total for event in profiler.key_averages()}
    return float(total[LOADING] / total[STEP])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--recipe", choices=("compact-448", "demo-on-cpu"), help="this one alone")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(
        f"torch {torch.__version__}, {given.threads} threads, {given.device}, batch {given.batch}; best run (median)\n"
    )
    print("| what | a step of stage 2 | bare tower | ratio, goal >= 0.85 | loading |\n|---|---|---|---|---|")
    same = [f"batch={given.batch}", f"device={given.device}", "held_out_fold=null", "patience=null"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_data(folder / "prepared", 448, 2 * given.batch)
        for recipe, changes, sides in (
            ("compact-448", ["augment.views=null"], "from pixels"),
            ("demo-on-cpu", ["augment.views=null"], "from pixels"),
            ("demo-on-cpu", ["augment.views=2", "epochs=2"], "from kept features"),
        ):
            if given.recipe in {None, recipe}:
                measure(recipe, data, folder, [*same, *changes], sides, given.repeats)


if __name__ == "__main__":
    main()
