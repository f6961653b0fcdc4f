"""`demo`: the main job on this machine, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from patchclip_core.terminal import EXIT_FAILURE, console, steps


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Try it")(demo)


def demo(
    studies: Annotated[
        Path | None,
        typer.Option("--studies", "-s", metavar="DIR", exists=True, help="Your own DICOM files; default: samples."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", file_okay=False, help="Where results and report go.")
    ] = Path("out/demo"),
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="CHECKPOINT", help="A checkpoint folder or shipped name.")
    ] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="How long all studies together may take.")
    ] = 300.0,
) -> None:
    """Send chest X-rays through a whole node on this machine and show what comes back.

    Starts a small archive and a node with all its processes on free loopback ports, sends the studies by C-STORE, waits
    for the results, prints a table and writes DIR/returned/*.dcm, a PNG for each study and DIR/report.html. Stops
    everything it started. Ends with status 0 only if every study came back.
    """
    from patchclip_node.bootstrap.runtime import require_runtime
    from patchclip_node.bootstrap.stopping import stop_on_signals
    from patchclip_node.demo.run_demo import run_demo
    from patchclip_node.settings import NodeSettings

    require_runtime(model or NodeSettings().model)
    stop = stop_on_signals()
    came_back = run_demo(studies, out, model, timeout_s, console(), steps, stop)
    if stop.is_set():
        raise KeyboardInterrupt
    if not came_back:
        raise typer.Exit(EXIT_FAILURE)
