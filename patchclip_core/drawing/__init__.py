"""Pictures of findings: the radiograph with what was found drawn into it, beside a legend. Neither torch nor files."""

from __future__ import annotations

from patchclip_core.drawing.overlay import draw_overlay

__all__ = ["draw_overlay"]
