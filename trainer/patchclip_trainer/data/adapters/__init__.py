"""One adapter a data set's layout, most particular first."""

from __future__ import annotations

from pathlib import Path

from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.adapters.coco import COCO
from patchclip_trainer.data.adapters.dicom import DICOM_FOLDER
from patchclip_trainer.data.adapters.folders import PICTURE_FOLDER
from patchclip_trainer.data.adapters.generic import GENERIC
from patchclip_trainer.data.adapters.mimic import MIMIC
from patchclip_trainer.data.adapters.nih import CHESTX_DET, NIH
from patchclip_trainer.data.adapters.openi import OPENI
from patchclip_trainer.data.adapters.rsna import RSNA, SIIM
from patchclip_trainer.data.adapters.vindr import VINDR
from patchclip_trainer.errors import DataError

ADAPTERS: tuple[Adapter, ...] = (
    GENERIC,
    NIH,
    RSNA,
    CHESTX_DET,
    VINDR,
    SIIM,
    MIMIC,
    OPENI,
    COCO,
    DICOM_FOLDER,
    PICTURE_FOLDER,
)


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
