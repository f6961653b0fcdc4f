"""Hosts killed, frozen and cut off by chance: which, how and for how long comes from a seed."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.endurance.site import Site
from tests.peers.hosts import Host

BETWEEN_S, LASTS_S, AT_ONCE = 4.0, (1.0, 20.0), 3
KINDS = ("killed", "killed", "emptied", "cut", "cut", "deaf", "mute", "frozen")
"""What may happen to a host; some of it more often. emptied: killed, and its disk is lost."""
DISK_STAYS = ("postgresql", "store")
"""Hosts whose disk the site may not lose."""


@dataclass
class Trouble:
    """What a host suffers until `until_s`, by `time.monotonic`."""

    kind: str
    host: Host
    until_s: float


@dataclass
class Troubles:
    """Begins and ends troubles. tell: is told of each in words."""

    site: Site
    chance: random.Random
    tell: Callable[[str], None]
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lasting: list[Trouble] = field(default_factory=list)
    _next_s: float = field(default_factory=time.monotonic)

    def step(self) -> None:
        """Do what is due now."""
        now_s = time.monotonic()
        for one in [one for one in self._lasting if one.until_s <= now_s]:
            self._end(one)
        if now_s >= self._next_s:
            self._next_s = now_s + self.chance.expovariate(1 / BETWEEN_S)
            if len(self._lasting) < AT_ONCE:
                self._begin(now_s)

    def end_all(self) -> None:
        """Mend everything."""
        for one in list(self._lasting):
            self._end(one)

    def _begin(self, now_s: float) -> None:
        in_trouble = [one.host for one in self._lasting]
        spared = self.site.databases.hosts if any(one in self.site.databases.hosts for one in in_trouble) else []
        hosts = [one for one in self.site.hosts if one.is_running and one not in {*in_trouble, *spared}]
        host = self.chance.choice(hosts)
        kind = self.chance.choice([one for one in KINDS if one != "emptied" or host.name not in DISK_STAYS])
        trouble = Trouble(kind, host, now_s + self.chance.uniform(*LASTS_S))
        self.counts[host.name.split("-")[0], kind] += 1
        self.tell(f"{host.name} is {kind} for {trouble.until_s - now_s:.0f} s")
        self._lasting.append(trouble)
        match kind:
            case "killed" | "emptied":
                host.kill()
                if kind == "emptied":
                    self.site.lose_disk(host)
                self._stand_in(host)
            case "cut":
                host.cut()
            case "deaf":
                host.deafen()
            case "mute":
                host.mute()
            case "frozen":
                host.freeze()

    def _stand_in(self, host: Host) -> None:
        """As an administrator does: when a deliverer's host has died, the other one begins."""
        if host in self.site.deliverers():
            for other in self.site.deliverers():
                if other is not host and not other.is_running:
                    other.start()

    def _end(self, trouble: Trouble) -> None:
        self._lasting.remove(trouble)
        match trouble.kind:
            case "killed" | "emptied":
                if not trouble.host.is_running:
                    trouble.host.start()
            case "frozen":
                trouble.host.thaw()
            case _:
                trouble.host.mend()
