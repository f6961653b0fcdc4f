"""Verdicts, as who gives, shows and counts them needs the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from patchclip_node.audit.values import Actor
from patchclip_node.domain.agreement import FindingAgreement
from patchclip_node.domain.verdicts import NewVerdict, Verdict


class Verdicts(Protocol):
    """What persons said of findings. Every method raises `LedgerUnavailableError`."""

    def give(self, said: Sequence[NewVerdict], by: Actor, now: datetime) -> list[Verdict]:
        """Add verdicts, told to the audit trail in the same transaction; those that were there stay.

        Raises `KeyError` with the UID of a study, or (UID, revision), that the ledger does not have.
        """
        ...

    def of_study(self, study_instance_uid: str) -> list[Verdict]:
        """Return all verdicts on a study's images, the first one first."""
        ...

    def studies(self) -> list[str]:
        """Return the Study Instance UIDs that have verdicts, in their order of text."""
        ...

    def agreement(self) -> list[FindingAgreement]:
        """Compare what the node said with the verdicts that count, by finding."""
        ...
