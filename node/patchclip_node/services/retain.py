"""What is kept, and for how long: a study whose time is over goes whole, with its files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import structlog

from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.domain.policy import RetentionPolicy
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Retention, Studies
from patchclip_node.ports.spool import Spool
from patchclip_node.services.study_summary import read_summary

log = structlog.get_logger(__name__)

SETTLED: Final = (StudyState.RETURNED, StudyState.KEPT, StudyState.REJECTED)
"""Nothing of them is owed any more."""
UNDELIVERED: Final = (StudyState.PARTLY_RETURNED, StudyState.FAILED)
"""A destination has not got what was meant for it."""

BY_RETENTION: Final = events.node(events.DELIVER, is_requestor=True)
"""Who deletes what the settings say."""

PURGE_EVERY_S: Final = 60.0
BATCH: Final = 200
"""Studies that go in one run: 288,000 a day."""


class RetentionService:
    """Deletes studies whose time is over: all revisions at once, from the ledger first, then their files.

    In between the ledger lists the files, so that a process that is killed there leaves none behind. A study of which
    any revision is still under way stays, however old it is.
    """

    def __init__(
        self, retention: Retention, studies: Studies, spool: Spool, clock: Clock, policy: RetentionPolicy
    ) -> None:
        self._retention = retention
        self._studies = studies
        self._spool = spool
        self._clock = clock
        self._policy = policy

    def run_once(self) -> int:
        """Purge up to `BATCH` studies whose time is over; returns how many went.

        With them goes what is known of own results that came back to studies that are gone, and what was kept for
        recalls of studies that went long ago.
        """
        gone = sum(self.forget(study.study_instance_uid) for study in self.over())
        if (days := self._policy.returned_days) is not None:
            self._retention.forget_strays(_before(self._clock.now(), days))
        if (days := self._policy.recallable_days) is not None:
            self._retention.forget_purged(_before(self._clock.now(), days))
        self.delete_files()
        if gone:
            log.info("studies_purged", studies=gone)
        return gone

    def over(self) -> list[StudyRecord]:
        """Return studies whose time is over, by their newest revision, the oldest first; at most `BATCH`."""
        return list(self._over())[:BATCH]

    def _over(self) -> Iterator[StudyRecord]:
        now = self._clock.now()
        for states, days in ((SETTLED, self._policy.returned_days), (UNDELIVERED, self._policy.undelivered_days)):
            if days is not None:
                yield from self._retention.ended(states, _before(now, days), BATCH)

    def forget(self, study_instance_uid: str, by: Actor = BY_RETENTION) -> bool:
        """Take a study out of the ledger, whatever its age; False for one that is unknown or under way.

        by: who has it deleted, for the audit trail.
        """
        revisions = self._studies.revisions(study_instance_uid)
        summaries = [read_summary(one.summary_json) for one in revisions]
        pictures = [key for summary in summaries if summary for image in summary.images for key in image.spool_keys]
        now = self._clock.now()
        told = [events.deleted(one, now, by) for one in revisions[-1:]]
        return self._retention.forget(study_instance_uid, pictures, now, *told)

    def delete_files(self) -> None:
        """Delete the files of studies that have left the ledger."""
        while keys := self._retention.leftovers(BATCH):
            for key in keys:
                self._spool.delete(key)
            self._retention.gone(keys)


def _before(now: datetime, days: float) -> datetime:
    return now - timedelta(days=days)
