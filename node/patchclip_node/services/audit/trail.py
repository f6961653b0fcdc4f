"""The audit trail on its way out of the ledger: to the node's files, and to a collector, each at its own pace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from patchclip_node.audit import codes, events
from patchclip_node.audit.values import AuditEvent, Outcome, RecordedEvent
from patchclip_node.domain.errors import AuditTrailError, PeerError
from patchclip_node.ports.audit import AuditCollector, AuditLane, AuditOutbox, AuditTrailFiles
from patchclip_node.ports.clock import Clock
from patchclip_node.services.outage import Outage

BATCH: Final = 500
"""Events that a lane carries at once: one fsync, or one wait for the collector."""

LEASE_S: Final = 60.0
"""A process that is gone keeps a lane no longer."""

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0

log = structlog.get_logger(__name__)


class TrailLane:
    """Carries events to the node's own files."""

    def __init__(self, outbox: AuditOutbox, files: AuditTrailFiles, clock: Clock, owner: str) -> None:
        self._outbox = outbox
        self._files = files
        self._clock = clock
        self._owner = owner
        self._outage = Outage("audit_file")

    def run_once(self) -> None:
        """Write all that waits. Raises `LedgerUnavailableError`; a disk that takes nothing is tried again next time."""
        while taken := self._outbox.take(AuditLane.FILE, self._owner, self._clock.now(), LEASE_S, BATCH):
            head = self._outbox.head(AuditLane.FILE)
            try:
                written = self._files.append(head, taken)
            except AuditTrailError as error:
                self._set_aside(error)
                continue
            except OSError as error:
                _stays(self._outbox, AuditLane.FILE, self._owner, self._outage, error)
                return
            self._outage.end()
            self._outbox.carried(AuditLane.FILE, self._owner, *written)

    def _set_aside(self, error: AuditTrailError) -> None:
        """Go on in a new file, and tell whoever guards the node that those before are not as they were written."""
        aside = self._files.set_aside()
        what = f"{error}; the files are set aside in {aside}"
        log.error("audit_trail_changed", error=what)
        changed = events.alert(
            codes.AUDIT_RECORDING_STOPPED, self._clock.now(), events.DELIVER, what, outcome=Outcome.MAJOR_FAILURE
        )
        self._outbox.record(changed)


class CollectorLane:
    """Carries events to a collector, in their order, again and again until it takes them.

    While it takes none, up to `keep` events wait. Then the oldest are skipped: they are in the file, and an alert tells
    the collector how many it will not get.
    """

    def __init__(
        self,
        outbox: AuditOutbox,
        collector: AuditCollector,
        framed: Callable[[RecordedEvent], bytes],
        clock: Clock,
        owner: str,
        keep: int,
    ) -> None:
        self._outbox = outbox
        self._collector = collector
        self._framed = framed
        self._clock = clock
        self._owner = owner
        self._keep = keep
        self._failures = 0
        self._rests_until: datetime | None = None
        self._outage = Outage("audit_collector")

    def run_once(self) -> None:
        """Send all that waits. Raises `LedgerUnavailableError`."""
        now = self._clock.now()
        if self._rests_until is not None and now < self._rests_until:
            return
        while taken := self._outbox.take(AuditLane.SYSLOG, self._owner, self._clock.now(), LEASE_S, BATCH):
            try:
                self._collector.send([self._framed(one) for one in taken])
            except PeerError as error:
                _stays(self._outbox, AuditLane.SYSLOG, self._owner, self._outage, error)
                self._rest()
                self._skip()
                return
            self._outage.end()
            self._failures, self._rests_until = 0, None
            self._outbox.carried(AuditLane.SYSLOG, self._owner, taken[-1].sequence)

    def _rest(self) -> None:
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(self._failures, 16), LONGEST_WAIT_S)
        self._failures += 1
        self._rests_until = self._clock.now() + timedelta(seconds=wait_s)

    def _skip(self) -> None:
        skipped = self._outbox.skip(AuditLane.SYSLOG, self._owner, self._keep)
        if skipped:
            log.error("audit_events_not_forwarded", events=skipped)
            self._outbox.record(self._not_forwarded(skipped))

    def _not_forwarded(self, count: int) -> AuditEvent:
        what = (
            f"{count} events were not sent to the collector, which took none for too long; they are in the node's files"
        )
        return events.alert(
            codes.AUDIT_RECORDING_STOPPED, self._clock.now(), events.DELIVER, what, outcome=Outcome.SERIOUS_FAILURE
        )


def _stays(outbox: AuditOutbox, lane: AuditLane, owner: str, outage: Outage, error: Exception) -> None:
    """Say why a lane carries nothing, in the log and, for whoever asks how the node is, in the ledger: once each."""
    if str(error) != outage.trouble:
        outbox.troubled(lane, owner, str(error))
    outage.begin(error)
