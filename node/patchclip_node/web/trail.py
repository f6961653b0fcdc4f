"""Who opened this patient: the audit trail, searched by administrators."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from patchclip_node.audit import events
from patchclip_node.audit.reading import Told
from patchclip_node.ports.audit import AuditOutbox
from patchclip_node.ports.clock import Clock
from patchclip_node.web.audit import person_of
from patchclip_node.web.people import RenderPage

_MOST_SHOWN: Final = 500
_LONGEST: Final = 128

ReadTrail = Callable[[str], Iterable[Told]]
"""A Patient ID or Study Instance UID -> events that may be of it, the oldest first."""


class TrailPages:
    """The handler. uri: what the trail is called where it is told that it was read."""

    def __init__(self, read: ReadTrail, uri: str, outbox: AuditOutbox, clock: Clock, page: RenderPage) -> None:
        self._read = read
        self._uri = uri
        self._outbox = outbox
        self._clock = clock
        self._page = page

    def search(self, request: Request) -> Response:
        """Show what the trail says of a patient or a study; that it was read is told first."""
        subject = request.query_params.get("of", "").strip()
        if len(subject) > _LONGEST:
            raise HTTPException(400, "name a Patient ID or a Study Instance UID")
        found: list[Told] = []
        if subject:
            self._outbox.record(events.trail_read(self._clock.now(), person_of(request), self._uri, events.WEB))
            found = [one for one in self._read(subject) if subject in (*one.patient_ids, *one.study_uids)]
        return self._page(request, "audit.html", subject=subject, told=found[-_MOST_SHOWN:][::-1], total=len(found))


__all__ = ["ReadTrail", "TrailPages"]
