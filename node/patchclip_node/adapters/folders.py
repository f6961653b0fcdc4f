"""Folders that are still there after the power failed."""

from __future__ import annotations

import os
from pathlib import Path


def make_durable_folder(folder: Path) -> None:
    """Make a folder with what leads to it, and fsync the entries of all that was made.

    The folder's own entry is synced in any case: a process that was killed may have made the folder a moment ago.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in dict.fromkeys((folder, *made)):
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Fsync a folder's entries."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # one may make entries in a folder that one may not list
        os.sync()
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
