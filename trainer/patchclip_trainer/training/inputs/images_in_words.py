"""What a run's training images are, in the words of its checkpoint's card."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from patchclip_trainer.data.shards import PreparedData


def in_words(data: PreparedData, indices: NDArray[np.int64]) -> str:
    """Say how many images of how many patients these are, and of which sources."""
    patients = len({data.rows[int(index)].patient_id for index in indices})
    return f"{len(indices)} images of {patients} patients ({_counted(data, indices, 'source')})"


def licence_in_words(data: PreparedData, indices: NDArray[np.int64]) -> str:
    """Say which licences bind weights that have learned from these images."""
    return f"bound by the licences of its training images: {_counted(data, indices, 'licence_class')}"


def _counted(data: PreparedData, indices: NDArray[np.int64], field: str) -> str:
    counted = Counter(str(getattr(data.rows[int(index)], field)) or "not named" for index in indices)
    return ", ".join(f"{name} ({count})" for name, count in sorted(counted.items()))
