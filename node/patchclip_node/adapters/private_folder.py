"""The node's data folder is its user's alone: images, names and keys to them lie there."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from patchclip_node.domain.errors import ConfigurationError

_OTHERS: Final = 0o077


def make_private(folder: Path) -> None:
    """Make a folder that only this user may enter, or take others' access to one that stands.

    Raises `ConfigurationError` where it cannot be made, or another user owns it and lets others in.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & _OTHERS:
            folder.chmod(mode & ~_OTHERS)
    except OSError as error:
        raise ConfigurationError(
            f"data_dir: {error.filename or folder} can't be kept for this user alone: {error.strerror}. "
            "Name a folder that belongs to the user who runs the node"
        ) from error
