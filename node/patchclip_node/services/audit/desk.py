"""Events that tell of no change in the ledger, and whose teller must not wait for it: refused peers, forbidden acts."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import Final

import structlog

from patchclip_node.audit.values import AuditEvent
from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.ports.audit import AuditOutbox
from patchclip_node.services.ration import Ration

FLUSH_EVERY_S: Final = 1.0
HELD: Final = 1000
"""Events that wait for the ledger; what comes then is counted, and the count told."""

BY_ALL_A_MINUTE: Final = 600
"""Of one kind that are told one by one in a minute, whoever they are about: a flood from everywhere fills no ledger."""

log = structlog.get_logger(__name__)


class AuditDesk:
    """Takes events from any thread at once, and records them together soon; `run` does that in a thread."""

    def __init__(self, outbox: AuditOutbox) -> None:
        self._outbox = outbox
        self._held: deque[AuditEvent] = deque()
        self._ration = Ration(by_all_a_minute=BY_ALL_A_MINUTE)
        self._left_out = 0
        self._lock = threading.Lock()

    def tell(self, event: AuditEvent, what: str = "", who: str = "") -> bool:
        """Take an event; False where it is one too many of its kind, and is counted alone.

        `what`: of what there are many perhaps, by `who`; '' for what is never left out while there is room.
        """
        left_out = self._ration.left_out_before(what, who, event.at.timestamp()) if what else 0
        if left_out is None:
            return False
        with self._lock:
            self._left_out += left_out
            if len(self._held) >= HELD:
                self._left_out += 1
                return False
            left_out, self._left_out = self._left_out, 0
            self._held.append(_counting(event, left_out) if left_out else event)
            return True

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
