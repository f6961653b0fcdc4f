"""Objects that readers made and archives sent: kept, and read once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from patchclip_node.audit.values import Actor
from patchclip_node.domain.records import InstanceRecord
from patchclip_node.domain.verdicts import NewVerdict


class ReturnedObjects(Protocol):
    """Which of them have yet to be read. Every method raises `LedgerUnavailableError`."""

    def unread(self, limit: int) -> list[InstanceRecord]:
        """Return objects that no one has read yet, the oldest first."""
        ...

    def read(self, instance_id: int, note: str, said: Sequence[NewVerdict], by: Actor, now: datetime) -> bool:
        """Keep what an object says, all at once: `note` for the study's timeline, and its verdicts.

        Returns False, and keeps nothing, where another process has read it.
        """
        ...

    def result_key(self, sop_instance_uid: str) -> str | None:
        """Return the spool key of a result of this ledger; None for what it did not make."""
        ...
