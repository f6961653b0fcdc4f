"""What radiologists finally wrote, kept without their words."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from patchclip_node.audit.values import Actor
from patchclip_node.domain.final_reports import KeptReport, ReadReport


class FinalReports(Protocol):
    """Every version that was read. Every method raises `LedgerUnavailableError`."""

    def keep(self, report: ReadReport, by: Actor, now: datetime) -> bool:
        """Add a report, told to the audit trail in the same transaction; False, and nothing, where it is known.

        Raises `KeyError` with (UID, revision) that the ledger does not have.
        """
        ...

    def of_study(self, study_instance_uid: str) -> list[KeptReport]:
        """Return all versions of a study's report, the first that came first."""
        ...
