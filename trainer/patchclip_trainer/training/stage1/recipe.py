"""A recipe of stage 1: what of the network learns from which text, and against how many other images and texts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from patchclip_trainer.training.recipe import Objective, RunRecipe
from patchclip_trainer.training.stage1.pairs import TextSource

Trained = Literal["downscaler", "image_tower", "text_tower", "projections"]

_PARTS: Final[dict[Trained, tuple[str, ...]]] = {
    "downscaler": ("downscaler.",),
    "image_tower": ("image_tower.",),
    "text_tower": ("text_tower.",),
    "projections": (
        "visual_projection.",
        "text_projection.",
        "patch_projection.",
        "word_projection.",
        "selector.",
        "attention.",
    ),
}
_SCALES: Final = ("logit_scale", "local_scale")


class Stage1Recipe(RunRecipe):
    """A run of stage 1."""

    stage: ClassVar[str] = "stage 1"

    objective: Objective = "patchclip"
    """The network that stage 2 goes on with."""
    text: TextSource = "reports"
    """`label_template`: the template that is written from labels; it is no report, see `training.pairs`."""
    sentences: Annotated[int, Field(ge=1)] | None = 2
    """Sentences of an image that are drawn anew each epoch; null: all of them."""
    batch: Annotated[int, Field(ge=2)] = 64
    """Images that are told apart in a step."""
    chunk: Annotated[int, Field(ge=1)] | None = None
    """Images, and texts, whose activations are in memory at a time: exact, for another forward pass; null: all."""
    bank: Annotated[int, Field(ge=0)] = 0
    """Images and texts of earlier steps that are negatives too: nearly free, but as the towers were then."""
    train: Annotated[tuple[Trained, ...], Field(min_length=1)] = tuple(_PARTS)
    """What learns. The scale of the similarities always does; what only stage 2 looks at never does."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.objective == "lrclr" and self.bank:
            raise ValueError("bank: lrclr compares words with regions, which a bank does not hold; use chunk")
        if self.text == "reports" and self.augment.mirror:
            raise ValueError("augment.mirror: reports name sides, which a mirrored image swaps; set it to 0")
        if self.augment.simulate:
            raise ValueError("augment.simulate: no text tells of findings that are drawn in; set it to 0")
        return self

    def trains(self, weight: str) -> bool:
        """Tell whether a weight of the network, by its name, learns."""
        return weight.startswith((*_SCALES, *(prefix for part in self.train for prefix in _PARTS[part])))
