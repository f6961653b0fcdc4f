"""What the receiver tells the audit trail: peers that it turned away, and instances of which it kept nothing.

What it kept is told from the ledger when the study is complete.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

from pynetdicom.association import Association

from patchclip_node.audit import codes, events
from patchclip_node.ports.audit import Tell
from patchclip_node.ports.clock import Clock
from patchclip_node.scp.places import Caller

REJECTED: Final = "association_rejected"

ALARMS: Final[Mapping[str, str]] = {
    "address_not_allowed": "a connection was closed: its address is not among allowed_networks",
    "association_without_tls_asked_for": "an association was asked for without TLS",
    "tls_handshake_failed": "no TLS came about",
    "certificate_not_of_this_caller": "a certificate was shown that is not of this AE title and address",
    REJECTED: "an association was rejected for its AE titles",
}
"""Troubles that are security alerts, and what is said of each."""

_REASONS: Final = 5
"""Different reasons that are told of one association."""


@dataclass(slots=True)
class _NotKept:
    held: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, None] = field(default_factory=dict)


class Witness:
    """Tells one event an association, however many instances were refused over it; for several threads."""

    def __init__(self, tell: Tell, clock: Clock) -> None:
        self._tell = tell
        self._clock = clock
        self._associations: WeakKeyDictionary[Association, _NotKept] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def alarm(self, trouble: str, facts: Mapping[str, object]) -> None:
        """Tell that a peer was turned away; other troubles are not the audit trail's matter."""
        if trouble not in ALARMS:
            return
        address, title = str(facts.get("peer", "")), str(facts.get("calling_ae_title", ""))
        details = [(name, str(value)) for name, value in facts.items() if name not in {"peer", "calling_ae_title"}]
        who = events.peer(title or address, address, ae_title=title)
        told = events.alert(
            codes.NODE_AUTHENTICATION, self._clock.now(), events.RECEIVE, ALARMS[trouble], who, details=details
        )
        self._tell(told, trouble, address)

    def held(self, association: Association, sop_class_uid: str) -> None:
        """Remember an instance that was known already."""
        with self._lock:
            self._associations.setdefault(association, _NotKept()).held[sop_class_uid] += 1

    def refused(self, association: Association, sop_class_uid: str, reason: str) -> None:
        """Remember an instance that was refused."""
        with self._lock:
            of_association = self._associations.setdefault(association, _NotKept())
            of_association.refused[sop_class_uid] += 1
            if len(of_association.reasons) < _REASONS:
                of_association.reasons[reason] = None

    def ended(self, association: Association, caller: Caller) -> None:
        """Tell what was not kept of an association that has ended."""
        with self._lock:
            found = self._associations.pop(association, None)
        if found is None:
            return
        now = self._clock.now()
        if found.held:
            told = events.not_kept(caller.ae_title, caller.address, now, found.held)
            self._tell(told, "held", caller.address)
        if found.refused:
            told = events.not_kept(caller.ae_title, caller.address, now, found.refused, list(found.reasons))
            self._tell(told, "refused", caller.address)
