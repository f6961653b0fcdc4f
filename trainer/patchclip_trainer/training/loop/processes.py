"""Several processes, one run: `torchrun` starts them, each takes a part of every batch, all have the same weights.

A stage gives each part's share of the loss; DDP and FSDP average gradients over processes, so shares are multiplied by
their number. What is read and written is read by all and written by the first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from patchclip_core.models.network import FindingsNetwork
from patchclip_trainer.errors import RecipeError

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass(frozen=True, slots=True)
class Processes:
    """How many processes there are, and which is this one. local: its number on its own machine."""

    count: int = 1
    number: int = 0
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.number == 0

    def device(self, chosen: torch.device) -> torch.device:
        """Return this process's own device of the kind that was chosen."""
        return torch.device("cuda", self.local) if self.count > 1 and chosen.type == "cuda" else chosen

    def part(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's part of a batch. Raises `RecipeError` where there is not an item for each process."""
        if len(indices) < self.count:
            raise RecipeError(f"a batch of {len(indices)} for {self.count} processes: raise batch, or start fewer")
        return indices[self.number :: self.count]

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """Return the sum of all processes' values, without a gradient."""
        if self.count == 1:
            return value
        summed = value.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def agreed(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the first process's values."""
        told = [dict(values)]
        if self.count > 1:
            distributed.broadcast_object_list(told, src=0)
        return told[0]

    def any(self, flag: bool, device: torch.device) -> bool:
        """Tell whether a flag is up in any process."""
        return flag if self.count == 1 else bool(self.total(torch.tensor(int(flag), device=device)))

    def wait(self) -> None:
        """Wait for all."""
        if self.count > 1:
            distributed.barrier()


ALONE = Processes()


def started() -> int:
    """Return how many processes `torchrun` has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Meet the other processes that `torchrun` has started, if it has; device: of the kind that the run is on."""
    asked = Processes(started(), int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0")))
    if asked.count == 1:
        yield asked
        return
    own = asked.device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield asked
    finally:
        distributed.destroy_process_group()


def in_parallel(whole: torch.nn.Module, network: FindingsNetwork, processes: Processes, kind: str) -> torch.nn.Module:
    """Return a module whose gradients are averaged over the processes.

    whole: what is called in a step. network: the part of it that has weights; with FSDP they become shards here.
    """
    if processes.count == 1:
        return whole
    device = next(network.parameters()).device
    if device.type == "cuda":
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # torch leaves it so
    if kind == "fsdp":
        mesh = init_device_mesh(device.type, (processes.count,))
        lists = [module for module in network.modules() if isinstance(module, torch.nn.ModuleList)]
        for layer in (layer for layers in reversed(lists) for layer in layers):
            fully_shard(layer, mesh=mesh)
        single = {weight for weight in network.parameters() if not weight.ndim}  # these cannot be sharded
        fully_shard(whole, mesh=mesh, ignored_params=single)
        for weight in single:
            if weight.requires_grad:
                weight.register_post_accumulate_grad_hook(_average)  # type: ignore[no-untyped-call]  # likewise
        return whole
    return DistributedDataParallel(whole, find_unused_parameters=True)


def gradient_length(weights: Sequence[torch.Tensor], longest: float) -> float:
    """Return the length of all gradients together, of which each process may hold a part; shorten longer ones."""
    if not any(isinstance(weight, DTensor) for weight in weights):
        return float(torch.nn.utils.clip_grad_norm_(weights, longest, foreach=True))
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    lengths = [torch.linalg.vector_norm(gradient) for gradient in gradients]
    whole = [length.full_tensor() if isinstance(length, DTensor) else length for length in lengths]
    length = float(torch.stack(whole).square().sum().sqrt())
    if length > longest:
        for gradient in gradients:
            gradient.mul_(longest / length)
    return length


def whole_weights(network: FindingsNetwork) -> dict[str, Any]:
    """Return a network's weights in every process, as one process without shards would have them."""
    return get_model_state_dict(network, options=StateDictOptions(full_state_dict=True))


def whole_state(network: FindingsNetwork, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state of a network and its optimizer, as one process without shards would have it.

    Where there are shards, only the first process gets it.
    """
    weights, moments = get_state_dict(network, optimizer, options=_WHOLE)
    return {"network": weights, "optimizer": moments}


def set_whole_state(network: FindingsNetwork, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Go on with a state that `whole_state` returned, with the same shards or with others."""
    set_state_dict(
        network, optimizer, model_state_dict=state["network"], optim_state_dict=state["optimizer"], options=_WHOLE
    )


def _average(weight: torch.Tensor) -> None:
    if weight.grad is not None:
        distributed.all_reduce(weight.grad)
        weight.grad /= distributed.get_world_size()
