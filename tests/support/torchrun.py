"""Two processes of one run, started as a user starts them, and what they must have in common with one process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from tests.peers.processes import free_port

DESCENT: Mapping[str, Any] = {
    "kind": "sgd",
    "momentum": 0.5,
    "rate_tower": 0.05,
    "rate_new": 0.05,
    "clip": None,
    "weight_decay": 0.0,
}
"""Plain descent: weights tell gradients, none of whose lengths a division by their own mean square would hide."""

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def two_processes(*arguments: object) -> list[str]:
    """Return the command that starts a script, or `-m` and a module, in two processes."""
    started = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    return [*started, f"--master-port={free_port()}", *map(str, arguments)]


def logged(out: Path, key: str) -> list[float]:
    """Return the values of a key in a run's log."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line[key] for line in lines if key in line]


def assert_same_run(
    together: Path, alone: Path, start: Mapping[str, torch.Tensor], keys: Sequence[str], tolerance: float = 1e-3
) -> None:
    """Compare two runs' logs, and how far each weight has come from its start, of which `tolerance` is a part."""
    for key in keys:
        expected = logged(alone, key)
        assert expected, key
        np.testing.assert_allclose(logged(together, key), expected, rtol=tolerance / 10, err_msg=f"{together}: {key}")
    weights, expected_weights = (load_file(out / "checkpoint" / "weights.safetensors") for out in (together, alone))
    for name, value in expected_weights.items():
        moved = float((value - start[name]).abs().max())
        torch.testing.assert_close(
            weights[name], value, rtol=0, atol=1e-6 + tolerance * moved, msg=f"{together}: {name}"
        )
