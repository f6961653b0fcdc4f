"""`backfill`: an archive's studies are listed, and analysed behind all that is sent to the node."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchclip_core.terminal import EXIT_FAILURE
from patchclip_node.cli.asking import DryRunOption, YesOption, ask
from patchclip_node.cli.existing_ledger import existing_ledger
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.cli.terminal import ConfigOption, JsonOption, complain, log_to_standard_error, print_json
from patchclip_node.settings import NodeSettings, read_settings

if TYPE_CHECKING:
    from patchclip_node.domain.backfill import BackfillProgress, Window

app = typer.Typer(help="Analyse what an archive has from before, behind all that is sent to the node.")

LINE_EVERY_S = 60.0
"""Without a terminal, how far `run` is, is a line this often at most."""

_SHOWN_TROUBLES = 5


@app.command()
def plan(
    since: Annotated[
        datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], metavar="DATE", help="The first study date.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", formats=["%Y-%m-%d"], metavar="DATE", help="The last one; default: yesterday."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", exists=True, dir_okay=False, help="Studies of this file instead."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Put studies on the list: what the archive has of these days, or the Study Instance UIDs of a file.

    The newest come first. A study that is on the list stays as it is, so the command may be given again, also where it
    was broken off.
    """
    if (since is None) == (csv is None):
        raise typer.BadParameter("name --since, or --csv")
    settings = read_settings(config)
    log_to_standard_error()
    with existing_ledger(settings) as ledger:
        if csv is not None:
            from patchclip_node.bootstrap.common import open_clock
            from patchclip_node.cli.study_uids import read_study_uids

            studies = read_study_uids(csv)
            added = ledger.backfill.add(studies, open_clock(ledger).now())
            typer.echo(f"{len(studies)} studies in {csv}, {added} of them new on the list")
            return
        assert since is not None
        _ask_the_archive(settings, ledger, since, until)


def _ask_the_archive(settings: NodeSettings, ledger: Any, since: datetime, until: datetime | None) -> None:
    from datetime import timedelta

    from patchclip_node.bootstrap import backfill
    from patchclip_node.bootstrap.stopping import stop_on_signals

    last = until.date() if until is not None else datetime.now().astimezone().date() - timedelta(days=1)
    if since.date() > last:
        raise typer.BadParameter(f"--since {since:%Y-%m-%d} is after the last day, {last}")

    def show(window: Window, found: int) -> None:
        sys.stderr.write(f"{window}: {found} studies so far\n")

    stop = stop_on_signals()
    planned = backfill.plan(settings, ledger, shell_user(), since.date(), last, show, stop)
    typer.echo(f"{planned.found} studies, {planned.added} of them new on the list")
    for window in planned.cut:
        complain(f"{window}: the archive may have more than it answered; lower backfill.answers_at_most and plan again")
    if stop.is_set() or planned.cut:
        raise typer.Exit(EXIT_FAILURE)


@app.command()
def run(
    again: Annotated[bool, typer.Option("--again", help="Ask once more for what failed.")] = False,
    config: ConfigOption = None,
) -> None:
    """Work on the list until it is done, at the rate and in the hours that the settings say.

    Ctrl-C or SIGTERM ends it, and so may a power cut: given again, it goes on where it stopped. The node has to run.
    """
    from patchclip_node.bootstrap import backfill
    from patchclip_node.bootstrap.logging import configure
    from patchclip_node.bootstrap.stopping import stop_on_signals

    settings = read_settings(config)
    log = settings.log
    configure(log.model_copy(update={"level": "error"}) if sys.stderr.isatty() else log, "backfill")  # beside a bar
    with existing_ledger(settings) as ledger, _shown(settings) as show:
        if again:
            typer.echo(f"{ledger.backfill.again()} failed studies are asked for once more")
        stop = stop_on_signals()
        backfill.pull(settings, ledger, shell_user(), show, stop)
        from patchclip_node.bootstrap.common import open_clock

        progress = ledger.backfill.progress(open_clock(ledger).now())
    typer.echo(_line(settings, progress))
    if progress.left:
        raise typer.Exit(EXIT_FAILURE)


@app.command()
def status(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show how far the list is: studies by state, the rate, when it will be done, and the last troubles."""
    settings = read_settings(config)
    from patchclip_node.bootstrap.common import open_clock

    with existing_ledger(settings) as ledger:
        progress = ledger.backfill.progress(open_clock(ledger).now(), _SHOWN_TROUBLES)
    if json:
        print_json(_document(settings, progress))
        return
    typer.echo(_line(settings, progress))
    for state, number in progress.counts.items():
        typer.echo(f"{state.value:8} {number}")
    for trouble in progress.troubles:
        typer.echo(f"{trouble.study_instance_uid} {trouble.state.value}: {trouble.reason}")


@app.command()
def forget(dry_run: DryRunOption = False, yes: YesOption = False, config: ConfigOption = None) -> None:
    """Take off the list what was not pulled: what waits, and what failed. What is here stays."""
    settings = read_settings(config)
    from patchclip_node.bootstrap.common import open_clock
    from patchclip_node.domain.backfill import BackfillState

    with existing_ledger(settings) as ledger:
        counts = ledger.backfill.progress(open_clock(ledger).now()).counts
        number = counts[BackfillState.WAITING] + counts[BackfillState.FAILED]
        if dry_run:
            typer.echo(f"{number} studies would be off the list")
            return
        if number:
            ask(f"Forget {number} studies that were not pulled?", yes)
        typer.echo(f"{ledger.backfill.forget()} studies are off the list")


def _line(settings: NodeSettings, progress: BackfillProgress) -> str:
    """Say how far the list is."""
    done = f"{progress.total - progress.left} of {progress.total} studies"
    if not progress.left:
        return f"{done}, nothing left"
    now = datetime.now().astimezone()
    rate = f"{progress.an_hour:.0f} an hour" if progress.an_hour else "none lately"
    end = progress.end(now, settings.backfill.pace)
    return f"{done}, {rate}, {progress.left} left until about {end:%Y-%m-%d %H:%M}"


def _document(settings: NodeSettings, progress: BackfillProgress) -> dict[str, Any]:
    end = progress.end(datetime.now().astimezone(), settings.backfill.pace) if progress.left else None
    return {
        "counts": {state.value: number for state, number in progress.counts.items()},
        "studies_an_hour": round(progress.an_hour, 1),
        "done_about": None if end is None else end.isoformat(timespec="minutes"),
        "troubles": [
            {"study_instance_uid": one.study_instance_uid, "state": one.state.value, "reason": one.reason}
            for one in progress.troubles
        ],
    }


@contextmanager
def _shown(settings: NodeSettings) -> Iterator[Callable[[BackfillProgress, str], None]]:
    """Give what shows how far the list is: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=None)

            def move(progress: BackfillProgress, why: str) -> None:
                said = why or _line(settings, progress).partition(", ")[2]
                bar.update(task, completed=progress.total - progress.left, total=progress.total, description=said)

            yield move
        return
    lines = _Lines(settings)
    yield lines.tell


class _Lines:
    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._said = ("", float("-inf"))

    def tell(self, progress: BackfillProgress, why: str) -> None:
        now_s = time.monotonic()
        if why == self._said[0] and now_s - self._said[1] < LINE_EVERY_S:
            return
        self._said = (why, now_s)
        sys.stderr.write(f"{_line(self._settings, progress)}{f' ({why})' if why else ''}\n")
        sys.stderr.flush()
