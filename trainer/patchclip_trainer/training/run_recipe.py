"""What the recipe of any run says, and how one is read: a YAML file, whose values the command line can override.

What only one stage says is in `stage1/stage1_recipe.py` and `stage2/stage2_recipe.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from patchclip_core.errors import not_known
from patchclip_core.models.methods import known_method
from patchclip_core.typed_yaml import Problem, described, parse, problems, read_yaml, unusable
from patchclip_core.values.definitions import conf_dir
from patchclip_trainer.errors import RecipeError

Objective = Annotated[str, AfterValidator(known_method)]
"""A method's name, see `patchclip_core.models.methods`."""

Precision = Literal["auto", "float32", "bfloat16"]
LoggerName = Literal["tensorboard", "csv", "mlflow", "wandb"]
WITHOUT_EFFECT: Final = {"device", "save_every", "parallel", "prefetch", "loggers"}
"""Keys that change nothing in a step: a run may go on with others."""


class RecipePart(BaseModel):
    """Keys of a recipe that belong together; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OptimizerRecipe(RecipePart):
    """How weights follow their gradients."""

    kind: Literal["adamw", "sgd"] = "adamw"
    rate_tower: Annotated[float, Field(ge=0)] = 1e-3
    """Highest learning rate of what a pretrained tower has."""
    rate_new: Annotated[float, Field(ge=0)] = 1e-3
    """Highest learning rate of all other layers."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Of matrices and kernels; biases, norms and scales have none."""
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of all steps in which the rate rises from 0."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Longest gradient, over all weights together."""


class AugmentRecipe(RecipePart):
    """Random changes to each image; boxes move along. View 0 of an image is the image as it is."""

    views: Annotated[int, Field(ge=1)] | None = None
    """How many views of an image there are, shown in turn, epoch by epoch; null: a new one each epoch."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the changes; apart from the run's, so that runs with several seeds can share the views' features."""
    shift: Annotated[float, Field(ge=0, le=0.25)] = 0.04
    """Largest shift, as a share of the input's side."""
    scale: Annotated[float, Field(ge=0, le=0.5)] = 0.06
    """Largest change of size: 0.1 is from 0.9 to 1.1."""
    mirror: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of views that swap left and right. Sides have a meaning in a chest, and in sentences that name them."""
    brightness: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Largest value added, white being 1."""
    contrast: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    """Largest change of the spread of grey values."""
    simulate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of views of images called normal by radiologists that a finding is drawn into (docs/simulation.md)."""

    def view_of(self, epoch: int) -> int:
        """Return the number of the view that an epoch shows."""
        return epoch + 1 if self.views is None else epoch % self.views


class RunRecipe(RecipePart):
    """What any run says, whichever stage it trains."""

    stage: ClassVar[str] = "a run"
    """Whose recipe it is, for people."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """Name of the checkpoint that comes out."""
    model: str | None = None
    """A model recipe to build: a name in `conf/models/`, or a YAML file."""
    start: str | None = None
    """A checkpoint to start from instead: a shipped name, or a folder."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    licence_classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Only images whose manifest names one of these licence classes; null: all. Weights are bound by what they saw."""
    epochs: Annotated[int, Field(ge=1)] = 30
    batch: Annotated[int, Field(ge=1)] = 16
    """Most images a step, over all processes; the batches of an epoch are of almost equal size."""
    mix: Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(min_length=1)] | None = None
    """Shares of the sources in what an epoch shows, as {MIMIC-CXR: 3, RSNA: 1}; null: each image once."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps after which the run ends, also within an epoch; the schedule of rates ends there too. Null: `epochs`."""
    chunk: Annotated[int, Field(ge=1)] | None = None
    """Images whose activations are in memory at a time: the gradient is that of the whole batch, for another forward
    pass. In stage 1 texts too, in stage 2 the downscaler's and the tower's. Null: all."""
    folds: Annotated[int, Field(ge=2)] = 5
    held_out_fold: Annotated[int, Field(ge=0)] | None = None
    """Patients of the train split that only early stopping looks at; null: none, and the last epoch is kept."""
    left_out_fold: Annotated[int, Field(ge=0)] | None = None
    """Patients of the train split that have no part in the run: cross-validation predicts them afterwards."""
    patience: Annotated[int, Field(ge=1)] | None = 8
    """Epochs without a better held-out measure after which training stops; null: never."""
    stop_after: Annotated[int, Field(ge=1)] | None = None
    """Epochs after which the run ends, of the `epochs` that its rates are drawn over; null: all. For a final run whose
    cross-validation stopped early."""
    optimizer: OptimizerRecipe = OptimizerRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the running mean of the weights, which is what is kept; 0: no mean."""
    save_every: Annotated[int, Field(ge=1)] = 200
    """Steps between two states on disk: what a killed run loses at most."""
    device: str = "auto"
    precision: Precision = "auto"
    """Of matrix products. `auto`: bfloat16 on a GPU, float32 elsewhere; weights and sums have 32 bits in any case."""
    recompute: bool = False
    """Keep of each transformer layer its input alone, and compute the rest again for the gradient."""
    compile: str | None = None
    """A backend of `torch.compile` for the image tower, such as `inductor`; null: none."""
    prefetch: Annotated[int, Field(ge=0, le=16)] = 0
    """Batches that another thread reads ahead. Their order and what they hold stay the same."""
    loggers: tuple[LoggerName, ...] = ("tensorboard",)
    """Where the numbers of `log.jsonl` go as well: tensorboard, csv, mlflow, wandb."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several processes (`torchrun`) share the work: each holds all weights, or a part of each layer's."""
    objective: Objective = "patchclip"
    """Whose network and loss; stage 2 goes on with stage 1's."""

    @property
    def judged_by(self) -> str:
        """What early stopping looks at, in a word."""
        return "loss"

    @model_validator(mode="after")
    def _start_and_fold_agree(self) -> Self:
        if (self.model is None) == (self.start is None):
            raise ValueError("give either `model`, a network to build, or `start`, a checkpoint to go on from")
        for name, fold in (("held_out_fold", self.held_out_fold), ("left_out_fold", self.left_out_fold)):
            if fold is not None and fold >= self.folds:
                raise ValueError(f"{name} {fold}: folds are counted 0 to {self.folds - 1}")
        if self.left_out_fold is not None and self.left_out_fold == self.held_out_fold:
            raise ValueError(f"held_out_fold {self.held_out_fold} is left out of the run: hold another one out")
        if self.mix is not None and not sum(self.mix.values()):
            raise ValueError("mix: all shares are 0: an epoch would show nothing")
        if self.stop_after is not None and (self.held_out_fold is not None or self.stop_after > self.epochs):
            raise ValueError(
                f"stop_after {self.stop_after}: it ends a run of at most {self.epochs} epochs (`epochs`) that holds no "
                "fold out (held_out_fold: null)"
            )
        if self.parallel == "fsdp" and self.ema:
            raise ValueError(
                "parallel: fsdp keeps no running mean of the weights, of which no process holds all; ema=0"
            )
        return self


