"""The way back to the PACS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Destination:
    """A storage SCP that receives results."""

    name: str
    ae_title: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What became of one instance. `error` is None when the peer has it: Success, or a warning that keeps it."""

    path: Path
    error: str | None
    permanent: bool = False


class ResultSender(Protocol):
    """Sends DICOM files by C-STORE."""

    def send(self, destination: Destination, paths: Sequence[Path]) -> list[SendOutcome]:
        """Send over one association; one outcome a file, in order. Raises `PeerError` when there is no association."""
        ...

    def echo(self, destination: Destination) -> None:
        """C-ECHO. Raises `PeerError`, whose text says what the administrator should look at."""
        ...
