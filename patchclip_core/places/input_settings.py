"""What a model expects of its input, as a card says it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from patchclip_core.values.results import PatchGrid


class PreprocessSettings(BaseModel):
    """What a model expects of its input. They travel in its checkpoint's card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_px: Annotated[int, Field(ge=16, le=8192)]
    """Height and width of the input."""
    grid: PatchGrid
    """Where the model's patches lie on the input."""
    mean: Annotated[tuple[float, ...], Field(min_length=1, max_length=3)] = (0.5,)
    """Subtracted from pixels in [0, 1]; one number a channel."""
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=3)] = (0.25,)
    """What the difference is divided by; one number a channel."""
    padding: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Grey value of the padding."""
    filter: Literal["bilinear", "bicubic"] = "bicubic"
    """Resampling filter; both widen when they shrink, so that nothing aliases."""

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} means and {len(self.std)} standard deviations: one each a channel")
        grid = self.grid
        for count in (grid.rows, grid.columns):
            last_px = grid.centre_px + (count - 1) * grid.pitch_px
            if not (grid.pitch_px > 0 and grid.centre_px >= 0 and last_px <= self.input_px):
                raise ValueError(f"the patches of {grid} do not lie in an input of {self.input_px} px")
        return self
