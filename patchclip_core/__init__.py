"""Patch-CLIP as a library: radiograph in, findings with probability and place out.

Importing this package imports nothing else, neither torch nor numpy nor pydicom: each name brings what it needs when it
is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patchclip_core.inference.warming import warm_up
    from patchclip_core.notebook import load
    from patchclip_core.values.results import (
        Box,
        Finding,
        Findings,
        FindingState,
        Geometry,
        ModelIdentity,
        PatchGrid,
        Radiograph,
        Region,
        Sensitivity,
    )

__all__ = [
    "Box",
    "Finding",
    "FindingState",
    "Findings",
    "Geometry",
    "ModelIdentity",
    "PatchGrid",
    "Radiograph",
    "Region",
    "Sensitivity",
    "load",
    "warm_up",
]

_ELSEWHERE = {"load": "patchclip_core.notebook", "warm_up": "patchclip_core.inference.warming"}
"""Where a name is that is not one of the values."""


def __getattr__(name: str) -> Any:
    """Resolve a public name on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "patchclip_core.values.results")), name)
