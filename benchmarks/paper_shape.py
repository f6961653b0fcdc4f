"""Both stages at the paper's shape: 900 px, ViT-L/14, from replicas of open images; and what a GPU must prove.

    make paper-shape [DATA=FOLDER]
    python -m benchmarks.paper_shape [--images FOLDER] [--out out/paper-shape] [--depth 2] [--device auto] ...

Weights are random in ViT-L/14's shape unless `--weights pretrained` finds CLIP's: what is measured is rate and memory,
and that all of it runs; FROC says nothing of the method then. On a GPU the towers have all layers and 1,024 images a
stage; on a processor two layers and 24 images. Written to OUT: data, runs, `paper-shape.md`.

Stage 1 and stage 2 run with the recipes `stage1-paper.yaml` and `paper.yaml`, and once more with the default objective.
The maps of both are held against Grad-CAM and attention rollout of the same checkpoints, on replicas of other images.
Checks print passed, failed, or not run: resume bit for bit; and on a GPU equality with the processor in float32 (1e-4)
and bfloat16 (2e-2), `torch.compile`, FSDP over NCCL with one process, and analysis that runs out of memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.paper_checks import GPU_CHECKS, resumes_bit_for_bit
from benchmarks.replicas import SIDE, build
from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.checkpoints.loading import choose_device
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.values.definitions import conf_dir
from patchclip_core.values.results import Radiograph
from patchclip_trainer.data.label_domains import load_label_domains
from patchclip_trainer.data.manifest import ImageRow
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.evaluation.baselines import saliency_maps
from patchclip_trainer.evaluation.truth import truth_of
from patchclip_trainer.training.loop.peak_memory import begin_peak, peak_bytes
from patchclip_trainer.training.loop.plan import PlanFor, plan_run
from patchclip_trainer.training.loop.training_run import Run, Stage
from patchclip_trainer.training.run_recipe import read_recipe_of
from patchclip_trainer.training.stage1.stage import Stage1
from patchclip_trainer.training.stage1.stage1_recipe import Stage1Recipe
from patchclip_trainer.training.stage2.held_out_loss import mean_froc
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import read_stage2_recipe

RECIPES = conf_dir() / "recipes"
OBJECTIVES = {"paper": "paper", "default": "patchclip"}


@dataclass(frozen=True, slots=True)
class Ran:
    """A run: images a second of its best step, peak memory, losses of its first and last step, its plan, its folder."""

    images_per_s: float
    peak_mib: float
    losses: tuple[float, float]
    planned: dict[str, Any]
    folder: Path


def model_file(folder: Path, depth: int | None, weights: str) -> Path:
    """Write the paper's model in this depth; None: all layers."""
    content = yaml.safe_load((conf_dir() / "models" / "paper.yaml").read_text(encoding="utf-8"))
    layers = {} if depth is None else {"num_hidden_layers": depth}
    content |= {"weights": weights, "image_options": layers, "text_options": layers}
    path = folder / "paper-shape.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def train(stage: Stage, folder: Path) -> Ran:
    """Plan, train, and read the log."""
    run = Run(stage)
    planned = plan_run(run, folder / "scratch", PlanFor(images=len(stage.items)))
    begin_peak(stage.device)
    outcome = run.run(folder / "run")
    assert outcome.checkpoint is not None
    log = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in log if "step_s" in line]
    peak = peak_bytes(stage.device)
    rate = len(stage.items) / run.epoch_steps / min(line["step_s"] for line in steps)
    return Ran(rate, peak / 2**20, (steps[0]["loss"], steps[-1]["loss"]), planned, folder / "run")


def placed(stage: Stage2, ran: Ran, data: PreparedData) -> dict[str, float]:
    """Return the mean FROC of the patch map and of saliency, on the images of the part val."""
    analyzer = load(ran.folder / "checkpoint", str(stage.device))
    assert isinstance(analyzer, NetworkAnalyzer)
    judged, domains = data.split("val"), load_label_domains()
    rows = [data.rows[int(index)] for index in judged]
    boxes = {row.image: data.boxes_of(int(index)) for row, index in zip(rows, judged, strict=True)}
    pixels = {row.image: data.images[index].astype(np.float32) / 255 for row, index in zip(rows, judged, strict=True)}
    network = analyzer.network
    with torch.no_grad():
        predictions = stage.predict(network, stage.objective.embed(network), judged)
    truths = {key: truth_of(rows, boxes, key, domains) for key in predictions.keys}
    found = {"patch map": mean_froc(predictions, truths)}

    def radiograph_of(row: ImageRow) -> Radiograph:
        return Radiograph(pixels[row.image])

    wanted = {key: truths[key].placed for key in predictions.keys}
    for maps in saliency_maps("", analyzer, radiograph_of, rows, wanted, lambda _done: None):
        if maps.grids:
            stacked = np.stack([maps.grids[key] for key in predictions.keys], axis=1)
            found[maps.name.replace("_", " ")] = mean_froc(replace(predictions, grids=stacked), truths)
        else:
            found[maps.name.replace("_", " ")] = float("nan")
    return found


