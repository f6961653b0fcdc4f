"""What decoding one image may cost."""

from __future__ import annotations

from dataclasses import dataclass

from patchclip_core.errors import UnsuitableImageError

MINIMUM_SIDE_PX = 64
"""A shorter side cannot show a chest; no radiographic detector delivers it."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits of one decoding.

    max_pixels: Rows x Columns above this are not decoded.
    timeout_s: a `DecodingProcess` kills a decoding that takes longer. `read_radiograph` itself cannot be interrupted.
    memory_bytes: address space of a `DecodingProcess`'s child.
    """

    max_pixels: int = 100_000_000
    timeout_s: float = 60.0
    memory_bytes: int = 4 * 1024**3

    def check_size(self, rows: int, columns: int) -> None:
        """Raise `UnsuitableImageError` where an image of this size is not to be decoded."""
        if min(rows, columns) < MINIMUM_SIDE_PX:
            raise UnsuitableImageError(
                f"the image has {columns} x {rows} pixels; a chest radiograph has {MINIMUM_SIDE_PX} or more a side"
            )
        self.check_pixels(rows, columns)

    def check_pixels(self, rows: int, columns: int) -> None:
        """Raise `UnsuitableImageError` where these are more pixels than are to be decoded."""
        if rows * columns > self.max_pixels:
            raise UnsuitableImageError(
                f"the image has {columns} x {rows} pixels, more than the {self.max_pixels} that are allowed"
            )
