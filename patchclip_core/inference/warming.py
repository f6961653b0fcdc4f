"""The first analysis of a process is slower than those after it: this takes it before anybody waits for it."""

from __future__ import annotations

import time

import numpy as np

from patchclip_core.values.results import Analyzer, Radiograph

_ROWS, _COLUMNS = 2500, 2048
"""A usual digital radiograph."""


def warm_up(model: Analyzer) -> float:
    """Analyse a black radiograph, so that the next one takes the time that all later ones take; returns the seconds.

    It goes the way of every radiograph, tiles included: libraries prepare their kernels for the model's shapes, memory
    is taken from the system, and a GPU starts, in the precision that the model runs in. Loading does not do this by
    itself: who wants one analysis, or none, should not wait for two.
    """
    started = time.perf_counter()
    model.analyze_batch([Radiograph(np.zeros((_ROWS, _COLUMNS), dtype=np.float32))])
    return time.perf_counter() - started
