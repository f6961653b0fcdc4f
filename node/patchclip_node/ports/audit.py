"""The audit trail's outbox: events wait in the ledger until each lane has carried them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from patchclip_node.audit.values import AuditEvent, RecordedEvent

Tell = Callable[[AuditEvent, str, str], bool]
"""Takes an event that tells of no change in the ledger, without waiting; and of what there may be many, by whom.

False: it is one too many of that, and is counted alone. `services.audit.desk.AuditDesk.tell` is one.
"""


class AuditLane(StrEnum):
    """Where events go. FILE: the node's own trail. SYSLOG: a collector of the hospital."""

    FILE = "file"
    SYSLOG = "syslog"


@dataclass(frozen=True, slots=True)
class AuditBacklog:
    """What one lane has not carried: how many events, the oldest of them told at `since`, and what keeps it, or ''."""

    lane: AuditLane
    waiting: int
    since: datetime | None
    trouble: str


class AuditOutbox(Protocol):
    """Each method is one transaction, as in `ports.ledger`.

    Events that tell of a change in the ledger are not recorded here, but handed to the method that makes the change.
    """

    def record(self, *events: AuditEvent) -> None:
        """Remember events in this order. Once it returns they are told, whatever happens."""
        ...

    def follow(self, lanes: frozenset[AuditLane]) -> None:
        """Settle which lanes there are. Events wait for these alone; a lane that is new begins with what is there."""
        ...

    def take(self, lane: AuditLane, owner: str, now: datetime, lease_s: float, limit: int) -> list[RecordedEvent]:
        """Return what a lane has to carry next, oldest first; none while another owner has the lane.

        The lane belongs to `owner` until the lease ends.
        """
        ...

    def head(self, lane: AuditLane) -> tuple[int, str]:
        """Return the sequence number of the last event that a lane has carried, 0 for none, and its `digest`."""
        ...

    def carried(self, lane: AuditLane, owner: str, sequence: int, digest: str = "") -> bool:
        """Remember that a lane has carried all up to `sequence`. What all lanes have carried leaves the outbox.

        False, and nothing is changed, where the lane belongs to another owner.
        """
        ...

    def skip(self, lane: AuditLane, owner: str, keep: int) -> int:
        """Let a lane that is far behind skip the oldest events, so that at most `keep` wait; return how many it skips.

        A skipped event has gone, or goes, over the other lanes.
        """
        ...

    def troubled(self, lane: AuditLane, owner: str, trouble: str) -> None:
        """Remember why a lane of `owner` carries nothing now, until it has carried something."""
        ...

    def backlogs(self) -> list[AuditBacklog]:
        """Return what each lane has not carried, by the lanes' names."""
        ...

    def pending(self, after: int) -> list[RecordedEvent]:
        """Return events of the outbox behind a sequence number, oldest first."""
        ...


class AuditTrailFiles(Protocol):
    """The node's own trail in files."""

    def append(self, head: tuple[int, str], recorded: Sequence[RecordedEvent]) -> tuple[int, str]:
        """Append events that follow `head`, the number and digest of the last line that the ledger knows of.

        Returns the new head, once it is durable. What was written just before a process was killed is not written
        again. Raises `AuditTrailError` where the trail does not end with `head`, and `OSError`.
        """
        ...

    def set_aside(self) -> Path:
        """Move all files into a folder, since the trail goes on from what the ledger knows; return that folder."""
        ...


class AuditCollector(Protocol):
    """A collector of audit messages, an Audit Record Repository (IHE ITI-20)."""

    def send(self, frames: Sequence[bytes]) -> None:
        """Send framed messages in their order; return once it can be taken that all have arrived.

        Raises `PeerError` where that is not so: then none of them counts, and all are sent again.
        """
        ...
