"""Puts the commands together. What they need is imported when they run, so that `--help` answers at once."""

from __future__ import annotations

import os
from functools import partial

from patchclip_core.errors import CheckpointError, FindingsFileError, VocabularyFileError, WordingFileError
from patchclip_core.terminal import new_program, run_program
from patchclip_node.cli import (
    acceptance,
    alerts,
    analyze,
    audit,
    backfill,
    backup,
    config,
    conformance,
    demo,
    doctor,
    gate,
    processes,
    recall,
    render,
    replay,
    route,
    studies,
    support_bundle,
    upgrade,
    users,
    verdicts,
)
from patchclip_node.cli.terminal import NOT_FOR_OTHERS, PROGRAM
from patchclip_node.domain.errors import ConfigurationError, NodeError


def _version() -> str:
    from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION

    return f"{PRODUCT_NAME} {PRODUCT_VERSION}"


app = new_program(
    PROGRAM,
    "A DICOM node for chest X-rays. It receives studies by C-STORE, has them analysed by Patch-CLIP and sends a "
    "structured report and a segmentation back to your PACS.\n\n"
    "Start with **patchclip-node demo**, then write a configuration (conf/node.yaml shows every setting), "
    "check it with **config check** and **doctor**, and run **serve**.\n\n"
    "Research software. Not for diagnosis.",
    _version,
)
for module in (
    processes,
    demo,
    analyze,
    route,
    render,
    doctor,
    conformance,
    support_bundle,
    recall,
    acceptance,
    backup,
    upgrade,
):
    module.register(app)
gate.register(studies.app)
replay.register(studies.app)
app.add_typer(studies.app, name="studies", rich_help_panel="Look after the node")
app.add_typer(backfill.app, name="backfill", rich_help_panel="Look after the node")
app.add_typer(verdicts.app, name="verdicts", rich_help_panel="Look after the node")
app.add_typer(users.app, name="users", rich_help_panel="Look after the node")
app.add_typer(alerts.app, name="alerts", rich_help_panel="Look after the node")
app.add_typer(audit.app, name="audit", rich_help_panel="Look after the node")
app.add_typer(config.app, name="config", rich_help_panel="Look after the node")


def main() -> None:
    """Run the command line; see `run_program`. What it writes is for its user alone: it holds images and names."""
    os.umask(NOT_FOR_OTHERS)
    run_program(
        PROGRAM,
        partial(app, prog_name=PROGRAM),
        usage=(ConfigurationError, FindingsFileError, VocabularyFileError, WordingFileError, CheckpointError),
        failures=(NodeError,),
    )