_Recipe = TypeVar("_Recipe", bound=RunRecipe)


def read_recipe_of(kind: type[_Recipe], path: Path, changes: Sequence[str] = ()) -> _Recipe:
    """Read a recipe and apply changes, each `key=value` or `part.key=value` with a YAML value.

    path: a file, or the name of a recipe that is shipped.

    Raises `RecipeError`, which names each key that is wrong.
    """
    what = f"a recipe of {kind.stage}"
    path = recipe_file(path)
    content = read_yaml(path, RecipeError, what)
    if not content:
        raise RecipeError(f"{path} is empty: a recipe is a list of keys with values, such as `epochs: 30`")
    for change in changes:
        _apply(content, change)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        found = [_with_change(problem, changes) for problem in problems(kind, error, what, content)]
        text = described(f"{path}, {what}, cannot be changed so:", found)
        if not all(problem.place.startswith("--set ") for problem in found):
            text = described(unusable(path, what), found)
            text += "\n  `patchclip-trainer stage1` reads recipes of stage 1, all other commands those of stage 2"
        raise RecipeError(text) from error


def recipe_file(name: Path) -> Path:
    """Return a recipe's file: the file itself, or the one that the product ships under this name.

    Raises `RecipeError`, which names what is shipped.
    """
    if name.is_file() or name.suffix or len(name.parts) > 1:
        return name
    folder = conf_dir() / "recipes"
    shipped = sorted(path.stem for path in folder.glob("*.yaml"))
    if name.name not in shipped:
        raise RecipeError(
            f"there is no recipe '{name}', neither a file nor a shipped one; {not_known(str(name), shipped)}"
        )
    return folder / f"{name.name}.yaml"


def following_recipe(stage1: Path) -> str:
    """Return the name of the shipped recipe of stage 2 that goes on from one of stage 1."""
    name = stage1.stem.removeprefix("stage1-")
    return name if stage1.stem != name and (conf_dir() / "recipes" / f"{name}.yaml").is_file() else "compact-448"


def _with_change(problem: Problem, changes: Sequence[str]) -> Problem:
    """Name the change instead of the key, where the value is from it and not from the file."""
    names = {change: change.partition("=")[0].strip() for change in changes}
    origin = next((change for change, name in names.items() if f"{problem.place}.".startswith(f"{name}.")), None)
    return problem if origin is None else Problem(f"--set {origin}", problem.said)


def _apply(content: dict[str, Any], change: str) -> None:
    name, sign, text = change.partition("=")
    *parts, key = name.strip().split(".")
    if not (sign and key):
        raise RecipeError(f"--set {change}: a change is written key=value, such as epochs=5 or optimizer.kind=sgd")
    for part in parts:
        content = content.setdefault(part, {})
        if not isinstance(content, dict):
            raise RecipeError(f"--set {change}: {part} has no keys below it")
    try:
        content[key] = parse(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {change}: the value is not valid YAML ({error})") from error
    if isinstance(content[key], str):
        content[key] = _number(content[key])


def _number(text: str) -> str | float:
    """YAML reads 1e-3, which people write, as a word."""
    try:
        return float(text)
    except ValueError:
        return text
