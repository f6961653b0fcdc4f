"""How both programs speak: tables and progress on a terminal, plain lines elsewhere, errors on standard error."""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

EXIT_FAILURE: Final = 1
"""Something that the command was to do did not come about."""

EXIT_USAGE: Final = 2
"""The command, a file it names, a recipe or the configuration is wrong."""

EXIT_INTERRUPTED: Final = 130
"""Stopped from the keyboard, as a shell says it: 128 and the signal's number."""

PLAIN_WIDTH: Final = 160
"""Columns of a table that goes into a file or a pipe, where no terminal says how wide it is."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

EXTRA_OF: Final = {
    "PIL": "results",
    "gdcm": "results",
    "highdicom": "results",
    "jpeg_ls": "results",
    "numpy": "results",
    "openjpeg": "results",
    "onnxruntime": "worker-onnx",
    "safetensors": "worker",
    "scipy": "worker",
    "tokenizers": "worker",
    "torch": "worker",
    "transformers": "worker",
    "sklearn": "trainer",
    "tensorboardX": "trainer",
}
"""Packages that are not everywhere -> the extra of `patchclip` that brings them."""

LINE_EVERY_S: Final = 10.0
"""Without a terminal, the progress of what is counted is a line this often at most."""


def console() -> Console:
    """Return a console on standard output."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return Console(highlight=False)
    return Console(highlight=False, width=PLAIN_WIDTH)


def complain(program: str, message: object) -> None:
    """Print a program's error on standard error."""
    _line(f"{program}: {message}")


def new_program(name: str, about: str, version: Callable[[], str]) -> typer.Typer:
    """Return a program's command line, without commands yet.

    about: what `--help` says of it, in Markdown. version: what `--version` prints; it is called for that alone.
    """
    app = typer.Typer(
        name=name,
        help=about,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def print_version(wanted: bool) -> None:
        if wanted:
            typer.echo(version())
            raise typer.Exit

    asked = typer.Option(False, "--version", callback=print_version, is_eager=True, help="Print the version and stop.")

    @app.callback()
    def options(version: bool = asked) -> None:
        pass

    return app


def run_program(
    program: str,
    command_line: Callable[[], object],
    usage: Collection[type[Exception]],
    failures: Collection[type[Exception]],
) -> None:
    """Run a command line. Expected errors become one message and an exit code; only defects show a traceback.

    usage: what the caller has to put right. failures: what did not come about. So is what finds a full disk.
    """
    try:
        command_line()
    except tuple(usage) as error:
        complain(program, error)
        sys.exit(EXIT_USAGE)
    except ModuleNotFoundError as error:
        if (words := missing_extra(error)) is None:
            raise
        complain(program, words)
        sys.exit(EXIT_USAGE)
    except tuple(failures) as error:
        complain(program, error)
        sys.exit(EXIT_FAILURE)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.exit(EXIT_FAILURE)  # the reader of our output, such as `head`, has seen enough
        if error.errno not in _FULL:
            raise
        complain(program, f"{error.filename or 'a file'}: {error.strerror}; make room there and give the command again")
        sys.exit(EXIT_FAILURE)


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Say which extra is to be installed for a package that is not here; None where no extra brings it."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(package)
    return extra and f"this needs {package}, which is not installed here: pip install 'patchclip[{extra}]'"


def require_package(name: str) -> None:
    """Raise `ModuleNotFoundError` where a package is not here, without importing it."""
    if importlib.util.find_spec(name) is None:
        raise ModuleNotFoundError(name, name=name)


@contextmanager
def steps(description: str, total: int) -> Iterator[Callable[[str], None]]:
    """Give a function to call after each of `total` steps with what was done: a bar on a terminal, lines elsewhere."""
    if sys.stderr.isatty():
        columns = (SpinnerColumn(), *_COUNTED, TimeElapsedColumn(), TextColumn("[dim]{task.fields[done]}"))
        with _bar(columns, transient=True) as bar:
            task = bar.add_task(description, total=total, done="")
            yield lambda done: bar.update(task, advance=1, done=done)
        return
    step = 0

    def line(done: str) -> None:
        nonlocal step
        step += 1
        _line(f"{description} {step}/{total}: {done}")

    yield line


@contextmanager
def progress(description: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function to call with (units done, units in all) as they come about; rate and time left are shown."""
    if sys.stderr.isatty():
        with _bar((*_COUNTED, TextColumn("{task.fields[rate]}"), TimeRemainingColumn())) as bar:
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
        _line(f"{description} {done}/{total}, {rate:.1f} {unit}/s{left}")

    yield line


_COUNTED = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


def _bar(columns: Collection[ProgressColumn], *, transient: bool = False) -> Progress:
    return Progress(*columns, console=Console(stderr=True), transient=transient)


def _line(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
