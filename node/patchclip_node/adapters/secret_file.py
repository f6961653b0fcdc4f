"""A secret in a file that its user alone, and perhaps the group, may read."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from patchclip_node.domain.errors import ConfigurationError

_TOO_OPEN: Final = 0o027
"""Others may do nothing, and the group may not write. It may read: that is how a service's user reads root's files."""


def read_secret(path: Path, setting: str) -> str:
    """Return the secret, its first line. It is read for each use, so that a new one counts without a restart.

    setting: that names the file. Raises `ConfigurationError`, which names the file and never its content.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _TOO_OPEN:
            raise ConfigurationError(
                f"{setting}: {path} has the mode {mode:04o}, so that others can read or change it: "
                "chmod 0600 it, or 0640 where its group is the node's"
            )
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"{setting}: {path} cannot be read: {why}") from error
    secret = content.partition("\n")[0].strip()
    if not secret:
        raise ConfigurationError(f"{setting}: the first line of {path} is empty")
    return secret


__all__ = ["read_secret"]
