"""Who gets an association: places in all, places of one address, and places that are kept for known callers."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_REMEMBERED_CALLERS: Final = 10_000
"""How many callers that have sent are remembered; the one that was silent for longest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for an association: the calling AE title, which any peer can claim, and the address, which none can."""

    ae_title: str
    address: str


@dataclass(frozen=True, slots=True)
class PlacePolicy:
    """How many associations there may be at once.

    total: in all. per_address: of one known caller, and of all callers at one address that are not known.
    kept_for_known: of the total, for known callers alone.
    """

    total: int
    per_address: int
    kept_for_known: int

    @property
    def for_unknown(self) -> int:
        """Places that callers may have who are not known; at least one, or no caller could become known."""
        return max(1, self.total - self.kept_for_known)


class Shortage(StrEnum):
    """Which limit an association is refused by."""

    TOTAL = "no_place_left"
    ADDRESS = "no_place_left_for_this_address"
    UNKNOWN = "places_left_are_kept_for_known_callers"


class KnownCallers:
    """Callers that were listed, or, where none is listed, that have sent an image before."""

    def __init__(self, listed: Iterable[Caller] = (), have_sent: Iterable[Caller] = ()) -> None:
        self._listed = frozenset(listed)
        self._have_sent: OrderedDict[Caller, None] = OrderedDict.fromkeys(have_sent)
        self._addresses = Counter(caller.address for caller in self._listed or self._have_sent)
        self._lock = threading.Lock()

    def follow(self, listed: Iterable[Caller]) -> None:
        """Let others be listed from now on; who has sent stays remembered."""
        with self._lock:
            self._listed = frozenset(listed)
            self._addresses = Counter(caller.address for caller in self._listed or self._have_sent)

    def __contains__(self, caller: Caller) -> bool:
        """Tell whether a caller is known."""
        with self._lock:
            return caller in (self._listed or self._have_sent)

    def has_sent(self, caller: Caller) -> None:
        """Remember that an image of this caller was kept."""
        with self._lock:
            if caller not in self._have_sent and not self._listed:
                self._addresses[caller.address] += 1
            self._have_sent[caller] = None
            self._have_sent.move_to_end(caller)
            if len(self._have_sent) > _REMEMBERED_CALLERS:
                forgotten, _ = self._have_sent.popitem(last=False)
                self._addresses[forgotten.address] -= 0 if self._listed else 1

    def is_at(self, address: str) -> bool:
        """Tell whether a known caller has this address."""
        with self._lock:
            return self._addresses[address] > 0


class Places:
    """Gives out places; may be used from several threads."""

    def __init__(self, policy: PlacePolicy, known: KnownCallers) -> None:
        self._policy = policy
        self._known = known
        self._taken: Counter[Caller] = Counter()
        self._lock = threading.Lock()

    def follow(self, policy: PlacePolicy) -> None:
        """Give places out by another policy from now on; those that are taken stay so, even where they are too many."""
        with self._lock:
            self._policy = policy

    def take(self, caller: Caller) -> Shortage | None:
        """Take a place, which `release` gives back; or return the limit that there is none by."""
        is_known = caller in self._known
        with self._lock:
            unknown = {one: count for one, count in self._taken.items() if one not in self._known}
            of_unknown = sum(unknown.values())
            of_address = (
                self._taken[caller]
                if is_known
                else sum(count for one, count in unknown.items() if one.address == caller.address)
            )
            if self._taken.total() >= self._policy.total:
                return Shortage.TOTAL
            if of_address >= self._policy.per_address:
                return Shortage.ADDRESS
            if not is_known and of_unknown >= self._policy.for_unknown:
                return Shortage.UNKNOWN
            self._taken[caller] += 1
        return None

    def release(self, caller: Caller) -> None:
        """Give a place back."""
        with self._lock:
            self._taken[caller] -= 1
            self._taken += Counter()  # drops what is at zero

    @property
    def taken(self) -> int:
        """How many there are now."""
        with self._lock:
            return self._taken.total()

    @property
    def total(self) -> int:
        """How many there may be."""
        return self._policy.total
