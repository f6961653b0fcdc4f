"""How often a checkpoint was scored on a split: an append-only list, since each look spends some of a held-out part."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from patchclip_trainer.errors import DataError


@dataclass(frozen=True, slots=True)
class Scoring:
    """One evaluation: when, of which weights, on which images."""

    when: str
    checkpoint: str
    weights_digest: str
    split: str
    manifest_digest: str
    images: int


def record_scoring(path: Path, scoring: Scoring) -> int:
    """Append a scoring; return how often these weights were scored on this split of this manifest, this time included.

    Raises `DataError` where the list cannot be read or written.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        before = [Scoring(**json.loads(line)) for line in lines if line.strip()]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(scoring)) + "\n")
    except OSError as error:
        raise DataError(f"cannot keep the list of scorings {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is not a list of scorings ({error}); name another file with --scorings") from error
    return 1 + sum(_what(other) == _what(scoring) for other in before)


def timestamp(now: datetime) -> str:
    """Write a time to the second, with its zone."""
    return now.isoformat(timespec="seconds")


def _what(scoring: Scoring) -> tuple[str, str, str]:
    return scoring.weights_digest, scoring.split, scoring.manifest_digest
