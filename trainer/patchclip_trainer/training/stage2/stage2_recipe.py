"""A recipe of stage 2: by which loss it learns, from which labels, and what early stopping looks at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from patchclip_trainer.training.run_recipe import RecipePart, RunRecipe, read_recipe_of


class PartsRecipe(RecipePart):
    """Weights of the loss's parts, of the objectives `patchclip` and `paper`; the defaults are the publication's."""

    overall: Annotated[float, Field(ge=0)] = 1.0
    pooled: Annotated[float, Field(ge=0)] = 1.0
    patches: Annotated[float, Field(ge=0)] = 1.0
    sparse: Annotated[float, Field(ge=0)] = 0.5
    bags: Annotated[float, Field(ge=0)] = 0.0
    """Of images that show a finding at an unknown place: their highest patches are to say where."""
    bag_patches: Annotated[int, Field(ge=1)] = 4
    """How many of the highest patches of such an image these are."""


class Stage2Recipe(RunRecipe):
    """A run of stage 2."""

    stage: ClassVar[str] = "stage 2"

    train: Literal["everything", "image", "heads"] = "everything"
    """'image': not the text side. 'heads': what the paper's stage 2 trains."""
    mirrored: bool = False
    """Whether the checkpoint also looks at the mirror image and takes the mean, and whether predictions do."""
    smoothing_patches: Annotated[float, Field(ge=0, le=4)] = 0.0
    """Standard deviation of the Gaussian that smooths the checkpoint's maps, in patches; it has no part in training."""
    parts: PartsRecipe = PartsRecipe()
    hard_targets: bool = False
    """Patches count as whole from half coverage on; always so with the objective `paper`."""
    text_mined: bool = True
    """Text-mined labels count for the image as a whole; for patches they never do."""
    normal_patches: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How much the patches of an image count that words alone call normal, beside those of images that were read. Only
    where the label domains say that such words hold (NIH's PA films); 0: they teach no patch."""
    rest_of_lists: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How much the patches around the boxes count as negatives where a list marks some lesions alone (NIH's); 0: they
    are unknown."""
    box_rim: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How much a box's rim counts; its middle counts 2 less this, a finding's boxes of an image together as at 1."""
    train_images: Annotated[int, Field(ge=1)] | None = None
    """This many images of the train split alone, by whole patients; a smaller number takes some of a larger one's, and
    folds stay as they are. For learning curves; null: all."""
    balance: Annotated[float, Field(ge=1)] | None = None
    """How often an epoch shows an image at most, so that findings and, within each, views come equally often; null:
    once each."""
    stop_on: Literal["froc", "loss"] = "froc"
    """What early stopping looks at: how well lesions are found, where any is held out; or the loss."""
    findings: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Keys to train; left out, all that have a positive image in the part that is trained on."""
    by_text: tuple[str, ...] = ()
    """Keys that are never trained; a cross-validation asks for them by their sentences alone, and measures that."""

    @model_validator(mode="after")
    def _one_rule_of_how_often(self) -> Self:
        if self.mix is not None and self.balance is not None:
            raise ValueError("balance and mix both say how often an image is shown: give one of them")
        return self

    @property
    def judged_by(self) -> str:
        """What early stopping looks at, in a word."""
        return self.stop_on

    @property
    def whole(self) -> Stage2Recipe:
        """The same recipe for all patients of the train split."""
        return self.model_copy(update={"held_out_fold": None, "left_out_fold": None})

    def for_a_final_run(self, epochs: int) -> Stage2Recipe:
        """Return the recipe of a run on all patients that is as long as folds were, which kept `epochs`."""
        return self.model_copy(
            update={
                "held_out_fold": None,
                "left_out_fold": None,
                "stop_after": None if self.held_out_fold is None else epochs,
            }
        )


def read_stage2_recipe(path: Path, changes: Sequence[str] = ()) -> Stage2Recipe:
    """Read a recipe of stage 2; see `read_recipe_of`."""
    return read_recipe_of(Stage2Recipe, path, changes)
