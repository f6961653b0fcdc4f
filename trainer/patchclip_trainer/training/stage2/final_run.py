"""A final run: all patients of the train split, trained as the folds of a cross-validation were, and for as long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from patchclip_core.models.card import Provenance
from patchclip_trainer.data.label_domains import LabelDomains
from patchclip_trainer.data.shards import PreparedData
from patchclip_trainer.errors import RecipeError
from patchclip_trainer.evaluation.out_of_fold import OUT_OF_FOLD_FILE, read_out_of_fold
from patchclip_trainer.training.loop.processes import ALONE, Processes
from patchclip_trainer.training.loop.provenance import disagreements
from patchclip_trainer.training.stage2.stage import Stage2
from patchclip_trainer.training.stage2.stage2_recipe import Stage2Recipe


@dataclass(frozen=True, slots=True)
class FinalRun:
    """Builds stage 2 as `Stage2` does, and refuses what the folds have not measured. crossval: their folder."""

    crossval: Path
    wanted: Provenance

    @classmethod
    def of(cls, crossval: Path) -> Self:
        """Read what a cross-validation asks of its final run. Raises `RecipeError` where it asks nothing."""
        folds = read_out_of_fold(crossval)
        if folds is None or folds.final is None:
            raise RecipeError(
                f"{crossval / OUT_OF_FOLD_FILE} does not say how a final run is to be trained: run `patchclip-trainer "
                "crossval` over all folds first"
            )
        return cls(crossval, folds.final)

    def recipe_of(self, recipe: Stage2Recipe) -> Stage2Recipe:
        """Return the recipe of the final run."""
        return recipe.for_a_final_run(self.wanted.epochs)

    def __call__(
        self,
        recipe: Stage2Recipe,
        data: PreparedData,
        tokenizer_folder: Path,
        *,
        domains: LabelDomains | None = None,
        features: Path | None = None,
        processes: Processes = ALONE,
    ) -> Stage2:
        """Build it. Raises `RecipeError`, which says what differs from the folds."""
        stage = Stage2(recipe, data, tokenizer_folder, domains=domains, features=features, processes=processes)
        found = stage.provenance(recipe.stop_after or recipe.epochs)
        if wrong := disagreements(found, self.wanted):
            raise RecipeError(
                f"this would not be the final run of {self.crossval}:\n  "
                + "\n  ".join(wrong)
                + "\nGive the recipe, --set, data and label domains that the folds had, or cross-validate again"
            )
        return stage
