"""Where the outputs of strided convolutions lie on their input.

A convolution's output i looks at input pixels around one centre; with uneven padding these centres drift from the
middle of the cell that a plain division would give. Maps are mapped back by the true centres, so the drift is
carried along.
"""

from __future__ import annotations

from dataclasses import dataclass

from patchclip_core.values.results import PatchGrid


@dataclass(frozen=True, slots=True)
class Alignment:
    """Side of a square feature map; pitch and first centre of its cells, in input pixels, continuous coordinates."""

    side: int
    pitch_px: float
    centre_px: float

    @staticmethod
    def of_input(input_px: int) -> Alignment:
        """The pixels themselves."""
        return Alignment(input_px, 1.0, 0.5)

    def convolved(self, kernel: int, stride: int, padding: int) -> Alignment:
        """The map after a convolution: its output 0 is centred on index (kernel - 1) / 2 - padding of its input."""
        return Alignment(
            side=(self.side + 2 * padding - kernel) // stride + 1,
            pitch_px=self.pitch_px * stride,
            centre_px=self.centre_px + self.pitch_px * ((kernel - 1) / 2 - padding),
        )

    @property
    def grid(self) -> PatchGrid:
        """The map's cells as patches."""
        return PatchGrid(self.side, self.side, self.pitch_px, self.centre_px)
