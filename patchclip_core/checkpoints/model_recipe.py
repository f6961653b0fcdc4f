"""What a network is to be built from, as a training recipe names it; and the network that a training starts with.

A recipe is a YAML file (`conf/models/` has some): encoders by name, sizes, the downscaler. What is built from it needs
neither the recipe nor the encoders' sources again: all of it goes into the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from patchclip_core.checkpoints.loading import read_tokenizer
from patchclip_core.errors import CheckpointError
from patchclip_core.models.alignment import Alignment
from patchclip_core.models.downscaler import AnyDownscalerSettings
from patchclip_core.models.encoders import IMAGE_FAMILIES, TEXT_FAMILIES
from patchclip_core.models.methods import find_method
from patchclip_core.models.methods.method import Method
from patchclip_core.models.methods.patchclip import Mode, SparseSettings
from patchclip_core.models.network import FindingsNetwork
from patchclip_core.models.packing import Packing
from patchclip_core.models.towers import (
    ImageSettings,
    ImageTower,
    PretrainedImage,
    PretrainedText,
    TextSettings,
    Tokenizer,
    Wanted,
)
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.typed_yaml import read_model
from patchclip_core.values.definitions import conf_dir

_EMBEDDING = 64


class ModelRecipe(BaseModel):
    """A network to build."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = "default"
    """Of a Patch-CLIP that is built without naming a method."""
    input_px: Annotated[int, Field(ge=16, le=8192)]
    """Height and width of what preprocessing makes of a radiograph."""
    image: str = "compact"
    """Image encoder: a name of `IMAGE_FAMILIES`, or FAMILY:SOURCE."""
    image_options: dict[str, JsonValue] = {}
    """What the image encoder's family lets a recipe choose (`TowerSettings.choices`), such as {width: 64}."""
    text: str = "compact"
    """Text encoder: a name of `TEXT_FAMILIES`, or FAMILY:SOURCE."""
    text_options: dict[str, JsonValue] = {}
    """Likewise, such as {pooling: class}."""
    weights: Literal["pretrained", "random"] = "pretrained"
    """`random`: of an encoder that would be downloaded, the shape alone; no network is asked. For rehearsals: time and
    memory are those of the encoder, what such a network learns is not."""
    embedding: Annotated[int, Field(ge=2)] | None = None
    """Width of the space shared by image and text; left out, that of the image encoder's own projection, else 64."""
    downscaler: AnyDownscalerSettings | None = None
    sparse: SparseSettings | None = None
    """Size of the sparse head. Null: the published one in the mode `paper`, and no such head in the default mode, where
    it gains nothing (docs/trials.md)."""
    linear_reader: bool = False
    """Whether a logistic regression on the fixed trunk's pooled features speaks for the image as well; stage 2 fits it
    to what its training images are known to show."""
    cell_head: bool = False
    """Whether a plain head over the fixed trunk's cells, trained beside the patch head, speaks for the patches as
    well."""
    packing: dict[str, Packing] = {}
    """How weights are stored, by how their names begin, such as {text_tower.: int8}; these are not trained."""

    @property
    def tower_px(self) -> int:
        """Height and width of what the image tower sees."""
        if self.downscaler is None:
            return self.input_px
        return self.downscaler.build().align(Alignment.of_input(self.input_px)).side


