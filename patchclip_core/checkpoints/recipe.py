"""What a network is to be built from, as a training recipe names it; and the network that a training starts with.

A recipe is a YAML file (`conf/models/` has some): encoders by name, sizes, the downscaler. What is built from it needs
neither the recipe nor the encoders' sources again: all of it goes into the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patchclip_core.checkpoints.loading import TOKENIZER_FILE, VOCABULARY_FILE, read_tokenizer
from patchclip_core.errors import CheckpointError
from patchclip_core.models.alignment import Alignment
from patchclip_core.models.clip import ClipImageSettings
from patchclip_core.models.compact import CompactImageSettings, CompactTextSettings
from patchclip_core.models.downscaler import (
    AnyDownscalerSettings,
    DownscalerSettings,
    LearnedDownscalerSettings,
    build_downscaler,
)
from patchclip_core.models.efficientnet import EfficientNetImageSettings
from patchclip_core.models.encoders import (
    COMPACT,
    IMAGE_ENCODERS,
    TEXT_ENCODERS,
    AnyImageTower,
    AnyTextTower,
    find_encoder,
)
from patchclip_core.models.methods.lrclr import Lrclr, LrclrSettings
from patchclip_core.models.methods.patchclip import Mode, PatchClip, PatchClipSettings, SparseSettings
from patchclip_core.models.packing import Packing
from patchclip_core.models.pretrained import (
    PretrainedImage,
    PretrainedText,
    read_auto_image,
    read_auto_text,
    read_clip_image,
    read_clip_text,
    read_efficientnet_image,
)
from patchclip_core.models.tokenizer import WordTokenizer
from patchclip_core.models.towers import ImageTower, Tokenizer, TrunkTower
from patchclip_core.places.preprocess import PreprocessSettings
from patchclip_core.typed_yaml import read_model
from patchclip_core.values.definitions import conf_dir

_COMPACT_EMBEDDING = 64


class ModelRecipe(BaseModel):
    """A network to build."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = "default"
    input_px: Annotated[int, Field(ge=16, le=8192)]
    """Height and width of what preprocessing makes of a radiograph."""
    image: str = COMPACT
    """Image encoder: a name of `IMAGE_ENCODERS`, or 'clip:SOURCE' or 'auto:SOURCE'."""
    text: str = COMPACT
    """Text encoder: a name of `TEXT_ENCODERS`, or 'clip:SOURCE' or 'auto:SOURCE'."""
    embedding: Annotated[int, Field(ge=2)] | None = None
    """Width of the space shared by image and text; left out, that of the image encoder's own projection, else 64."""
    text_pooling: Literal["mean", "class"] = "mean"
    """What speaks for a sentence, for text encoders of the family 'auto'."""
    compact_image: CompactImageSettings = CompactImageSettings()
    """The compact image tower; its input_px is set from what the downscaler leaves."""
    efficientnet_image: EfficientNetImageSettings = EfficientNetImageSettings()
    """The layers after an EfficientNet's fixed trunk, likewise."""
    compact_text_width: Annotated[int, Field(ge=4)] = 64
    compact_text_layers: Annotated[int, Field(ge=1)] = 2
    downscaler: AnyDownscalerSettings | None = None
    sparse: SparseSettings = SparseSettings()
    packing: dict[str, Packing] = {}
    """How weights are stored, by how their names begin, such as {text_tower.: int8}; these are not trained."""

    @property
    def tower_px(self) -> int:
        """Height and width of what the image tower sees."""
        if self.downscaler is None:
            return self.input_px
        return build_downscaler(self.downscaler).align(Alignment.of_input(self.input_px)).side


