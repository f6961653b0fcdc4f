"""What backfill needs of the world: the list of studies, and the archive that has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from patchclip_node.domain.backfill import (
    ArchivedSeries,
    ArchivedStudy,
    BackfillProgress,
    BackfillState,
    ListedStudy,
    Window,
)


class BackfillList(Protocol):
    """The studies to be pulled, and where each stands.

    Every method but `add` is one transaction, as in `ports.ledger`.

    While a study was asked for and is not settled, what arrives of it has `Priority.BACKFILL`.
    """

    def add(self, studies: Sequence[ArchivedStudy], now: datetime) -> int:
        """Put studies at the end of the list, some at a time; who is on it stays as it is. Returns how many are new."""
        ...

    def next(self, now: datetime) -> ListedStudy | None:
        """Return the first that is WAITING and due; None where none is."""
        ...

    def next_due(self) -> datetime | None:
        """Return when the next one that is WAITING is due; None where none waits for a time."""
        ...

    def asked(self) -> list[ListedStudy]:
        """Return those that are ASKED."""
        ...

    def ask(self, study: ListedStudy, now: datetime) -> bool:
        """WAITING or ASKED -> ASKED; the attempt counts. False where it stands otherwise now: nothing is changed."""
        ...

    def expect(self, study_id: int, images: int) -> None:
        """Remember how many images are to come of a study."""
        ...

    def settle(self, study_id: int, state: BackfillState, now: datetime, reason: str = "") -> None:
        """WAITING or ASKED -> HERE, SKIPPED or FAILED."""
        ...

    def postpone(self, study_id: int, not_before: datetime, reason: str) -> None:
        """ASKED -> WAITING, due again at `not_before`."""
        ...

    def again(self) -> int:
        """FAILED -> WAITING, as if never pulled. Returns how many there were."""
        ...

    def forget(self) -> int:
        """Take off the list what was not asked for, and what failed. Returns how many there were."""
        ...

    def progress(self, now: datetime, troubles: int = 0) -> BackfillProgress:
        """Return how far the list is, with that number of the last troubles."""
        ...

    def images(self, study_instance_uid: str) -> int:
        """Return how many images of a study are in the ledger."""
        ...

    def knows(self, study_instance_uid: str) -> bool:
        """Tell whether a study is in the ledger, or was and is remembered."""
        ...

    def at_work(self, at_most: int, *, of_backfill: bool) -> int:
        """Return how many studies are not analysed yet, of what was sent or of what was pulled; counts no further."""
        ...


class Archive(Protocol):
    """An archive that is queried and pulled from.

    All raise `PeerError` where it is not there, and `ConfigurationError` where it has to be set up otherwise.
    """

    def studies(self, window: Window, modality: str) -> tuple[list[ArchivedStudy], bool]:
        """Return the studies of a window that have a series of a modality, as far as the archive answers that.

        And whether these are all: False where the archive says that there are more, or too many.
        """
        ...

    def series(self, study_instance_uid: str) -> list[ArchivedSeries]:
        """Return the series of a study; none where the archive does not have it. Raises `StudyNotPulledError`."""
        ...

    def pull(self, study_instance_uid: str, series_instance_uids: Sequence[str]) -> str:
        """Have these series brought to the node, without any the whole study; returns once the archive has ended.

        Returns what did not come, in words; '' where the archive says that all did. Raises `StudyNotPulledError`.
        """
        ...
