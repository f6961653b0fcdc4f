"""The colours of pictures that are not those of findings: red, green, blue, 0 to 255."""

from __future__ import annotations

from typing import Final

Colour = tuple[int, int, int]

BACKGROUND: Final[Colour] = (16, 18, 22)
BRIGHT: Final[Colour] = (238, 240, 244)
"""Words that matter."""
DIM: Final[Colour] = (150, 156, 166)
"""Words that may be read later."""
FAINT: Final[Colour] = (58, 62, 70)
"""Empty bars and dots."""
WARNING: Final[Colour] = (255, 120, 96)
BANNER: Final[Colour] = (190, 40, 28)
"""Behind what no reader may miss."""
RIM: Final[Colour] = (0, 0, 0)
"""Around lines and words over the radiograph, so that they show on bone as well."""
