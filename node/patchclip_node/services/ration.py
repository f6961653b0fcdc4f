"""What is told one by one, and from when on it is counted only: the one rule for logs and for the audit trail.

Whoever makes something happen a thousand times a second fills neither of them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

A_MINUTE: Final = 60
"""Of one kind, by one peer or person, that are told one by one in a minute."""

_MINUTE_S: Final = 60.0
_REMEMBERED: Final = 10_000
"""Pairs of what and who. What was left out of the oldest is counted with the next of that kind."""


@dataclass(slots=True)
class _Minute:
    begun_s: float
    told: int = 0
    left_out: int = 0

    def is_used_up(self, now_s: float, most: float) -> bool:
        if now_s - self.begun_s >= _MINUTE_S:
            self.begun_s, self.told = now_s, 0
        return self.told >= most


class Ration:
    """Says what is one too many; for several threads. Kinds are few; who there is may be anybody."""

    def __init__(self, a_minute: int = A_MINUTE, by_all_a_minute: float = float("inf")) -> None:
        """a_minute: of one kind by one. by_all_a_minute: of one kind, whoever they are."""
        self._a_minute = a_minute
        self._by_all_a_minute = by_all_a_minute
        self._by_one: OrderedDict[tuple[str, str], _Minute] = OrderedDict()
        self._by_all: dict[str, _Minute] = {}
        self._lock = threading.Lock()

    def left_out_before(self, what: str, who: str, now_s: float) -> int | None:
        """Count one. None: it is left out; else how many were left out since the last one like it that was told.

        now_s: by any clock, but always the same one.
        """
        with self._lock:
            by_all = self._by_all.setdefault(what, _Minute(now_s))
            by_one = self._by_one.setdefault((what, who), _Minute(now_s))
            self._by_one.move_to_end((what, who))
            self._forget_oldest()
            if by_one.is_used_up(now_s, self._a_minute) or by_all.is_used_up(now_s, self._by_all_a_minute):
                by_one.left_out += 1
                return None
            left_out = by_one.left_out + by_all.left_out
            by_one.left_out = by_all.left_out = 0
            by_one.told, by_all.told = by_one.told + 1, by_all.told + 1
            return left_out

    def _forget_oldest(self) -> None:
        if len(self._by_one) > _REMEMBERED:
            (what, _), oldest = self._by_one.popitem(last=False)
            self._by_all[what].left_out += oldest.left_out


__all__ = ["A_MINUTE", "Ration"]
