"""One adapter a data set's layout, most particular first."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.adapters.chexpert import CHEXPERT
from patchclip_trainer.data.adapters.coco import COCO
from patchclip_trainer.data.adapters.collection import collection_of
from patchclip_trainer.data.adapters.dicom import DICOM_FOLDER
from patchclip_trainer.data.adapters.folders import PICTURE_FOLDER
from patchclip_trainer.data.adapters.generic import GENERIC
from patchclip_trainer.data.adapters.mimic import MIMIC
from patchclip_trainer.data.adapters.nih import CHESTX_DET, NIH
from patchclip_trainer.data.adapters.openi import OPENI
from patchclip_trainer.data.adapters.padchest import PADCHEST
from patchclip_trainer.data.adapters.rsna import RSNA, SIIM
from patchclip_trainer.data.adapters.vindr import VINDR
from patchclip_trainer.errors import DataError

_PUBLISHED = (GENERIC, NIH, RSNA, CHESTX_DET, CHEXPERT, PADCHEST, VINDR, SIIM, MIMIC, COCO)
_BY_FILES = (OPENI, DICOM_FOLDER, PICTURE_FOLDER)
"""They find their files anywhere below, so that a folder above theirs looks like theirs, too."""
ADAPTERS: tuple[Adapter, ...] = (
    *_PUBLISHED,
    collection_of(_PUBLISHED, _BY_FILES),
    *_BY_FILES,
)


def adapter_named(name: str, folder: Path) -> Adapter:
    """Return the adapter of this name; raises `DataError` where there is none, or a folder is not laid out so."""
    _check_folder(folder)
    for adapter in ADAPTERS:
        if adapter.name == name:
            if adapter.recognises(folder):
                return adapter
            fitting = [other.name for other in ADAPTERS if other.recognises(folder)]
            advice = f"it looks like {fitting[0]}: leave --adapter out" if fitting else "name the folder that has it"
            raise DataError(f"{folder}: this is not the layout of {name} ({adapter.title}); {advice}")
    names = [adapter.name for adapter in ADAPTERS]
    near = get_close_matches(name, names, 1)
    meant = f"; {near[0]!r} may be meant" if near else ""
    raise DataError(f"there is no adapter {name!r}{meant}; there are {', '.join(names)}")


def adapter_for(folder: Path) -> Adapter:
    """Return the first adapter that recognises a folder; raises `DataError` where none does."""
    _check_folder(folder)
    for adapter in ADAPTERS:
        if adapter.recognises(folder):
            return adapter
    known = "; ".join(f"{adapter.name}: {adapter.title}" for adapter in ADAPTERS)
    raise DataError(f"{folder}: no known layout is in this folder. Known: {known}. Name one with --adapter")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
