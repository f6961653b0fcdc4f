"""A recipe of stage 1: what of the network learns from which text, and against how many other images and texts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from patchclip_core.models.methods import find_method
from patchclip_trainer.training.run_recipe import RunRecipe
from patchclip_trainer.training.stage1.pairs import TextSource

Trained = Literal["downscaler", "image_tower", "text_tower", "projections"]

_PARTS: Final[tuple[Trained, ...]] = ("downscaler", "image_tower", "text_tower", "projections")


class Stage1Recipe(RunRecipe):
    """A run of stage 1."""

    stage: ClassVar[str] = "stage 1"

    text: TextSource = "reports"
    """`label_template`: the template that is written from labels; it is not a report, see `training.pairs`."""
    sentences: Annotated[int, Field(ge=1)] | None = 2
    """Sentences of an image that are drawn again each epoch; null: all of them."""
    batch: Annotated[int, Field(ge=2)] = 64
    """Images that are told apart in a step."""
    bank: Annotated[int, Field(ge=0)] = 0
    """Images and texts of earlier steps that are negatives too: nearly free, but as the towers were then."""
    train: Annotated[tuple[Trained, ...], Field(min_length=1)] = _PARTS
    """What learns. The scale of the similarities always does; what only stage 2 looks at never does."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.bank and not find_method(self.objective).takes_bank:
            raise ValueError(
                f"bank: {self.objective} compares more than the global embeddings that a bank holds; use chunk"
            )
        if self.text == "reports" and self.augment.mirror:
            raise ValueError("augment.mirror: reports name sides, which a mirrored image swaps; set it to 0")
        if self.augment.simulate:
            raise ValueError("augment.simulate: no text tells of findings that are drawn in; set it to 0")
        return self

    def trains(self, weight: str) -> bool:
        """Tell whether a weight of the network, by its name, learns."""
        method = find_method(self.objective)
        parts = [method.projections if part == "projections" else (f"{part}.",) for part in self.train]
        return weight.startswith((*method.scales, *(prefix for part in parts for prefix in part)))
