"""What a whole run would do and need: hours, memory, storage; from one or two images where a batch is too much.

Matrix products and convolutions of a step with one and with two images are counted, the bytes that it keeps for its
gradient, and how far memory rises; all grow with the images. The same steps say how many operations this device does in
a second. Where memory and a minute allow, whole steps are taken and timed as well. Nothing is asked of any network, and
only a scratch folder is written to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from patchclip_trainer.training.loop.peak_memory import begin_peak, free_bytes, held_bytes, peak_bytes
from patchclip_trainer.training.loop.training_run import Run, precision

_TIMED_STEPS: Final = 3
_FEW: Final = (1, 2)
_LONGEST_TRIAL_S: Final = 60.0
_SHARE_OF_MEMORY: Final = 0.8
_RANKED_PAIR_S: Final = 3e-9
"""To rank a pair of image and text on one processor core (`benchmarks/stage1_validation.py`), embeddings apart."""
_ASSUMED: Final = (
    "operations are matrix products and convolutions, a multiplication and its addition being two, and time grows with "
    "them; activations are in the precision of this device; reading images costs nothing beside a step"
)
_OF_THIS_DEVICE: Final = ("program", "working")
"""What a step of another device needs for a moment is not known here."""
_MOMENTS: Final = {"sgd": 1, "adamw": 2}


@dataclass(frozen=True, slots=True)
class PlanFor:
    """What is planned for, where it is not the data and the device at hand.

    images: training images; held-out ones in the same proportion. tera_per_second: operations of another device, as its
    maker states them or a run has shown.
    """

    images: int | None = None
    tera_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a step: operations with a gradient and without, bytes kept for the gradient, and seconds with a gradient.

    rise_bytes: what memory rose by at most, of which what is kept is a part.
    """

    operations: float
    forward: float
    kept_bytes: float
    rise_bytes: float
    seconds: float


