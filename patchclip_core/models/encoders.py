"""Which towers there are: their settings, told apart by `kind`, and how each is built."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from patchclip_core.models.auto import AutoImageSettings, AutoImageTower, AutoTextSettings, AutoTextTower
from patchclip_core.models.clip import ClipImageSettings, ClipImageTower, ClipTextSettings, ClipTextTower
from patchclip_core.models.compact import CompactImageSettings, CompactImageTower, CompactTextSettings, CompactTextTower
from patchclip_core.models.towers import ImageTower, TextTower

AnyImageTower = CompactImageSettings | ClipImageSettings | AutoImageSettings
AnyTextTower = CompactTextSettings | ClipTextSettings | AutoTextSettings
ImageTowerSettings = Annotated[AnyImageTower, Field(discriminator="kind")]
TextTowerSettings = Annotated[AnyTextTower, Field(discriminator="kind")]


def build_image_tower(settings: AnyImageTower) -> ImageTower:
    """Build an image tower, with random weights. Raises `CheckpointError` where `transformers` cannot."""
    if isinstance(settings, CompactImageSettings):
        return CompactImageTower(settings)
    return ClipImageTower(settings) if isinstance(settings, ClipImageSettings) else AutoImageTower(settings)


def build_text_tower(settings: AnyTextTower) -> TextTower:
    """Build a text tower, with random weights. Raises `CheckpointError` where `transformers` cannot."""
    if isinstance(settings, CompactTextSettings):
        return CompactTextTower(settings)
    return ClipTextTower(settings) if isinstance(settings, ClipTextSettings) else AutoTextTower(settings)
