"""Under which name this process leases its work."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final


class LeaseOwner:
    """Gives each piece of work its own owner name, `<process name>#<serial number>`.

    So a lease that could not be handed back, because the ledger went away at that moment, is not renewed along with the
    work that follows: it is `left_behind`, and the sweep takes it back. Several threads may work, and others ask.
    """

    def __init__(self, process_name: str) -> None:
        """`process_name` tells this process from all others, see `adapters.processes.process_name`."""
        self.process_name: Final = process_name
        self._prefix = f"{process_name}#"
        self._serial = 0
        self._current: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    @contextmanager
    def at_work(self) -> Iterator[str]:
        """Give the owner name for one piece of work; its leases are renewed for the time of the context."""
        with self._lock:
            self._serial += 1
            name = f"{self._prefix}{self._serial}"
            self._current |= {name}
        try:
            yield name
        finally:
            with self._lock:
                self._current -= {name}

    def current(self) -> frozenset[str]:
        """Return the owner names that are at work; none while this process is idle."""
        return self._current

    def pieces_of_work(self) -> int:
        """Return how many pieces of work this process has begun."""
        return self._serial

    def left_behind(self, owners: Sequence[str]) -> list[str]:
        """Return those of `owners`, as the ledger had them before this call, whose work in this process is over."""
        current = self._current
        return [owner for owner in owners if owner.startswith(self._prefix) and owner not in current]
