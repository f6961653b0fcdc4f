"""Patch-CLIP as a library: radiograph in, findings with probability and place out.

Importing this package imports neither torch nor pydicom. `load` brings torch in when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchclip_core.inference.warming import warm_up
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

if TYPE_CHECKING:
    from patchclip_core.notebook import load

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


def __getattr__(name: str) -> Any:
    """Resolve `load` on first use, so that importing the package stays free of torch."""
    if name == "load":
        from patchclip_core.notebook import load  # noqa: PLC0415 - this is what keeps torch out until a model is loaded

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
