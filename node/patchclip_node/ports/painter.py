"""Pictures of what was found, drawn when someone asks for one."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from patchclip_node.domain.records import NewResult, StudyRecord
from patchclip_node.domain.variants import ResultVariant


class Painter(Protocol):
    """Builds pictures of a revision that was analysed, from its images and from what is kept of its findings."""

    def build(self, study: StudyRecord, variant: ResultVariant, now: datetime) -> list[NewResult]:
        """Build the revision's objects of a variant of pictures, and keep them in the spool.

        Raises `CannotDrawError`; then none is left there.
        """
        ...

    def discard(self, results: list[NewResult]) -> None:
        """Delete what was built and is not wanted."""
        ...
