"""How often a sender may call its own studies urgent: an honest one seldom does, and the queue is everybody's."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from patchclip_node.domain.records import InstanceHeader, Priority

_PERIOD_S: Final = 3600.0
_REMEMBERED_SENDERS: Final = 1000
"""The sender that asked for nothing urgent for longest is forgotten first."""

log = structlog.get_logger(__name__)


class UrgencyQuota:
    """Lets each address have a number of urgent studies an hour; those above it are routine. For several threads.

    By address, since the AE title is the sender's word, too. All images of a study that was urgent once stay urgent.
    """

    def __init__(
        self,
        studies_an_hour: int,
        monotonic_s: Callable[[], float] = time.monotonic,
        ask: Callable[[str, str], bool | None] = lambda _study, _address: None,
    ) -> None:
        """ask: says by study and address what another process says that counts for all; None: this one has to."""
        self._studies_an_hour = studies_an_hour
        self._monotonic_s = monotonic_s
        self._ask = ask
        self._granted: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()
        self._lock = threading.Lock()

    def follow(self, studies_an_hour: int) -> None:
        """Let each address have another number from now on; what it had lately counts."""
        self._studies_an_hour = studies_an_hour

    def applied(self, header: InstanceHeader, peer_address: str) -> InstanceHeader:
        """Return the header with the priority that its sender may have."""
        if header.priority >= Priority.ROUTINE:
            return header
        answer = self._ask(header.study_instance_uid, peer_address)
        if self.grants(header.study_instance_uid, peer_address) if answer is None else answer:
            return header
        log.warning(
            "urgency_above_quota",
            peer_address=peer_address,
            study_instance_uid=header.study_instance_uid,
            studies_an_hour=self._studies_an_hour,
        )
        return replace(header, priority=Priority.ROUTINE)

    def grants(self, study_instance_uid: str, peer_address: str) -> bool:
        """Tell whether a study may be urgent that its sender calls so; it counts from then on."""
        now_s = self._monotonic_s()
        with self._lock:
            granted = self._granted.setdefault(peer_address, OrderedDict())
            self._granted.move_to_end(peer_address)
            if len(self._granted) > _REMEMBERED_SENDERS:
                self._granted.popitem(last=False)
            while granted and now_s - next(iter(granted.values())) >= _PERIOD_S:
                granted.popitem(last=False)
            if study_instance_uid not in granted and len(granted) >= self._studies_an_hour:
                return False
            granted.setdefault(study_instance_uid, now_s)
            return True
