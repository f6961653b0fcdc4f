"""The way back to the PACS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from patchclip_node.domain.commitment import CommitmentReport, CommitmentRequest
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.transport_security import PeerSecurity
from patchclip_node.domain.variants import ResultVariant


@dataclass(frozen=True, slots=True)
class Destination:
    """A storage SCP that receives results.

    fallback: the pictures (Secondary Captures) that it gets instead of objects whose class it does not take; None
        where it gets nothing instead.
    confirm: what makes an object count as delivered there. security: TLS to it; None: plain DICOM. unchanged: objects
        go as the bytes that they are, in their own transfer syntax, or not at all.
    """

    name: str
    ae_title: str
    host: str
    port: int
    fallback: ResultVariant | None = None
    confirm: Confirmation = Confirmation.NONE
    security: PeerSecurity | None = None
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What became of one instance.

    error: None when the peer has it: Success, or a warning that keeps it, and confirmed where it is to be.
    permanent: the peer would not take these bytes later either. class_refused: the peer accepted no presentation
    context for its SOP class. conflict: the peer knows the patient otherwise, which a person has to mend. broken: the
    association ended before the peer had answered.
    """

    path: Path
    error: str | None
    permanent: bool = False
    class_refused: bool = False
    conflict: bool = False
    broken: bool = False


class ResultSender(Protocol):
    """Sends DICOM files by C-STORE."""

    def send(self, destination: Destination, paths: Sequence[Path]) -> list[SendOutcome]:
        """Send over one association; one outcome a file, in order. Raises `PeerError` when there is no association."""
        ...

    def request_commitment(
        self,
        destination: Destination,
        request: CommitmentRequest,
        report: Callable[[CommitmentReport], None],
        settled: Callable[[], bool],
    ) -> None:
        """Ask to commit to objects that were sent before. Raises `PeerError` when the destination does not take that.

        An answer over the same association goes to `report`; it is waited for a little while, unless it has come
        otherwise and all is `settled`.
        """
        ...

    def check_confirmation(self, destination: Destination) -> None:
        """Raise `PeerError` where the destination does not offer what its `confirm` asks of it."""
        ...

    def echo(self, destination: Destination) -> None:
        """C-ECHO. Raises `PeerError`, whose text says what the administrator should look at."""
        ...


class ReportSender(Protocol):
    """Reports what this node commits to."""

    def report_commitment(self, destination: Destination, report: CommitmentReport) -> None:
        """Tell who asked, over a separate association. Raises `PeerError` when it can't be told."""
        ...
