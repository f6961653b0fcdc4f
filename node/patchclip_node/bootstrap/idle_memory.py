"""The memory of a worker that has nothing to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from patchclip_core.memory import give_back_freed_memory
from patchclip_node.ports.task_queue import Work

IDLE_S: Final = 20.0
"""After how long without work a worker gives back the memory that it kept for the next study."""


class IdleMemory:
    """Works off, and gives kept memory back to the system once nothing was worked off for `idle_s`.

    Between studies that follow each other it is kept: to get it again costs a study a tenth of a second.
    """

    def __init__(
        self,
        work_off: Callable[[Work], None],
        give_back: Callable[[], None] = give_back_freed_memory,
        idle_s: float = IDLE_S,
    ) -> None:
        self._work_off = work_off
        self._give_back = give_back
        self._idle_s = idle_s
        self._waiting = self._wait()  # for what loading the model left

    def __call__(self, first: Work) -> None:
        """Work off, whatever it raises."""
        self._waiting.cancel()
        try:
            self._work_off(first)
        finally:
            self._waiting = self._wait()

    def _wait(self) -> threading.Timer:
        timer = threading.Timer(self._idle_s, self._give_back)
        timer.daemon = True
        timer.start()
        return timer
