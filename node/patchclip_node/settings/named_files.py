"""The files that settings name: what a node needs besides its data and its configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from patchclip_node.settings.node import NodeSettings

_OWN_FOLDERS: Final = frozenset({"data_dir", "audit.folder"})
_SECRETS: Final = frozenset({"key", "client_secret_file", "secret_key_file"})


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file by its setting, such as `destinations.pacs.tls.key`. is_secret: whoever has it can pass for the node."""

    setting: str
    path: Path
    is_secret: bool


def named_files(settings: NodeSettings) -> Iterator[NamedFile]:
    """Yield each file that the settings name, the files of a model's folder included."""
    yield from _of(settings, "")
    folder = Path(settings.model)
    if folder.is_dir():
        yield from (NamedFile("model", path, False) for path in sorted(folder.iterdir()) if path.is_file())


def _of(value: Any, place: str) -> Iterator[NamedFile]:
    match value:
        case Path():
            if place not in _OWN_FOLDERS:
                yield NamedFile(place, value, place.rpartition(".")[2] in _SECRETS)
        case BaseModel():
            for name in type(value).model_fields:
                yield from _of(getattr(value, name), f"{place}.{name}".removeprefix("."))
        case tuple():
            for number, item in enumerate(value, 1):
                yield from _of(item, f"{place}.{getattr(item, 'name', number)}")
        case Mapping():
            for name, item in value.items():
                yield from _of(item, f"{place}.{name}")
        case _:
            pass


__all__ = ["NamedFile", "named_files"]
