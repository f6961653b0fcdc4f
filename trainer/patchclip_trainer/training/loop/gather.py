"""Rows of all processes in every process; their gradients find the way back to the process that made them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from patchclip_trainer.training.loop.processes import Processes


def rows_of_all(values: torch.Tensor, processes: Processes) -> torch.Tensor:
    """Return the rows of the first process, then those of the second, and so on: (N, ...) from (n, ...) of each.

    The gradient of a row is the sum of what it is in all processes.
    """
    if processes.count == 1:
        return values
    counts = torch.zeros(processes.count, dtype=torch.int64, device=values.device)
    counts[processes.number] = len(values)
    counted = processes.total(counts).tolist()
    plain = values.to(torch.uint8) if values.dtype == torch.bool else values
    padded = torch.cat([plain, plain.new_zeros(max(counted) - len(plain), *plain.shape[1:])])
    gathered: torch.Tensor = _Gathered.apply(padded, processes)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return torch.cat([part[:count] for part, count in zip(gathered, counted, strict=True)]).to(values.dtype)


def dealt(count: int, processes: Processes) -> list[NDArray[np.int64]]:
    """Deal the numbers 0 to count - 1 to the processes, as a batch is; `rows_of_all` puts them in this order."""
    return [np.arange(count)[number :: processes.count] for number in range(processes.count)]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, processes: Processes) -> torch.Tensor:
        ctx.processes = processes
        parts = [torch.empty_like(values) for _ in range(processes.count)]
        distributed.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.processes.total(outer[0].contiguous())[ctx.processes.number], None
