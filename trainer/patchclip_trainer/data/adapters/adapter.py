"""What an adapter is: how to tell a data set by its files, and how to read its lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from patchclip_trainer.data.manifest import Manifest

OWN = "own images"
"""The source of images that belong to no published data set; the name of their folder might be a patient's."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """Reads one data set's layout.

    recognises: tells from the names of files alone whether a folder is laid out so.
    read: returns the manifest; raises `DataError` where a list that the layout needs is missing or damaged.
    identifying: patients or file names may be those of real people, so both are replaced under a secret key. Published
        data sets have pseudonyms already. A function tells it of a folder where it depends on what is in there.
    """

    name: str
    title: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Manifest]
    identifying: bool | Callable[[Path], bool] = False

    def identifies(self, folder: Path) -> bool:
        """Tell whether patients or file names in a folder may be those of real people."""
        return self.identifying if isinstance(self.identifying, bool) else self.identifying(folder)
