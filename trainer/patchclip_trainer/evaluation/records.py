"""One measure as `metrics.json` has it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchclip_core.statistics.bootstrap import Estimate

Record = dict[str, Any]
"""A JSON object, or a part of one."""
Mask = NDArray[np.bool_]
"""(N,) of the images."""


def record_of(found: Estimate | None) -> Record:
    """Return an estimate as it is written; None is one that is undefined."""
    record = asdict(found or Estimate(None, None, None, 1.0))
    return {name: number_of(value) for name, value in record.items()}


def number_of(value: float | None) -> float | None:
    """Return a number to five places; None where it is not finite."""
    return None if value is None or not np.isfinite(value) else round(float(value), 5)
