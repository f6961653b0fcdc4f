"""Events that tell of no change in the ledger, and whose teller must not wait for it: refused peers, forbidden acts."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from patchclip_node.audit.values import AuditEvent
from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.ports.audit import AuditOutbox

FLUSH_EVERY_S: Final = 1.0
HELD: Final = 1000
"""Events that wait for the ledger; what comes then is counted, and the count told."""

ONE_BY_ONE: Final = 60
"""Events of one kind about one peer that are told one by one in a minute. The next one says how many were left out."""
_MINUTE: Final = timedelta(minutes=1)
_KINDS: Final = 10_000

log = structlog.get_logger(__name__)


class AuditDesk:
    """Takes events from any thread at once, and records them together soon; `run` does that in a thread.

    A peer that is refused a thousand times a second fills no ledger: `kind` names what is told at most `ONE_BY_ONE`
    times a minute.
    """

    def __init__(self, outbox: AuditOutbox) -> None:
        self._outbox = outbox
        self._held: deque[AuditEvent] = deque()
        self._told: dict[str, tuple[datetime, int]] = {}
        self._left_out: dict[str, int] = {}
        self._lock = threading.Lock()

    def tell(self, event: AuditEvent, kind: str = "") -> None:
        """Take an event. `kind`: of what there are many perhaps, '' for what is never left out while there is room."""
        with self._lock:
            if not self._is_told(kind, event.at) or len(self._held) >= HELD:
                self._left_out[kind] = self._left_out.get(kind, 0) + 1
                return
            left_out = self._left_out.pop(kind, 0)
            self._held.append(_counting(event, left_out) if left_out else event)

    def _is_told(self, kind: str, at: datetime) -> bool:
        if not kind:
            return True
        if len(self._told) > _KINDS:  # the oldest minutes are over, or it is a flood from everywhere
            self._told.clear()
        begun, count = self._told.get(kind, (at, 0))
        if at - begun >= _MINUTE:
            begun, count = at, 0
        self._told[kind] = (begun, count + 1)
        return count < ONE_BY_ONE

    def run(self, stop: threading.Event) -> None:
        """Record what is told, until `stop` and what was told before it."""
        while not stop.wait(FLUSH_EVERY_S):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Record all that waits, in one transaction. While the ledger does not answer it goes on waiting."""
        with self._lock:
            events = list(self._held)
        if not events:
            return
        try:
            self._outbox.record(*events)
        except LedgerUnavailableError as error:
            log.warning("audit_events_wait", events=len(events), error=str(error))
            return
        with self._lock:
            for _ in events:
                self._held.popleft()


def _counting(event: AuditEvent, left_out: int) -> AuditEvent:
    """Say in an event how many like it were left out before it."""
    if not event.objects:
        return event
    first, *others = event.objects
    told = replace(first, details=(*first.details, ("left out before", str(left_out))))
    return replace(event, objects=(told, *others))