@dataclass(frozen=True, slots=True, eq=False)
class Encoders:
    """The two encoders of a recipe, with what they bring along."""

    recipe: ModelRecipe
    embedding: int
    tokenizer: Tokenizer
    image: PretrainedImage
    text: PretrainedText

    @property
    def image_tower(self) -> ImageSettings:
        """What the image tower is built from."""
        return self.image.settings

    @property
    def text_tower(self) -> TextSettings:
        """What the text tower is built from."""
        return self.text.settings

    def build(self, method: Method[Any] | None = None) -> FindingsNetwork:
        """Build a method's network: towers with their weights, everything else new.

        method: by default Patch-CLIP in the recipe's mode.
        """
        method = method or find_method("paper" if self.recipe.mode == "paper" else "patchclip")
        named = {name: getattr(self.recipe, name) for name in type(self.recipe).model_fields}
        chosen = {name: value for name, value in named.items() if value is not None}
        towers = {"image_tower": self.image_tower, "text_tower": self.text_tower}
        network = method.describe({**chosen, **towers, "embedding": self.embedding}).build()
        self._fill(network)
        return network

    def preprocess(self, network: FindingsNetwork) -> PreprocessSettings:
        """Return what the network expects of its input, for its checkpoint's card."""
        return PreprocessSettings(
            input_px=self.recipe.input_px, grid=network.grid, mean=self.image.mean, std=self.image.std
        )

    def _fill(self, network: FindingsNetwork) -> None:
        """Copy the weights that the encoders bring; a projection only where the shared space has its width."""
        with torch.no_grad():
            _fill_image_tower(network.image_tower, self.image)
            if self.text.weights is not None:
                network.text_tower.load_state_dict(self.text.weights)
            for layer, brought in (
                (network.visual_projection, self.image.projection),
                (network.text_projection, self.text.projection),
            ):
                if brought is not None and len(brought) == self.embedding:
                    layer.weight.copy_(brought)
            if self.image.logit_scale is not None:
                network.logit_scale.copy_(self.image.logit_scale)
        network.round_packed()


def read_recipe(name_or_path: str | Path) -> ModelRecipe:
    """Read a recipe: the name of a shipped one (`recipes()`), or a YAML file.

    Raises `CheckpointError`, which names each key that is wrong.
    """
    path = _recipe_folder() / f"{name_or_path}.yaml" if str(name_or_path) in recipes() else Path(name_or_path)
    if not path.is_file():
        raise CheckpointError(
            f"there is no recipe '{name_or_path}': give a YAML file, or one of: {', '.join(recipes())}"
        )
    return read_model(ModelRecipe, path, CheckpointError, "a recipe of a network")


def recipes() -> list[str]:
    """Names of the recipes that the package ships."""
    return sorted(path.stem for path in _recipe_folder().glob("*.yaml"))


def read_encoders(recipe: ModelRecipe, folder: Path, sentences: Iterable[str]) -> Encoders:
    """Read a recipe's encoders; write the text encoder's tokenizer into the folder that becomes the checkpoint.

    sentences: what the compact text tower takes its vocabulary from. Raises `CheckpointError`.
    """
    image_family, image_source = IMAGE_FAMILIES.find(recipe.image)
    text_family, text_source = TEXT_FAMILIES.find(recipe.text)
    tower_px = recipe.tower_px  # once: it draws a downscaler's random weights, and what follows depends on the draw
    wanted = Wanted(image_source, recipe.image_options, tower_px)
    image = image_family.in_shape(wanted) if recipe.weights == "random" else image_family.from_recipe(wanted)
    _check_channels(recipe, image.settings)
    wanted = Wanted(text_source, recipe.text_options, tower_px, tuple(sentences))
    text = text_family.in_shape(wanted) if recipe.weights == "random" else text_family.from_recipe(wanted)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / text.settings.tokenizer_file).write_text(text.tokenizer, encoding="utf-8")
    brought = len(image.projection) if image.projection is not None else _EMBEDDING
    return Encoders(recipe, recipe.embedding or brought, read_tokenizer(folder, text.settings), image, text)


def _fill_image_tower(tower: ImageTower, start: PretrainedImage) -> None:
    """Fill what the settings call pretrained, whole; layers that the tower adds stay as they are."""
    if start.weights is not None:
        added = {
            name: weight
            for name, weight in tower.state_dict().items()
            if not name.startswith(start.settings.pretrained)
        }
        tower.load_state_dict(start.weights | added)


def _check_channels(recipe: ModelRecipe, tower: ImageSettings) -> None:
    ends = recipe.downscaler.ends if recipe.downscaler is not None else ()
    if any(channels != tower.input_channels for channels in ends):
        raise CheckpointError(
            f"the image encoder '{recipe.image}' takes {tower.input_channels} channels: the downscaler must begin and "
            "end with them"
        )


def _recipe_folder() -> Path:
    return conf_dir() / "models"
