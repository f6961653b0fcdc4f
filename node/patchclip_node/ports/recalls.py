"""Results that are withdrawn, and the notes that are owed for them. Each method is as those of `ports.ledger`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from patchclip_node.domain.recalls import Recall, RecallRequest, RecallScope, Withdrawable
from patchclip_node.domain.records import NewResult, OwedNote


class Recalls(Protocol):
    """What was recalled."""

    def concerned(self, scope: RecallScope, subject: str) -> list[Withdrawable]:
        """Return the results of a study, of a model, or of the studies that have an image; oldest first.

        Those that are withdrawn already are left out. Of purged studies they follow at the end: what was sent, and
        all of it where an image is named.
        """
        ...

    def withdraw(self, request: RecallRequest, now: datetime, chosen: Collection[str] | None = None) -> Recall:
        """Write the recall down and withdraw what it concerns, or the `chosen` SOP Instance UIDs of it, all at once.

        From then on none of them is sent: deliveries become RECALLED, those being SENT when they end. For each
        destination to which any of a revision was sent a note is owed, and the revision does not end before that has
        arrived. A purged study is a study of the ledger again, until that is so, and its time is over again.
        """
        ...

    def of_model(self, weights_digest: str) -> Recall | None:
        """Return the recall of a model, None where it may be used."""
        ...

    def all(self) -> list[Recall]:
        """Return all recalls, oldest first; those of studies that were purged as well."""
        ...

    def of_revisions(self, study_ids: Collection[int]) -> dict[int, Recall]:
        """Return, of each of these revisions of which results are withdrawn, the last recall that did so."""
        ...

    def owed_notes(self, limit: int) -> list[OwedNote]:
        """Return notes that can be built now: nothing that they withdraw is on its way to their destination."""
        ...

    def settle_note(self, owed: OwedNote, note: NewResult, now: datetime) -> bool:
        """Plan a note that lies in the spool for its destination. False, and nothing is changed, where one was planned.

        It is delivered as a result is.
        """
        ...
