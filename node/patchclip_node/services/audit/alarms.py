"""What is turned away on the pages: one alert and one line of the log each, by the same ration."""

from __future__ import annotations

from typing import Final

import structlog

from patchclip_node.audit import codes, events
from patchclip_node.ports.audit import Tell
from patchclip_node.ports.clock import Clock

FOREIGN_NAME: Final = "foreign_name"
"""The pages were called by a name that is not this node's, as after DNS rebinding."""
FOREIGN_FORM: Final = "foreign_form"
"""A form came from a page of another site, or without what the forms of its session hold."""
FORBIDDEN: Final = "forbidden"
"""A person asked for what the role does not allow."""

_CODES: Final = {
    FOREIGN_NAME: codes.NODE_AUTHENTICATION,
    FOREIGN_FORM: codes.USE_OF_RESTRICTED_FUNCTION,
    FORBIDDEN: codes.USE_OF_RESTRICTED_FUNCTION,
}

log = structlog.get_logger(__name__)


class Alarms:
    """Tells them; for several threads, and without waiting."""

    def __init__(self, tell: Tell, clock: Clock) -> None:
        self._tell = tell
        self._clock = clock

    def raise_alarm(self, what: str, said: str, address: str, name: str = "", **facts: str) -> None:
        """Tell that a request was turned away. what: one of this module. name: whose session it came with, if any.

        facts: what the log holds besides; the trail has all that is said.
        """
        who = events.person(name, address) if name else events.peer(address, address)
        if self._tell(events.alert(_CODES[what], self._clock.now(), events.WEB, said, who), what, name or address):
            log.warning(what, why=said, account=name, address=address, **facts)


__all__ = ["FORBIDDEN", "FOREIGN_FORM", "FOREIGN_NAME", "Alarms"]
