"""What `paper_shape` checks of training and analysis, most on a GPU alone. A check says what it saw, or raises."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch.distributed import destroy_process_group, init_process_group
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.values.definitions import conf_dir
from patchclip_core.values.results import Radiograph
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.training.loop.processes import Processes, gradient_length
from patchclip_trainer.training.loop.training_run import Run, precision
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe, read_stage2_recipe

FLOAT32, BFLOAT16 = 1e-4, 2e-2
_FEW = 2


def recipe_for(model: Path, device: str, *changes: str) -> Stage2Recipe:
    """Return the default objective's recipe in the paper's shape: it has no batch norm that few images could upset."""
    fixed = [f"model={model}", "objective=patchclip", f"device={device}", "held_out_fold=null", f"batch={_FEW}"]
    return read_stage2_recipe(conf_dir() / "recipes" / "paper.yaml", [*fixed, "precision=float32", *changes])


def losses(model: Path, data: PreparedData, folder: Path, device: str, *changes: str, steps: int = 2) -> list[float]:
    """Return the losses of the first steps, all from the same weights and images; float32 is not cut to 19 bits."""
    torch.backends.cudnn.allow_tf32 = False
    stage = Stage2(recipe_for(model, device, *changes), data, folder / "tokenizer")
    run, found = Run(stage), []
    for place in range(steps):
        found.append(run.take_step(0, place)["loss"])
        run.step += 1
    return found


def resumes_bit_for_bit(model: Path, data: PreparedData, folder: Path, device: torch.device) -> str:
    """Train four steps; and two, then two more from what is on disk."""
    recipe = recipe_for(model, device.type, "max_steps=4", "save_every=2")
    whole = Run(Stage2(recipe, data, folder / "t1")).run(folder / "whole")
    run = Run(Stage2(recipe, data, folder / "t2"))
    run.run(folder / "stopped", stopped=lambda: run.step == 2)
    again = Run(Stage2(recipe, data, folder / "t3")).run(folder / "stopped", resume=True)
    assert whole.checkpoint is not None
    assert again.checkpoint is not None
    first, second = ((end / "weights.safetensors").read_bytes() for end in (whole.checkpoint, again.checkpoint))
    assert first == second, "weights differ"
    return f"{len(first):,} bytes of weights are equal"


def equals_the_processor(model: Path, data: PreparedData, folder: Path) -> str:
    """Compare losses in float32."""
    return _close(losses(model, data, folder, "cuda"), losses(model, data, folder, "cpu"), FLOAT32)


def equals_in_sixteen_bits(model: Path, data: PreparedData, folder: Path) -> str:
    """Compare bfloat16 autocast with float32 on the same GPU."""
    short = losses(model, data, folder, "cuda", "precision=bfloat16")
    return _close(short, losses(model, data, folder, "cuda"), BFLOAT16)


def compiles(model: Path, data: PreparedData, folder: Path) -> str:
    """Compare a compiled tower with the plain one."""
    compiled = losses(model, data, folder, "cuda", "compile=inductor")
    return _close(compiled, losses(model, data, folder, "cuda"), FLOAT32)


def shards_alone(model: Path, data: PreparedData, folder: Path) -> str:
    """Take the gradient of weights in shards of one process, over NCCL, and compare its length."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29577", "RANK": "0", "LOCAL_RANK": "0"}
    lengths = []
    init_process_group("nccl", rank=0, world_size=1)
    try:
        for sharded in (False, True):
            stage = Stage2(recipe_for(model, "cuda"), data, folder / "tokenizer", processes=Processes())
            network = stage.network.train()
            if sharded:
                mesh = init_device_mesh("cuda", (1,))
                for layers in [part for part in network.modules() if isinstance(part, torch.nn.ModuleList)]:
                    for layer in layers:
                        fully_shard(layer, mesh=mesh)
            with precision(stage.device, "float32"):
                loss, _ = stage.take(network, stage.items[:_FEW], 0)
            loss.backward()
            lengths.append(gradient_length([w for w in network.parameters() if w.requires_grad], float("inf")))
    finally:
        destroy_process_group()
    return _close(lengths[1:], lengths[:1], FLOAT32)


def outlives_a_full_memory(model: Path, data: PreparedData, folder: Path) -> str:
    """Analyse with nearly all of the GPU's memory taken: the batch is halved, in the end the processor answers."""
    outcome = Run(Stage2(recipe_for(model, "cuda", "max_steps=1"), data, folder / "t")).run(folder / "short")
    assert outcome.checkpoint is not None
    analyzer = load(outcome.checkpoint, "cuda")
    radiographs = [Radiograph(data.images[number].astype("float32") / 255) for number in range(_FEW)]
    calm = analyzer.analyze_batch(radiographs)
    taken = torch.empty(max(0, torch.cuda.mem_get_info()[0] - 2**28), dtype=torch.uint8, device="cuda")
    pressed = analyzer.analyze_batch(radiographs)
    del taken
    first, second = ([one.probability or 0.0 for found in said for one in found] for said in (pressed, calm))
    return _close(first, second, BFLOAT16)


GPU_CHECKS: dict[str, Callable[[Path, PreparedData, Path], str]] = {
    "float32 equals the processor": equals_the_processor,
    "bfloat16 autocast equals float32": equals_in_sixteen_bits,
    "torch.compile equals the plain tower": compiles,
    "FSDP of one process over NCCL": shards_alone,
    "analysis with no memory left": outlives_a_full_memory,
}
"""What needs a GPU, by what it shows."""


def _close(found: list[float], wanted: list[float], tolerance: float) -> str:
    worst = max(abs(one - other) / max(abs(other), 1e-6) for one, other in zip(found, wanted, strict=True))
    assert worst <= tolerance, f"{worst:.1e} apart, more than {tolerance:g}"
    return f"{worst:.1e} apart, at most {tolerance:g}"
