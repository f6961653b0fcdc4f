"""How the commands speak: progress with rate and time left on a terminal, plain lines elsewhere, errors on stderr."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

EXIT_FAILURE = 1
"""Something that was asked for did not come about."""

EXIT_USAGE = 2
"""The command, a file it names or a recipe is wrong."""

EXIT_INTERRUPTED = 130
"""Stopped from the keyboard; what was done is kept."""

PLAIN_WIDTH = 160
"""Columns of a table that goes into a file or a pipe, where there is no terminal to ask."""

LINE_EVERY_S = 10.0
"""Without a terminal, progress is a line this often at most."""


def console() -> Console:
    """Return a console on standard output."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return Console(highlight=False)
    return Console(highlight=False, width=PLAIN_WIDTH)


def complain(message: object) -> None:
    """Print an error on standard error."""
    typer.echo(f"patchclip-trainer: {message}", err=True)


@contextmanager
def progress(description: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function to call with (units done, units in all) as they come about."""
    if sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as bar:
            task = bar.add_task(description, total=None, rate="")

            def show(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)
                speed = bar.tasks[0].speed
                bar.update(task, rate=f"{speed:.1f} {unit}/s" if speed else "")

            yield show
        return
    started_s = last_s = time.monotonic()
    first: int | None = None

    def line(done: int, total: int) -> None:
        nonlocal last_s, first
        # What an earlier run had done comes at once and must not count into the rate.
        first = done - 1 if first is None else first
        now_s = time.monotonic()
        if done < total and now_s - last_s < LINE_EVERY_S:
            return
        last_s = now_s
        rate = (done - first) / max(now_s - started_s, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if done < total else ""
        typer.echo(f"{description} {done}/{total}, {rate:.1f} {unit}/s{left}", err=True)

    yield line


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


def stopped(where: str, number: int | None) -> typer.Exit:
    """Say where a signal has stopped a run; return what ends the command, as a shell knows it.

    number: the signal's; None where another process of the run has got it.
    """
    complain(f"stopped {where}; the same command with --resume goes on")
    return typer.Exit(128 + (number or signal.SIGTERM))
