"""The loop that both stages share: steps, their order and their rates, a running mean, early stopping, state and log.

A stage says what is trained, what a batch's loss is and how good the weights are; a run does the rest. Everything that
is left to chance in a step depends on seed, epoch and step alone: stopped and resumed, a run takes the same steps.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from patchclip_core.errors import not_known
from patchclip_core.memory import keep_freed_memory
from patchclip_core.models.network import FindingsNetwork
from patchclip_trainer.errors import RecipeError, TrainerError
from patchclip_trainer.training.loop.memory import recompute_layers
from patchclip_trainer.training.loop.optimize import RunningMean, make_optimizer, rate_factor
from patchclip_trainer.training.loop.order import batches_of
from patchclip_trainer.training.loop.processes import (
    ALONE,
    Processes,
    gradient_length,
    in_parallel,
    set_whole_state,
    started,
    whole_state,
    whole_weights,
)
from patchclip_trainer.training.loop.state import CHECKPOINT, STATE, Log, read_state, save_state
from patchclip_trainer.training.run_recipe import Precision, RunRecipe

Network = FindingsNetwork


class Stage(Protocol):
    """What a run trains, and on what."""

    @property
    def recipe(self) -> RunRecipe:
        """How to train."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        ...

    @property
    def network(self) -> Network:
        """What is trained, as it starts."""
        ...

    @property
    def items(self) -> NDArray[np.int64]:
        """Numbers of what an epoch goes through."""
        ...

    def batches(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return those that an epoch goes through, a batch a step; some come more than once where they are mixed."""
        ...

    @property
    def held_out_images(self) -> int:
        """Images that `validate` looks at."""
        ...

    @property
    def compared_pairs(self) -> int:
        """Pairs that `validate` compares besides."""
        ...

    @property
    def pixels(self) -> int:
        """Pixels of a prepared image."""
        ...

    @property
    def image_bytes(self) -> int:
        """Bytes of an image as a network takes it."""
        ...

    @property
    def watched(self) -> tuple[str, ...]:
        """The measures that say which epoch is the best, each where those before it are equal.

        `-NAME` where less is better. Of equal epochs the later one is the best; without a measure, the last one.
        """
        ...

    def fingerprint(self) -> str:
        """Return a digest of all that decides what a step does: recipe, data, labels."""
        ...

    def take(
        self, network: Network, indices: NDArray[np.int64], epoch: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of these items, as this epoch shows them, and its parts: scalars."""
        ...

    def read_ahead(self, indices: NDArray[np.int64], epoch: int) -> None:
        """Begin to read what `take` will be given."""
        ...

    def validate(self, network: Network) -> Mapping[str, float]:
        """Measure a network on what is held out. Those `watched` are among the measures."""
        ...

    def write_checkpoint(self, out: Path, network: Network, step: int, epochs: int) -> None:
        """Write the checkpoint into the run's folder; it was trained for these steps and epochs.

        Where the last epoch is kept, epochs are those of the recipe, though `max_steps` may have ended them.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Say what a run would learn from."""
        ...

    def rehearse(self, folder: Path) -> float:
        """Keep what a run keeps for others in this folder from now on; return the seconds that making it takes."""
        ...

    def memory(self) -> dict[str, Any]:
        """Return what later steps depend on besides weights, seed and step; later steps must not change it in place."""
        ...

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on with what `memory` returned."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. checkpoint: its folder, None where a run was stopped before it had one."""

    step: int
    steps: int
    checkpoint: Path | None
    reason: str


class Run:
    """A stage on its way: optimizer, running mean, and how far it has come."""

    def __init__(self, stage: Stage, processes: Processes = ALONE) -> None:
        if processes.count != started():
            raise TrainerError(f"this is for one process, {started()} were started: start it without torchrun")
        keep_freed_memory()
        self.stage, self.recipe, self.network, self.processes = stage, stage.recipe, stage.network, processes
        self._sharded = processes.count > 1 and self.recipe.parallel == "fsdp"
        apart = self.recipe.ema or self._sharded
        self.mean = copy.deepcopy(self.network).eval() if apart else self.network
        if self.recipe.recompute:
            recompute_layers(self.network)
        if self.recipe.compile is not None:
            _compile(self.network.image_tower, self.recipe.compile)
        self._step = in_parallel(_Share(stage), self.network, processes, self.recipe.parallel)
        self._following = RunningMean(self.mean, self.network) if self.recipe.ema else None
        self.optimizer = make_optimizer(self.network, self.recipe.optimizer)
        self.epoch_steps = len(batches_of(stage.items, self.recipe.batch, None))
        self.scheduled_steps = min(self.recipe.epochs * self.epoch_steps, self.recipe.max_steps or sys.maxsize)
        self.steps = min(self.scheduled_steps, (self.recipe.stop_after or self.recipe.epochs) * self.epoch_steps)
        self.step = 0
        self.best, self.better_epoch = [-math.inf], -1
        self._cut: tuple[int, list[NDArray[np.int64]]] = (-1, [])
        self._whole = True
        self._memory = stage.memory()

    def run(
        self,
        out: Path,
        *,
        resume: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Train to the end, or until `stopped` says so between two steps; then the state is on disk.

        out: the run's folder. Interrupted in the middle of a step, a run saves the state before that step. Raises
        `TrainerError`.
        """
        if resume:
            self._restore(read_state(out, self.stage.fingerprint(), self.stage.device))
        elif (out / STATE).exists():
            raise TrainerError(f"{out} holds a run already: go on with --resume, or give another folder")
        try:
            return self._steps_in(out, progress, stopped)
        except OSError as error:
            where = error.filename or out
            raise TrainerError(
                f"{where}: {error.strerror or error}; make room, or give a folder that can be written. What was saved "
                "is whole: go on with --resume"
            ) from error

    def _steps_in(self, out: Path, progress: Callable[[int, int], None], stopped: Callable[[], bool]) -> Outcome:
        out.mkdir(parents=True, exist_ok=True)
        self.processes.wait()
        recipe = self.recipe
        log = Log(out, recipe.name, recipe.loggers, self.step) if self.processes.first else None
        try:
            while self.step < self.steps and not self._worn_out():
                if self.processes.any(stopped(), self.stage.device):
                    self._save(out)
                    return Outcome(self.step, self.steps, _checkpoint_in(out), "stopped")
                epoch, place = divmod(self.step, self.epoch_steps)
                taken = self.take_step(epoch, place)
                self.step, self._whole, self._memory = self.step + 1, True, self.stage.memory()
                if log is not None:
                    log.write(self.step, epoch, taken)
                if place + 1 == self.epoch_steps or self.step == self.steps:
                    self._end_epoch(epoch, out, log)
                    self._save(out)
                elif self.step % self.recipe.save_every == 0:
                    self._save(out)
                progress(self.step, self.steps)
        except KeyboardInterrupt:
            # Several processes are interrupted in different places: none can wait for the others then.
            if self._whole and self.processes.count == 1:
                self._save(out)
            raise
        finally:
            if log is not None:
                log.close()
        reason = "all epochs done" if self.step == self.steps else "no better held-out measure any more"
        return Outcome(self.step, self.steps, _checkpoint_in(out), reason)

    def take_step(self, epoch: int, place: int) -> dict[str, float]:
        """Take one step; return its losses, gradient length and learning rate factor, and its seconds."""
        recipe, stage, begun_s = self.recipe, self.stage, time.perf_counter()
        processes, batch = self.processes, self._batch(epoch, place)
        torch.manual_seed(_chance(recipe.seed, epoch, place, processes.number))  # dropout
        factor = rate_factor(self.step, self.scheduled_steps, recipe.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * factor
        self.network.train()
        for ahead in range(self.step + 1, min(self.step + 1 + recipe.prefetch, self.steps)):
            of_epoch, at = divmod(ahead, self.epoch_steps)
            stage.read_ahead(processes.part(self._batch(of_epoch, at)), of_epoch)
        with precision(stage.device, recipe.precision):
            share, parts = self._step(processes.part(batch), epoch)
        told = processes.total(torch.stack([share.detach(), *parts.values()]))
        loss, *told_parts = told.tolist()
        if not math.isfinite(loss):
            raise TrainerError(f"the loss is {loss} in step {self.step + 1}: lower optimizer.rate_tower and rate_new")
        self.optimizer.zero_grad(set_to_none=True)
        (share * processes.count).backward()
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        length = gradient_length(weights, recipe.optimizer.clip or math.inf)
        self._whole = False  # until the step is counted, the weights are of no step at all
        self.optimizer.step()
        if self._following is not None:
            self._following.follow(recipe.ema, self.step)
        return {
            "loss": loss,
            **dict(zip(parts, told_parts, strict=True)),
            "gradient": length,
            "rate_factor": factor,
            "step_s": round(time.perf_counter() - begun_s, 4),
        }

    def _batch(self, epoch: int, place: int) -> NDArray[np.int64]:
        """Return a step's batch; an epoch's batches are cut once."""
        if self._cut[0] != epoch:
            self._cut = epoch, self.stage.batches(epoch)
        return self._cut[1][place]

    def _end_epoch(self, epoch: int, out: Path, log: Log | None) -> None:
        watched = self.stage.watched
        if self._sharded:
            self.mean.load_state_dict(whole_weights(self.network))
        if not watched:
            kept = self.step == self.steps
        else:
            with precision(self.stage.device, self.recipe.precision), torch.no_grad():
                measures = self.processes.agreed(self.stage.validate(self.mean.eval()))
            if log is not None:
                log.write(self.step, epoch, measures)
            values = [-measures[name[1:]] if name.startswith("-") else measures[name] for name in watched]
            kept = values >= self.best
            if values > self.best:
                self.best, self.better_epoch = values, epoch
        if kept and self.processes.first:
            epochs = epoch + 1 if watched else self.recipe.stop_after or self.recipe.epochs
            self.stage.write_checkpoint(out, self.mean, self.step, epochs)

    def _worn_out(self) -> bool:
        """An epoch that is just as good as the best one is kept, but gives no reason to go on."""
        patience, done = self.recipe.patience, self.step // self.epoch_steps
        return patience is not None and self.better_epoch >= 0 and done - 1 - self.better_epoch >= patience

    def _save(self, out: Path) -> None:
        state = {
            "fingerprint": self.stage.fingerprint(),
            "step": self.step,
            "best": self.best,
            "better_epoch": self.better_epoch,
            "mean": self.mean.state_dict() if self.recipe.ema else {},
            "memory": self._memory,
            **whole_state(self.network, self.optimizer),
        }
        if self.processes.first:
            save_state(out, state)
        self.processes.wait()

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.best, self.better_epoch = state["step"], state["best"], state["better_epoch"]
        if not self.step:  # all is as it was built; an optimizer counts a step when it tells its state
            return
        set_whole_state(self.network, self.optimizer, state)
        if self.recipe.ema:
            self.mean.load_state_dict(state["mean"])
        self.stage.recall(state["memory"])
        self._memory = self.stage.memory()


def _checkpoint_in(out: Path) -> Path | None:
    return out / CHECKPOINT if (out / CHECKPOINT).is_dir() else None


class _Share(torch.nn.Module):
    """What is called in a step: with several processes, gradients are averaged of what this calls."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.network = stage.network
        self._take = stage.take

    def forward(self, indices: NDArray[np.int64], epoch: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss, parts = self._take(self.network, indices, epoch)
        return loss, {name: part.detach() for name, part in parts.items()}


def _compile(tower: torch.nn.Module, backend: str) -> None:
    """Compile a tower when it is first used. Raises `RecipeError` where torch has no such backend."""
    if backend not in torch.compiler.list_backends(exclude_tags=None):
        usual = torch.compiler.list_backends()
        raise RecipeError(f"compile: torch has no backend '{backend}' here; {not_known(backend, usual)}")
    tower.compile(backend=backend)


def precision(device: torch.device, wanted: Precision = "auto") -> AbstractContextManager[object]:
    """Return the context that forward passes run in. `auto`: bfloat16 where a GPU has it in hardware."""
    if wanted == "bfloat16" or (wanted == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def _chance(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
