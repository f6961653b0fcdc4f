"""Threads that run as long as a context."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from patchclip_node.services.outage import again_and_again


@contextmanager
def running(threads: Sequence[threading.Thread], stop: threading.Event, join_s: float | None = None) -> Iterator[None]:
    """Run them for the time of the context; then set `stop`, and wait `join_s` for each, or until it has ended."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(join_s)


def repeating(name: str, step: Callable[[], object], stop: threading.Event, every_s: float) -> threading.Thread:
    """Return a thread that will take a step again and again until `stop`."""
    return threading.Thread(target=again_and_again, args=(step, stop, every_s, name), name=name, daemon=True)


__all__ = ["repeating", "running"]