def checked(checks: dict[str, Callable[[], str]], on_gpu: bool) -> list[str]:
    """Run checks; each says what it saw, or raises."""
    lines = []
    for name, check in checks.items():
        if name in GPU_CHECKS and not on_gpu:
            lines.append(f"| {name} | not run because no GPU | |")
            continue
        try:
            lines.append(f"| {name} | passed | {check()} |")
        except Exception as error:  # noqa: BLE001 - a check that fails must not keep the others from running
            lines.append(f"| {name} | failed | {type(error).__name__}: {str(error).splitlines()[0][:200]} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    """Build, train, measure, check, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="open radiographs; default: the node's samples")
    parser.add_argument("--out", type=Path, default=Path("out/paper-shape"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--weights", choices=("random", "pretrained"), default="random")
    for name in ("depth", "pairs", "boxed", "judged", "epochs", "batch"):
        parser.add_argument(f"--{name}", type=int)
    given = parser.parse_args()
    begun_s, device = time.perf_counter(), choose_device(given.device)
    on_gpu = device.type == "cuda"
    usual = (
        {"depth": None, "pairs": 1024, "boxed": 1024, "judged": 128, "epochs": 2, "batch": 64}
        if on_gpu
        else {"depth": 2, "pairs": 24, "boxed": 24, "judged": 8, "epochs": 2, "batch": 8}
    )
    sizes: dict[str, Any] = {key: getattr(given, key) or value for key, value in usual.items()}
    given.out.mkdir(parents=True, exist_ok=True)
    pairs, boxed, bases = build(given.out, given.images, sizes["pairs"], sizes["boxed"], sizes["judged"])
    model = model_file(given.out, sizes["depth"], given.weights)
    same = [f"device={device.type}", f"epochs={sizes['epochs']}", f"batch={sizes['batch']}", "held_out_fold=null"]
    what = "all layers" if sizes["depth"] is None else f"{sizes['depth']} layers"
    name = torch.cuda.get_device_name() if on_gpu else f"one processor, {torch.get_num_threads()} threads"
    lines = [
        f"{name}; torch {torch.__version__}; {SIDE} px, ViT-L/14's shape with {what}, {given.weights} weights; "
        f"{sizes['pairs']} pairs, {sizes['boxed']} boxed and {sizes['judged']} judged replicas of {bases} images; "
        f"{sizes['epochs']} epochs, batches of {sizes['batch']}",
        "",
        "| run | images/s (best step) | planned | peak memory, MiB | planned | loss, first and last step |",
        "|---|---|---|---|---|---|",
    ]
    maps = ["", "| mean sensitivity of FROC | patch map | attention rollout | Grad-CAM |", "|---|---|---|---|"]
    for title, objective in OBJECTIVES.items():
        folder = given.out / title
        recipe1 = read_recipe_of(
            Stage1Recipe, RECIPES / "stage1-paper.yaml", [*same, f"model={model}", f"objective={objective}"]
        )
        first = train(Stage1(recipe1, pairs, folder / "tokenizer-1"), folder / "stage1")
        start = first.folder / "checkpoint"
        changes = [*same, "model=null", f"start={start}", f"objective={objective}"]
        stage2 = Stage2(read_stage2_recipe(RECIPES / "paper.yaml", changes), boxed, folder / "tokenizer-2")
        second = train(stage2, folder / "stage2")
        for stage, ran in (("stage 1", first), ("stage 2", second)):
            planned_mib = str(ran.planned["peak memory, MiB"]).split()[0]
            lines.append(
                f"| {title}, {stage} | {ran.images_per_s:.2f} | {ran.planned['images a second']:.2f} | "
                f"{ran.peak_mib:.0f} | {planned_mib} | {ran.losses[0]:.3f}, {ran.losses[1]:.3f} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
        froc = placed(stage2, second, boxed)
        maps.append(f"| {title} | {froc['patch map']:.3f} | {froc['attention rollout']:.3f} | {froc['grad cam']:.3f} |")
        print(maps[-1], file=sys.stderr, flush=True)
    context = (model, boxed, given.out / "checks")
    checks: dict[str, Callable[[], str]] = {"resume bit for bit": lambda: resumes_bit_for_bit(*context, device)}
    checks |= {check: lambda run=run: run(*context) for check, run in GPU_CHECKS.items()}  # type: ignore[misc]  # mypy knows no type for a lambda's default
    lines += [*maps, "", "| check | | seen |", "|---|---|---|", *checked(checks, on_gpu)]
    lines += ["", f"{time.perf_counter() - begun_s:.0f} s in all"]
    (given.out / "paper-shape.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
