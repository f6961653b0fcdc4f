"""Pictures of findings, and the pages that show them; free of torch.

A picture is the radiograph with what was found drawn into it, beside a legend; a page is one HTML file. The node draws
objects of any maker with the same colours (`palette`), words (`text`), contours, heat maps and labels (`overlay`).
"""

from __future__ import annotations

from patchclip_core.drawing.overlay import draw_overlay, prepared_picture
from patchclip_core.drawing.packed import as_jpeg, as_png
from patchclip_core.drawing.page import page

__all__ = ["as_jpeg", "as_png", "draw_overlay", "page", "prepared_picture"]
