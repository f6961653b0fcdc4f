"""What the trainer's commands say besides what both programs do: where a signal has stopped a run."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import typer

from patchclip_core import terminal

PROGRAM: Final = "patchclip-trainer"


complain = partial(terminal.complain, PROGRAM)
"""Print an error on standard error."""


@contextmanager
def quiet(_description: str, _unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show nothing: another process does."""
    yield lambda _done, _total: None


@contextmanager
def stop_signals() -> Iterator[Callable[[], int | None]]:
    """Give a function that says which signal asked to stop; a second Ctrl-C stops at once."""
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    earlier = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def pasted(command: str, **options: object) -> str:
    """Return a command line that can be pasted into a shell; an option with a list comes once for each of it."""
    words = [PROGRAM, command]
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", str(one)]
    return shlex.join(words)


def stopped(where: str, number: int | None) -> typer.Exit:
    """Say where a signal has stopped a run; return what ends the command, as a shell knows it.

    number: the signal's; None where another process of the run has got it.
    """
    complain(f"stopped {where}; the same command with --resume goes on")
    return typer.Exit(128 + (number or signal.SIGTERM))
