"""What adapters read, as tests look at it."""

from __future__ import annotations

from pathlib import Path

from patchclip_trainer.data.adapters import adapter_for
from patchclip_trainer.data.manifest import Manifest, Problem


def read_as(folder: Path, name: str) -> Manifest:
    """Read a folder by the adapter that recognises it, which must be the one of this name."""
    adapter = adapter_for(folder)
    assert adapter.name == name
    return adapter.read(folder)


def places(problems: tuple[Problem, ...]) -> list[str]:
    """Return where each problem lies, and its kind."""
    return [f"{problem.place} {problem.kind}" for problem in problems]
