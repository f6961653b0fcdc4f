"""One adapter a data set's layout, most particular first."""

from __future__ import annotations

from pathlib import Path

from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.adapters.generic import GENERIC
from patchclip_trainer.errors import DataError

ADAPTERS: tuple[Adapter, ...] = (GENERIC,)


def adapter_named(name: str) -> Adapter:
    """Return the adapter of this name; raises `DataError` where there is none."""
    for adapter in ADAPTERS:
        if adapter.name == name:
            return adapter
    raise DataError(f"there is no adapter {name!r}; there are {', '.join(adapter.name for adapter in ADAPTERS)}")


def adapter_for(folder: Path) -> Adapter:
    """Return the first adapter that recognises a folder; raises `DataError` where none does."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    for adapter in ADAPTERS:
        if adapter.recognises(folder):
            return adapter
    known = "; ".join(f"{adapter.name}: {adapter.title}" for adapter in ADAPTERS)
    raise DataError(f"{folder}: no known layout is in this folder. Known: {known}. Name one with --adapter")
