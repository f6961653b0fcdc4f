"""Writes what a protocol found: `protocol.json`, and `protocol.html`, which shows it."""

from __future__ import annotations

import json
from pathlib import Path

from patchclip_core.drawing import page
from patchclip_trainer.data.shards import write_atomically
from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.records import Record
from patchclip_trainer.evaluation.report import shown


def write_protocol(record: Record, out: Path) -> None:
    """Write both files, each whole or not at all. Raises `DataError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(
            out / "protocol.json", json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        )
        shows = page("patchclip_trainer.evaluation", "protocol.html", record=record, shown=shown, counts=counts)
        write_atomically(out / "protocol.html", shows)
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}") from error


def counts(item: Record) -> str:
    """Write the counts that a figure rests on: `12 lesions in 9 images`, `40 + / 60 -`."""
    found = item["counts"]
    if "positives" in found:
        return f"{found['positives']} + / {found['negatives']} -"
    return f"{found['lesions']} lesions in {found['images']} images"
