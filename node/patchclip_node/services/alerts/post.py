"""Carries messages over one channel. A channel that fails stops nothing else, and its messages wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from patchclip_node.domain.errors import ConfigurationError, PeerError
from patchclip_node.ports.alerts import AlertChannel, Alerts
from patchclip_node.ports.clock import Clock
from patchclip_node.services.outage import Outage

LEASE_S: Final = 120.0
"""A message whose process ended while it sent goes once more after so long."""

BACKOFF: Final = timedelta(seconds=10)
BACKOFF_MAX: Final = timedelta(minutes=10)
"""Wait after the first failure of a message, which each further one doubles, and the longest one."""

GIVES_UP_AFTER: Final = timedelta(days=3)
"""A message that is as old does not help any more. The alert stays on the pages, and is told again while it lasts."""


class AlertPost:
    """Sends what waits for a channel, the oldest first."""

    def __init__(self, name: str, channel: AlertChannel, alerts: Alerts, clock: Clock) -> None:
        self._name = name
        self._channel = channel
        self._alerts = alerts
        self._clock = clock
        self._outage = Outage(f"alerts_by_{name}")

    def run_once(self) -> int:
        """Send all that is due; returns how many messages went."""
        went = 0
        while (queued := self._alerts.take(self._name, self._clock.now(), LEASE_S)) is not None:
            try:
                self._channel.send(queued.message)
            except (PeerError, ConfigurationError) as error:
                now = self._clock.now()
                self._outage.begin(error)
                again = now + min(BACKOFF * 2 ** min(queued.attempts - 1, 16), BACKOFF_MAX)
                over = now - queued.message.at >= GIVES_UP_AFTER
                self._alerts.postpone(queued, self._name, str(error), again, gives_up=over)
            else:
                self._outage.end()
                self._alerts.sent(queued, self._name, self._clock.now())
                went += 1
        return went
