"""The code that measured: a digest over the sources of core and trainer, so that a figure can be led back to them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import patchclip_core
import patchclip_trainer
from patchclip_core.values.definitions import conf_dir


def code_digest() -> str:
    """Return the SHA-256 over the Python files of both packages and the files in `conf/` that decide what is true."""
    return _digest(patchclip_core, patchclip_trainer)


def core_digest() -> str:
    """Return the same over the core alone, which decides what a model answers."""
    return _digest(patchclip_core)


@lru_cache(maxsize=2)
def _digest(*packages: ModuleType) -> str:
    digest = hashlib.sha256()
    for package in packages:
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            _take(digest, f"{package.__name__}/{path.relative_to(root).as_posix()}", path)
    for name in ("findings.yaml", "label_domains.yaml"):
        _take(digest, f"conf/{name}", conf_dir() / name)
    return f"sha256:{digest.hexdigest()}"


def _take(digest: hashlib._Hash, name: str, path: Path) -> None:
    digest.update(f"{name}\0".encode())
    digest.update(path.read_bytes())
