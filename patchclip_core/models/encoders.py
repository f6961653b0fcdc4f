"""Which towers there are: their settings, told apart by `kind`, and how each is built."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from patchclip_core.models.clip import ClipImageSettings, ClipImageTower, ClipTextSettings, ClipTextTower
from patchclip_core.models.compact import CompactImageSettings, CompactImageTower, CompactTextSettings, CompactTextTower
from patchclip_core.models.towers import ImageTower, TextTower

ImageTowerSettings = Annotated[CompactImageSettings | ClipImageSettings, Field(discriminator="kind")]
TextTowerSettings = Annotated[CompactTextSettings | ClipTextSettings, Field(discriminator="kind")]


def build_image_tower(settings: CompactImageSettings | ClipImageSettings) -> ImageTower:
    """Build an image tower, with random weights."""
    return CompactImageTower(settings) if isinstance(settings, CompactImageSettings) else ClipImageTower(settings)


def build_text_tower(settings: CompactTextSettings | ClipTextSettings) -> TextTower:
    """Build a text tower, with random weights."""
    return CompactTextTower(settings) if isinstance(settings, CompactTextSettings) else ClipTextTower(settings)
