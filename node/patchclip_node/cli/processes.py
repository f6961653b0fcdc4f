"""`serve`, `receive`, `work`, `deliver`, `web`: the node's processes."""

from __future__ import annotations

import typer

from patchclip_core.memory import starting
from patchclip_node.cli.terminal import ConfigOption
from patchclip_node.dicom.spared import import_pydicom
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import read_settings

PANEL = "Run the node"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(rich_help_panel=PANEL)(serve)
    app.command(rich_help_panel=PANEL)(receive)
    app.command(rich_help_panel=PANEL)(work)
    app.command(rich_help_panel=PANEL)(deliver)
    app.command(rich_help_panel=PANEL)(web)


def serve(config: ConfigOption = None) -> None:
    """Run the whole node: receiver, worker, delivery and status pages in one process tree.

    Needs no other server: studies, queue and images lie in data_dir. A child that dies is started again. Stop it with
    Ctrl-C or SIGTERM; what was acknowledged is kept and continues at the next start.
    """
    from patchclip_node.bootstrap import supervisor
    from patchclip_node.bootstrap.runtime import require_runtime

    if not (settings := read_settings(config)).forward:
        require_runtime(settings.model)  # its worker would miss it again and again
    supervisor.run(config)


def receive(config: ConfigOption = None) -> None:
    """Run the DICOM receiver alone (service mode): C-ECHO and C-STORE on ae_title and port."""
    with starting():
        import_pydicom()
        from patchclip_node.bootstrap import receiver

    receiver.run(config)


def work(config: ConfigOption = None) -> None:
    """Run one worker alone (service mode): it analyses studies. One process a GPU."""
    with starting():
        import_pydicom()
        from patchclip_node.bootstrap.runtime import require_runtime

        if (settings := read_settings(config)).forward:
            raise ConfigurationError("forward: this node hands images on and analyses none: it needs no worker")
        require_runtime(settings.model)  # the extra that brings it brings all else, too
        from patchclip_node.bootstrap import worker

    worker.run(config)


def deliver(config: ConfigOption = None) -> None:
    """Run the delivery alone (service mode): results go to the destinations, each of which waits for no other one."""
    with starting():
        import_pydicom()
        from patchclip_node.bootstrap import deliverer

    deliverer.run(config)


def web(config: ConfigOption = None) -> None:
    """Run the status pages alone (service mode). Without an account (`users add`) on loopback alone."""
    with starting():
        import_pydicom()
        from patchclip_node.bootstrap import web as web_process

    web_process.run(config)
