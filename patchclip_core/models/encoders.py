"""Which families of towers there are. A family is one module, and one line here."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Generic, TypeVar

from pydantic import PlainValidator, SerializeAsAny

from patchclip_core.errors import CheckpointError
from patchclip_core.models.packaged import find_source
from patchclip_core.models.towers import ImageSettings, TextSettings, TowerSettings

Settings = TypeVar("Settings", bound=TowerSettings)


class Families(Generic[Settings]):
    """The families of one side, by their names; a family's module is imported when it is first asked."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """places: 'MODULE:CLASS' of each family's settings."""
        self._places = places

    def __iter__(self) -> Iterator[str]:
        """The families' names."""
        return iter(self._places)

    def of(self, kind: str) -> type[Settings]:
        """Return the settings' class of a family. Raises `ValueError`, which lists the known ones."""
        if kind not in self._places:
            raise ValueError(f"there is no family of encoders '{kind}'; there are {', '.join(self._places)}")
        family: type[Settings] = pkgutil.resolve_name(self._places[kind])
        return family

    def validate(self, value: Any) -> Settings:
        """Return settings as `pydantic` is to read them: told apart by their `kind`. Raises `ValueError`."""
        if isinstance(value, TowerSettings):
            return self.of(type(value).model_fields["kind"].default).model_validate(value)
        if not isinstance(value, Mapping) or "kind" not in value:
            raise ValueError("the settings of an encoder name its family: kind")
        return self.of(str(value["kind"])).model_validate(value)

    def names(self) -> dict[str, str]:
        """Return the known encoders by name, each as FAMILY:SOURCE, or FAMILY where it needs no source."""
        families = [(kind, self.of(kind)) for kind in self._places]
        return {
            name: f"{kind}:{source}" if source else kind
            for kind, family in families
            for name, source in family.named.items()
        }

    def find(self, name: str) -> tuple[type[Settings], str]:
        """Return an encoder's family and source, from a name or from 'FAMILY:SOURCE'.

        Raises `CheckpointError`, which lists the known names.
        """
        named = self.names()
        kind, _, source = named.get(name, name).partition(":")
        if kind in self._places and self.of(kind).has_source == bool(source):
            return self.of(kind), find_source(source)
        free = " or ".join(f"{kind}:SOURCE" for kind in self._places if self.of(kind).has_source)
        raise CheckpointError(
            f"there is no encoder '{name}': give one of {', '.join(named)}; or {free}, where the source is a folder, "
            "an id of the Hugging Face hub, or package:NAME/FOLDER"
        )


IMAGE_FAMILIES = Families[ImageSettings](
    {
        "compact": "patchclip_core.models.compact:CompactImageSettings",
        "efficientnet": "patchclip_core.models.efficientnet:EfficientNetImageSettings",
        "clip": "patchclip_core.models.clip:ClipImageSettings",
        "auto": "patchclip_core.models.auto:AutoImageSettings",
    }
)
TEXT_FAMILIES = Families[TextSettings](
    {
        "compact": "patchclip_core.models.compact:CompactTextSettings",
        "clip": "patchclip_core.models.clip:ClipTextSettings",
        "auto": "patchclip_core.models.auto:AutoTextSettings",
    }
)

ImageTowerSettings = Annotated[SerializeAsAny[ImageSettings], PlainValidator(IMAGE_FAMILIES.validate)]
"""Of any family; a field of other settings."""
TextTowerSettings = Annotated[SerializeAsAny[TextSettings], PlainValidator(TEXT_FAMILIES.validate)]
"""Likewise."""
