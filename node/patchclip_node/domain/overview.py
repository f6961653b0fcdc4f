"""What is told of the node as a whole: its queue, its peers, and how much came when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from patchclip_node.domain.records import DeliveryState, StudyRecord
from patchclip_node.domain.states import StudyState


@dataclass(frozen=True, slots=True)
class WaitingDelivery:
    """What one study still owes to one destination. not_before: when it is tried next; None: as soon as it can be."""

    study: StudyRecord
    destination: str
    objects: int
    attempts: int
    not_before: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class DestinationRecord:
    """What the ledger knows of a destination, by the name that results were planned for. last_error: of what waits."""

    name: str
    objects_by_state: Mapping[DeliveryState, int]
    last_delivered_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class SenderRecord:
    """Who has sent images: how many of the last ones, and when the last one came."""

    ae_title: str
    address: str
    instances: int
    last_received_at: datetime


@dataclass(frozen=True, slots=True)
class Bucket:
    """Studies whose last image came in a span of time that begins at `start`, by the state that they are in now."""

    start: datetime
    studies_by_state: Mapping[StudyState, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.studies_by_state.values())