def plan_run(run: Run, scratch: Path, wanted: PlanFor = PlanFor()) -> dict[str, Any]:
    """Return what a run would do and need, by what it is called for people."""
    stage, recipe, network = run.stage, run.recipe, run.network
    about, before_s = stage.describe(), stage.rehearse(scratch)
    base = held_bytes(stage.device)
    one, two = (_cost_of(run, count, base) for count in _FEW)
    shown, held_out = len(stage.items), stage.held_out_images
    times = 1.0 if wanted.images is None else wanted.images / shown
    epoch_steps = -(-round(shown * times) // recipe.batch)
    steps = min((recipe.stop_after or recipe.epochs) * epoch_steps, recipe.max_steps or recipe.epochs * epoch_steps)
    batch = -(-min(recipe.batch, round(shown * times)) // run.processes.count)

    def of(images: float, name: str) -> float:
        first, second = getattr(one, name), getattr(two, name)
        return float(first + max(0.0, second - first) * (images - 1))

    weights = sum(weight.numel() * weight.element_size() for weight in network.parameters())
    learned = sum(w.numel() * w.element_size() for w in network.parameters() if w.requires_grad)
    pixels = batch * stage.image_bytes
    kept = _of_chunk(run, batch, of(1, "kept_bytes"), of(2, "kept_bytes"))
    memory = {
        "program": 0 if stage.device.type == "cuda" else max(0, base - weights * (2 if recipe.ema else 1)),
        "weights": weights,
        "gradients": learned,
        "moments": _MOMENTS[recipe.optimizer.kind] * learned,
        "running mean": weights if recipe.ema else 0,
        "activations": round(kept),
        "working": round(max(0.0, _of_chunk(run, batch, of(1, "rise_bytes"), of(2, "rise_bytes")) - kept - learned)),
        "images": pixels,
    }
    is_elsewhere = wanted.tera_per_second is not None
    needed = sum(held for name, held in memory.items() if not (is_elsewhere and name in _OF_THIS_DEVICE))
    rate = wanted.tera_per_second * 1e12 if wanted.tera_per_second is not None else two.operations / two.seconds
    step_s, how = of(batch, "operations") / rate, "by arithmetic"
    free = free_bytes(stage.device)
    peak_mib, peak_how = needed / 2**20, "at least; more comes and goes in a step" if is_elsewhere else "by arithmetic"
    if wanted == PlanFor() and needed < _SHARE_OF_MEMORY * free and step_s * _TIMED_STEPS < _LONGEST_TRIAL_S:
        # The same batch again: what is computed once a run must not count as a step's.
        begin_peak(stage.device)
        step_s = min([run.take_step(0, 0)["step_s"] for _ in range(_TIMED_STEPS + 1)][1:])
        how = peak_how = f"measured on {_TIMED_STEPS} steps"
        peak_mib = peak_bytes(stage.device) / 2**20
    judged = held_out * times
    epochs = steps / epoch_steps
    pairs = stage.compared_pairs * times**2
    validated_s = of(1, "forward") * judged / run.processes.count / rate + pairs * _RANKED_PAIR_S
    stated = f"stated, {wanted.tera_per_second:g}" if wanted.tera_per_second is not None else f"{rate / 1e12:.3g}"
    return {
        **about,
        "trainable parameters": sum(w.numel() for w in network.parameters() if w.requires_grad),
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "device": str(stage.device),
        "steps": steps,
        "operations a step, TFLOP": float(f"{of(batch, 'operations') / 1e12:.4g}"),
        "rate, TFLOP/s": stated if wanted.tera_per_second is not None else f"{stated}, measured on {_FEW[-1]} images",
        "seconds a step": f"{step_s:.4g} ({how})",
        "images a second": round(batch * run.processes.count / step_s, 1),
        "validation, seconds an epoch": float(f"{validated_s:.3g}"),
        "hours at most": round((before_s + step_s * steps + validated_s * epochs) / 3600, 2),
        "memory, MiB": {name: round(held / 2**20) for name, held in memory.items()},
        "peak memory, MiB": f"{peak_mib:.0f} ({peak_how})",
        "storage, MiB": {
            "checkpoint": round(weights / 2**20),
            "state": round((2 * weights + _MOMENTS[recipe.optimizer.kind] * learned) / 2**20),
            "prepared images": round((shown + held_out) * times * stage.pixels / 2**20),
        },
        "assumed": _ASSUMED,
    }


def _cost_of(run: Run, count: int, base: int) -> Cost:
    """Take the gradient of a few images twice, the second time with a clock; no weight is moved.

    base: bytes that were held before any gradient was taken. What is freed need not be given back meanwhile.
    """
    stage, network = run.stage, run.network
    begin_peak(stage.device)
    indices = stage.items[: min(count, len(stage.items))]
    network.train()

    def forward() -> torch.Tensor:
        with precision(stage.device, run.recipe.precision):
            return stage.take(network, indices, 0)[0]

    kept = _kept_bytes(run, forward)
    with FlopCounterMode(display=False) as counted:
        torch.autograd.backward(forward())
    with torch.no_grad(), FlopCounterMode(display=False) as alone:
        forward()
    _synchronise(stage.device)
    begun_s = time.perf_counter()
    torch.autograd.backward(forward())
    _synchronise(stage.device)
    seconds = time.perf_counter() - begun_s
    rise = max(0, peak_bytes(stage.device) - base)
    network.zero_grad(set_to_none=True)
    return Cost(counted.get_total_flops(), alone.get_total_flops(), kept, rise, seconds)


def _kept_bytes(run: Run, forward: Callable[[], torch.Tensor]) -> int:
    """Return the bytes that a forward pass keeps for its gradient, weights apart, each storage once."""
    weights = {weight.untyped_storage().data_ptr() for weight in run.network.parameters()}
    held: dict[int, int] = {}

    def pack(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        loss = forward()
    del loss
    return sum(held.values())


def _of_chunk(run: Run, batch: int, first: float, second: float) -> float:
    """Return the bytes of a batch from those of one image and of two; of a chunk, where there is one."""
    chunk = run.recipe.chunk or batch
    return first + max(0.0, second - first) * (min(chunk, batch) - 1)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
