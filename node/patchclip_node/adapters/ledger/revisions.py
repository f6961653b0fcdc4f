"""The names of the migrations that this version of the program knows."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

MIGRATIONS: Final = "patchclip_node.adapters.ledger:migrations"


@cache
def revisions() -> tuple[str, ...]:
    """Return the names of all migrations, the first one first: each file's name begins with its own."""
    package, _, folder = MIGRATIONS.partition(":")
    names = (file.name for file in (files(package) / folder / "versions").iterdir())
    return tuple(sorted(name.partition("_")[0] for name in names if name.endswith(".py") and name[0].isdigit()))
