"""Stage 2: boxes and labels tie patches to sentences. One device; stopped and resumed, a run takes the same steps."""

from __future__ import annotations

import copy
import math
import resource
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from patchclip_core.loading import choose_device
from patchclip_core.prompts import FindingDefinition, load_findings
from patchclip_trainer.data.label_domains import LabelDomains, load_label_domains
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import TrainerError
from patchclip_trainer.training.kept import (
    CHECKPOINT,
    STATE,
    Log,
    describe_data,
    fingerprint,
    read_state,
    save_state,
    write_checkpoint,
)
from patchclip_trainer.training.objective import FindingsObjective, build
from patchclip_trainer.training.optimize import follow, make_optimizer, rate_factor
from patchclip_trainer.training.recipe import TrainingRecipe
from patchclip_trainer.training.samples import Batch, batches_of, check_fit, collect, make_batch

_TIMED_STEPS = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. checkpoint: its folder, None where a run was stopped before it had one."""

    step: int
    steps: int
    checkpoint: Path | None
    reason: str


class Stage2:
    """A run: network, optimizer, running mean, and how far it has come."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        data: PreparedData,
        tokenizer_folder: Path,
        definitions: dict[str, FindingDefinition] | None = None,
        domains: LabelDomains | None = None,
    ) -> None:
        definitions = definitions or load_findings()
        self.recipe = recipe
        self.samples = collect(data, recipe, definitions, domains or load_label_domains())
        self.start = build(recipe, tokenizer_folder, tuple(definitions.values()))
        check_fit(data, self.start.preprocess)
        self.device = choose_device(recipe.device)
        self.network = self.start.network.to(self.device)
        self.mean = copy.deepcopy(self.network).eval() if recipe.ema else self.network
        self.optimizer = make_optimizer(self.network, recipe.optimizer)
        self._objective = FindingsObjective(recipe.objective, self.samples.findings, self.start.tokenizer, self.device)
        self._fingerprint = fingerprint(recipe, self.samples)
        self.epoch_steps = len(batches_of(self.samples.train, recipe.batch, None))
        self.steps = recipe.epochs * self.epoch_steps
        self.step = 0
        self.best_loss, self.best_epoch = math.inf, -1

    def run(
        self,
        out: Path,
        *,
        resume: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Train to the end, or until `stopped` says so between two steps; then the state is on disk.

        out: the run's folder. Raises `TrainerError`.
        """
        out.mkdir(parents=True, exist_ok=True)
        if resume:
            self._restore(read_state(out, self._fingerprint, self.device))
        elif (out / STATE).exists():
            raise TrainerError(f"{out} holds a run already: go on with --resume, or give another folder")
        log = Log(out, self.step)
        try:
            while self.step < self.steps and not self._worn_out():
                if stopped():
                    save_state(out, self._state())
                    return Outcome(self.step, self.steps, self._kept(out), "stopped")
                epoch, place = divmod(self.step, self.epoch_steps)
                log.write(step=self.step + 1, epoch=epoch, **self.take_step(epoch, place))
                self.step += 1
                if place + 1 == self.epoch_steps:
                    self._end_epoch(epoch, out, log)
                    save_state(out, self._state())
                elif self.step % self.recipe.save_every == 0:
                    save_state(out, self._state())
                progress(self.step, self.steps)
        finally:
            log.close()
        reason = "all epochs done" if self.step == self.steps else "no lower held-out loss any more"
        return Outcome(self.step, self.steps, self._kept(out), reason)

    def take_step(self, epoch: int, place: int) -> dict[str, float]:
        """Take one step; return its losses, gradient length and learning rate factor, and its seconds."""
        recipe, begun_s = self.recipe, time.perf_counter()
        indices = batches_of(self.samples.train, recipe.batch, (recipe.seed, epoch))[place]
        batch = self._batch(indices, (recipe.seed, epoch, place))
        loaded_s = time.perf_counter()
        factor = rate_factor(self.step, self.steps, recipe.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * factor
        self.network.train()
        with self._precision():
            loss, parts = self._objective.loss(self.network, batch)
        if not bool(torch.isfinite(loss)):
            raise TrainerError(
                f"the loss is {loss.item()} in step {self.step + 1}: lower optimizer.rate_tower and rate_new"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        length = torch.nn.utils.clip_grad_norm_(weights, recipe.optimizer.clip or math.inf)
        self.optimizer.step()
        if recipe.ema:
            follow(self.mean, self.network, recipe.ema, self.step)
        return {
            "loss": loss.item(),
            **{name: part.item() for name, part in parts.items()},
            "gradient": length.item(),
            "rate_factor": factor,
            "load_s": round(loaded_s - begun_s, 4),
            "step_s": round(time.perf_counter() - begun_s, 4),
        }

    def held_out_loss(self) -> float:
        """Return the mean loss of the held-out patients' images with the weights that would be kept."""
        total, batches = 0.0, batches_of(self.samples.held_out, self.recipe.batch, None)
        self.mean.eval()
        # The mean has a text side of its own, which is the network's own only where that is frozen.
        with torch.no_grad(), self._precision():
            for indices in batches:
                loss, _ = self._objective.loss(self.mean, self._batch(indices, None))
                total += loss.item() * len(indices)
        return total / len(self.samples.held_out)

    def plan(self) -> dict[str, Any]:
        """Take a few steps in memory alone, and say what the whole run would do and need."""
        taken_s = [self.take_step(0, place % self.epoch_steps)["step_s"] for place in range(_TIMED_STEPS + 1)][1:]
        step_s = min(taken_s)
        memory = (
            torch.cuda.max_memory_allocated(self.device)
            if self.device.type == "cuda"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        )
        return {
            "data": describe_data(self.samples),
            "left out for want of labels": self.samples.left_out,
            "findings": self.samples.counts(),
            "trainable parameters": sum(w.numel() for w in self.network.parameters() if w.requires_grad),
            "parameters": sum(weight.numel() for weight in self.network.parameters()),
            "device": str(self.device),
            "steps": self.steps,
            "seconds a step": round(step_s, 4),
            "images a second": round(min(self.recipe.batch, len(self.samples.train)) / step_s, 1),
            "hours at most": round(step_s * self.steps / 3600, 2),
            "peak memory, MiB": round(memory / 2**20),
        }

    def _batch(self, indices: NDArray[Any], augmented_by: tuple[int, ...] | None) -> Batch:
        recipe = self.recipe
        hard = recipe.hard_targets or recipe.objective == "paper"
        change = (recipe.augment, augmented_by) if augmented_by is not None else None
        return make_batch(self.samples, indices, self.start.preprocess, self.device, hard, change)

    def _end_epoch(self, epoch: int, out: Path, log: Log) -> None:
        if len(self.samples.held_out):
            loss = self.held_out_loss()
            log.write(step=self.step, epoch=epoch, held_out_loss=loss)
            better = loss < self.best_loss
            if better:
                self.best_loss, self.best_epoch = loss, epoch
        else:
            better = self.step == self.steps
        if better:
            write_checkpoint(out, self.mean, self.start, self.samples, self.recipe, self.step)

    def _worn_out(self) -> bool:
        patience, done = self.recipe.patience, self.step // self.epoch_steps
        return patience is not None and self.best_epoch >= 0 and done - 1 - self.best_epoch >= patience

    def _kept(self, out: Path) -> Path | None:
        return out / CHECKPOINT if (out / CHECKPOINT).is_dir() else None

    def _state(self) -> dict[str, Any]:
        return {
            "fingerprint": self._fingerprint,
            "step": self.step,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict() if self.recipe.ema else {},
            "optimizer": self.optimizer.state_dict(),
            "chance": torch.get_rng_state(),
            "chance_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.best_loss, self.best_epoch = state["step"], state["best_loss"], state["best_epoch"]
        self.network.load_state_dict(state["network"])
        if self.recipe.ema:
            self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["chance"].cpu())
        if state["chance_cuda"]:
            torch.cuda.set_rng_state_all([chance.cpu() for chance in state["chance_cuda"]])

    def _precision(self) -> AbstractContextManager[object]:
        if self.device.type == "cuda":
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return nullcontext()
