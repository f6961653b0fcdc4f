"""Alerts in the ledger, and the ways to a person."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from patchclip_node.domain.alerts import Alert, AlertMessage, Change
from patchclip_node.domain.rhythm import SenderHistory
from patchclip_node.domain.states import StudyState


@dataclass(frozen=True, slots=True)
class Duty:
    """What one process does at a time. began_at: when it was first taken up. trouble: of the last time, '' for none."""

    name: str
    began_at: datetime
    done_at: datetime | None
    trouble: str


@dataclass(frozen=True, slots=True)
class DestinationOutage:
    """A destination that takes nothing, in the words of the lane that sends to it."""

    destination: str
    since: datetime
    error: str


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message that waits for a channel. attempts: this one included."""

    id: int
    message: AlertMessage
    attempts: int


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """How messages go over a channel: how many went, how often one failed, and what keeps it now, or ''."""

    name: str
    sent: int
    failed: int
    waiting: int
    trouble: str
    sent_at: datetime | None


class Duties(Protocol):
    """Who of all processes does what only one should. Each method is one transaction, as in `ports.ledger`."""

    def hold(self, name: str, owner: str, now: datetime, lease_s: float) -> bool:
        """Take a duty, or keep it, for `lease_s`; False while another owner has it."""
        ...

    def done(self, name: str, owner: str, now: datetime, trouble: str = "") -> None:
        """Remember that a duty was done, and what went wrong; nothing is changed where another owner has it."""
        ...

    def duty(self, name: str) -> Duty | None:
        """Return what is known of a duty; None where no process ever took it up."""
        ...


class Outages(Protocol):
    """Which destinations take nothing."""

    def began(self, destination: str, now: datetime, error: str) -> None:
        """Remember that a destination takes nothing, unless that is known."""
        ...

    def ended(self, destination: str) -> None:
        """Forget it: it takes something again."""
        ...

    def outages(self) -> list[DestinationOutage]:
        """Return all, by name."""
        ...


class Alerts(Protocol):
    """Alerts and the messages that tell of them. Each method is one transaction, as in `ports.ledger`."""

    def open(self) -> list[Alert]:
        """Return those that are not over, the oldest first."""
        ...

    def recent(self, limit: int) -> list[Alert]:
        """Return the last ones that are over, the last first."""
        ...

    def tell(
        self, owner: str, now: datetime, made: Sequence[Change], channels: Collection[str], whose: tuple[str, str, str]
    ) -> bool:
        """Change alerts, and queue a message of each that is told for each channel.

        whose: node, host and site. False, and nothing is changed, where `owner` does not hold the duty of watching.
        """
        ...

    def follow(self, channels: Collection[str]) -> None:
        """Settle which channels there are; what waits for others is forgotten."""
        ...

    def take(self, channel: str, now: datetime, lease_s: float) -> QueuedMessage | None:
        """Take the oldest message that is due; no other taker gets it for `lease_s`."""
        ...

    def sent(self, message: QueuedMessage, channel: str, now: datetime) -> None:
        """Forget a message: it went."""
        ...

    def postpone(
        self, message: QueuedMessage, channel: str, error: str, not_before: datetime, *, gives_up: bool = False
    ) -> None:
        """Let a message wait, or give it up: it did not go."""
        ...

    def channels(self) -> list[ChannelRecord]:
        """Return how messages went, by channel."""
        ...


class Watched(Protocol):
    """What is looked at again and again, whatever else the ledger holds. No answer costs more as it grows."""

    def failed_since(self, states: Collection[StudyState]) -> datetime | None:
        """Return when the oldest study came into one of these states."""
        ...

    def undelivered(self, limit: int) -> dict[str, int]:
        """Return of the first `limit` results that were given up or met a conflict how many each destination lacks."""
        ...

    def learn(self, limit: int, now: datetime, modalities: Collection[str]) -> int:
        """Add images of these modalities among up to `limit` further ones to their senders' histories.

        Returns how many further ones there were. Results that came back, and canaries, count for no sender.
        """
        ...

    def last_images(self) -> dict[str, datetime]:
        """Return when the last radiograph of each sender came, by calling AE title."""
        ...

    def histories(self) -> list[SenderHistory]:
        """Return in which hours radiographs came, by sender."""
        ...


class AlertChannel(Protocol):
    """A way to a person."""

    def send(self, message: AlertMessage) -> None:
        """Send it. Raises `PeerError` where it did not go, `ConfigurationError` where it cannot as it is set up."""
        ...
