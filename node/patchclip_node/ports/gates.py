"""Results that wait for a person's word, as who gives it needs them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from patchclip_node.audit.values import Actor
from patchclip_node.domain.records import StudyRecord


class Gates(Protocol):
    """Held results. Each method is one transaction, told to the audit trail; all raise `LedgerUnavailableError`.

    They act on the newest revision that has held results. withdraws_earlier: what leaves the node withdraws the results
    of the study's earlier revisions.
    """

    def release(
        self,
        study_instance_uid: str,
        now: datetime,
        by: Actor,
        reason: str,
        destination: str | None = None,
        *,
        withdraws_earlier: bool = False,
    ) -> StudyRecord:
        """Let held results go: HELD -> PENDING; a study that is HELD is RETURNING then.

        destination: those for it alone. Raises `KeyError` with the UID of a study that is unknown, or with the
        destination (None: any) for which nothing is held.
        """
        ...

    def refuse(
        self, study_instance_uid: str, now: datetime, by: Actor, reason: str, destination: str | None = None
    ) -> StudyRecord:
        """Never let held results go: HELD -> REFUSED; the study ends where nothing else is open.

        Raises like `release`.
        """
        ...

    def time_out(self, now: datetime, by: Actor, *, withdraws_earlier: bool = False) -> list[StudyRecord]:
        """Release or drop what was held long enough, as its hold says; returns the studies."""
        ...