@dataclass(frozen=True, slots=True, eq=False)
class Encoders:
    """The two encoders of a recipe, with what they bring along."""

    recipe: ModelRecipe
    image_tower: AnyImageTower
    text_tower: AnyTextTower
    embedding: int
    tokenizer: Tokenizer
    image: PretrainedImage | None
    text: PretrainedText | None

    def patch_clip(self) -> PatchClip:
        """Build a Patch-CLIP: towers with their weights, everything else new."""
        recipe = self.recipe
        network = PatchClip(
            PatchClipSettings(
                mode=recipe.mode,
                input_px=recipe.input_px,
                embedding=self.embedding,
                image_tower=self.image_tower,
                text_tower=self.text_tower,
                downscaler=recipe.downscaler,
                sparse=recipe.sparse,
                packing=recipe.packing,
            )
        )
        self._fill(network)
        return network

    def lrclr(self) -> Lrclr:
        """Build an LRCLR, likewise."""
        network = Lrclr(
            LrclrSettings(
                input_px=self.recipe.input_px,
                embedding=self.embedding,
                image_tower=self.image_tower,
                text_tower=self.text_tower,
                downscaler=self.recipe.downscaler,
                packing=self.recipe.packing,
            )
        )
        self._fill(network)
        return network

    def preprocess(self, network: PatchClip | Lrclr) -> PreprocessSettings:
        """Return what the network expects of its input, for its checkpoint's card."""
        settings = PreprocessSettings(input_px=self.recipe.input_px, grid=network.grid)
        if self.image is None:
            channels = self.recipe.compact_image.channels
            return settings.model_copy(update={"mean": settings.mean * channels, "std": settings.std * channels})
        return settings.model_copy(update={"mean": self.image.mean, "std": self.image.std})

    def _fill(self, network: PatchClip | Lrclr) -> None:
        """Copy the weights that the encoders bring; a projection only into a shared space of its own width."""
        with torch.no_grad():
            if self.image is not None:
                _fill_tower(network.image_tower, self.image.weights)
                if self.image.projection is not None and len(self.image.projection) == self.embedding:
                    network.visual_projection.weight.copy_(self.image.projection)
                if self.image.logit_scale is not None:
                    network.logit_scale.copy_(self.image.logit_scale)
            if self.text is not None:
                network.text_tower.load_state_dict(self.text.weights)
                if self.text.projection is not None and len(self.text.projection) == self.embedding:
                    network.text_projection.weight.copy_(self.text.projection)
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
    family, source = find_encoder(recipe.image, IMAGE_ENCODERS)
    text_family, text_source = find_encoder(recipe.text, TEXT_ENCODERS)
    image: PretrainedImage | None = None
    image_tower: AnyImageTower = recipe.compact_image.model_copy(update={"input_px": recipe.tower_px})
    if family != COMPACT:
        image = _read_image(recipe, family, source)
        image_tower = image.settings
    _check_channels(recipe, image_tower)
    folder.mkdir(parents=True, exist_ok=True)
    text: PretrainedText | None = None
    if text_family == COMPACT:
        vocabulary = WordTokenizer.vocabulary_of(sentences)
        compact = CompactTextSettings(
            vocabulary=len(vocabulary), width=recipe.compact_text_width, layers=recipe.compact_text_layers
        )
        text_tower: AnyTextTower = compact
        WordTokenizer(vocabulary, compact.tokens).write(folder / VOCABULARY_FILE)
    else:
        text = (
            read_clip_text(text_source) if text_family == "clip" else read_auto_text(text_source, recipe.text_pooling)
        )
        text_tower = text.settings
        (folder / TOKENIZER_FILE).write_text(text.tokenizer, encoding="utf-8")
    own = len(image.projection) if image is not None and image.projection is not None else _COMPACT_EMBEDDING
    return Encoders(
        recipe, image_tower, text_tower, recipe.embedding or own, read_tokenizer(folder, text_tower), image, text
    )


def _read_image(recipe: ModelRecipe, family: str, source: str) -> PretrainedImage:
    if family == "efficientnet":
        try:
            settings = EfficientNetImageSettings(
                **(recipe.efficientnet_image.model_dump() | {"input_px": recipe.tower_px})
            )
        except ValidationError as error:
            raise CheckpointError(
                f"the trunk of '{recipe.image}' cannot see {recipe.tower_px} px: {error.errors()[0]['msg']}"
            ) from error
        return read_efficientnet_image(source, settings)
    return read_clip_image(source) if family == "clip" else read_auto_image(source)


def _fill_tower(tower: ImageTower, weights: dict[str, torch.Tensor]) -> None:
    """Fill a tower; of one with a trunk, the trunk, whole."""
    own = tower.state_dict()
    new = {name: weight for name, weight in own.items() if not name.startswith("model.")}
    tower.load_state_dict(weights | new if isinstance(tower, TrunkTower) else weights)


def _check_channels(recipe: ModelRecipe, tower: AnyImageTower) -> None:
    ends: tuple[int, ...] = ()
    if isinstance(recipe.downscaler, LearnedDownscalerSettings):
        ends = (recipe.downscaler.channels,)
    elif isinstance(recipe.downscaler, DownscalerSettings):
        ends = (recipe.downscaler.channels[0], recipe.downscaler.channels[-1])
    wanted = _channels(tower)
    if any(channels != wanted for channels in ends):
        raise CheckpointError(
            f"the image encoder '{recipe.image}' takes {wanted} channels: the downscaler must begin and end with them"
        )


def _channels(tower: AnyImageTower) -> int:
    if isinstance(tower, CompactImageSettings):
        return tower.channels
    if isinstance(tower, EfficientNetImageSettings):
        return 1
    if isinstance(tower, ClipImageSettings):
        return tower.num_channels
    channels = tower.config.get("num_channels", 3)
    return channels if isinstance(channels, int) else 3


def _recipe_folder() -> Path:
    return conf_dir() / "models"
