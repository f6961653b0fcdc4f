"""The receiver's report, in a file of the data folder: other processes show it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from patchclip_node.domain.reception import FRESH_FOR, Reception


class ReceptionFile:
    """Written by the receiver, read by pages and `doctor`."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "receiver.json"

    def write(self, reception: Reception) -> None:
        """Replace the report. A full disk leaves the one before: it grows old, and that is seen."""
        values = asdict(reception) | {"reported_at": reception.reported_at.isoformat()}
        new = self._path.with_suffix(f".{os.getpid()}.new")
        with contextlib.suppress(OSError):
            new.write_text(json.dumps(values), encoding="utf-8")
            new.replace(self._path)

    def remove(self) -> None:
        """Take the report of a receiver away that is none any more."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def read_fresh(self) -> Reception | None:
        """Return the last report if it was written lately by the file system's time; the ledger's may differ."""
        try:
            age_s = time.time() - self._path.stat().st_mtime
        except OSError:
            return None
        return self.read() if age_s < FRESH_FOR.total_seconds() else None

    def read(self) -> Reception | None:
        """Return the last report; None where there is none that can be read."""
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
            return _parsed(values)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _parsed(values: Mapping[str, object]) -> Reception:
    troubles = values["troubles"]
    if not isinstance(troubles, dict):
        raise TypeError("troubles")
    port, waiting, associations, allowed = (
        int(str(values[name])) for name in ("port", "waiting", "associations", "allowed")
    )
    return Reception(
        reported_at=datetime.fromisoformat(str(values["reported_at"])),
        port=port,
        waiting=waiting,
        associations=associations,
        allowed=allowed,
        troubles={str(kind): int(count) for kind, count in troubles.items()},
    )
