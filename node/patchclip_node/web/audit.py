"""What persons see on the pages, for the audit trail: told before it is shown, or it is not shown."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request

from patchclip_node.audit import events
from patchclip_node.audit.values import Actor
from patchclip_node.domain.records import StudyRecord
from patchclip_node.ports.audit import AuditOutbox
from patchclip_node.ports.clock import Clock
from patchclip_node.web.access import AUTOMATIC, Visitor

COVERS: Final = timedelta(minutes=10)
"""For so long what was told of an opening covers pictures of the same study, and the page that loads itself again."""

ANONYMOUS: Final = "anonymous"
"""Who looks at pages that ask for no login."""

_REMEMBERED: Final = 10_000


def person_of(request: Request) -> Actor:
    """Return who asks for a page."""
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    name = visitor.identity if visitor else ""
    return events.person(name or ANONYMOUS, request.client.host if request.client else "")


class PageAudit:
    """Tells openings and searches; for several threads. Each method raises `LedgerUnavailableError`."""

    def __init__(self, outbox: AuditOutbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._told: OrderedDict[tuple[str, ...], datetime] = OrderedDict()
        self._lock = threading.Lock()

    def opened(self, request: Request, study: StudyRecord) -> None:
        """Tell that a study's page was opened."""
        if self._is_new(request, study.study_instance_uid, counts_again=AUTOMATIC not in request.query_params):
            self._outbox.record(events.opened(study, self._clock.now(), person_of(request), events.WEB))

    def shown(self, request: Request, study: StudyRecord) -> None:
        """Tell that a picture was opened, unless its study's page was."""
        if self._is_new(request, study.study_instance_uid, counts_again=False):
            self._outbox.record(events.opened(study, self._clock.now(), person_of(request), events.WEB, "picture"))

    def exported(self, request: Request, study: StudyRecord) -> None:
        """Tell that something of a study is given to a person's browser as a file."""
        who = person_of(request)
        self._outbox.record(events.exported(self._clock.now(), who, who.address or "a browser", [study]))

    def searched(self, request: Request) -> None:
        """Tell that studies were listed."""
        asked = [(name, value) for name, value in request.query_params.multi_items() if name != AUTOMATIC]
        query = urlencode(asked) if request.url.path == "/" else f"{request.url.path}?{urlencode(asked)}"
        if self._is_new(request, "?", query, counts_again=AUTOMATIC not in request.query_params):
            self._outbox.record(events.queried(self._clock.now(), person_of(request), events.WEB, query))

    def _is_new(self, request: Request, *what: str, counts_again: bool) -> bool:
        who = person_of(request)
        key, now = (who.name, who.address, *what), self._clock.now()
        with self._lock:
            before = self._told.get(key)
            if before is not None and now - before < COVERS and not counts_again:
                return False
            self._told[key] = now
            self._told.move_to_end(key)
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
        return True
