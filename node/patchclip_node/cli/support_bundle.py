"""`support-bundle`: what helps to find a fault, in one file that holds nothing of patients and no secret."""

from __future__ import annotations

import json
import os
import platform
import shutil
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from patchclip_core.terminal import EXIT_FAILURE
from patchclip_node.cli.terminal import ConfigOption, complain
from patchclip_node.domain.errors import ConfigurationError, NodeError
from patchclip_node.settings import NodeSettings, read_settings

if TYPE_CHECKING:
    from patchclip_node.adapters.ledger import SqlLedger
    from patchclip_node.cli.scrubbing import Scrubber

LOG_BYTES: Final = 50 * 1024**2
"""Of each log the last part, which is as long at most."""

_LIBRARIES: Final = (
    "torch",
    "onnxruntime",
    "numpy",
    "pydicom",
    "pynetdicom",
    "highdicom",
    "sqlalchemy",
    "celery",
    "kombu",
    "starlette",
    "uvicorn",
    "pydantic",
    "pylibjpeg",
    "python-gdcm",
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("support-bundle", rich_help_panel="Look after the node")(support_bundle)


def support_bundle(
    config: ConfigOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="ZIP", dir_okay=False, help="The file that is written.")
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option("--log", "-l", metavar="FILE", help="A log of the node to put in, scrubbed; repeatable."),
    ] = None,
) -> None:
    """Write what helps to find a fault into one ZIP file: versions, configuration, doctor's findings, counts, logs.

    Nothing of a patient is in it: names, IDs, accession numbers and UIDs are taken out of logs and findings, by what
    the ledger knows. No secret is in it either. Look at it before you pass it on: what a person wrote into a
    configuration goes as it is.
    """
    path = out or Path(f"patchclip-support-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip")
    logs = [_readable(one) for one in log or ()]
    contents = _contents(config, logs)
    try:
        with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as bundle:
            for name, content in contents.items():
                bundle.writestr(name, content)
    except FileExistsError as error:
        raise ConfigurationError(f"--out: {path} is there already; name another file") from error
    except OSError as error:
        complain(f"cannot write {path}: {error.strerror}")
        raise typer.Exit(EXIT_FAILURE) from error
    typer.echo(f"{path}: {', '.join(contents)}. Look at it before you pass it on.")


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise ConfigurationError(f"--log: there is no file {path}")
    return path


def _contents(config: Path | None, logs: list[Path]) -> Mapping[str, str]:
    """Return name -> content of what goes in. Of a configuration that is wrong its error goes, beside the versions."""
    contents = {"versions.json": _as_json(_versions())}
    try:
        settings = read_settings(config)
    except ConfigurationError as error:
        return contents | {"configuration.txt": f"{error}\n"}
    contents["configuration.json"] = _as_json(_configuration(settings, config))
    ledger, trouble = _open(settings)
    if ledger is None:
        left_out = "; doctor's findings and logs are left out: who is a patient can't be looked up" if logs else ""
        return contents | {"ledger.txt": f"{trouble}{left_out}\n"}
    try:
        scrubber = _scrubber(ledger)
        contents["counts.json"] = _as_json(_counts(ledger))
    finally:
        ledger.close()
    contents["doctor.json"] = scrubber.scrubbed(_as_json(_findings(settings)))
    for number, path in enumerate(logs, start=1):
        contents[f"log-{number}.txt"] = scrubber.scrubbed(_end_of(path))
    return contents


def _versions() -> dict[str, Any]:
    from patchclip_node.product import PRODUCT_NAME, PRODUCT_VERSION

    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return {
        "product": f"{PRODUCT_NAME} {PRODUCT_VERSION}",
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "libraries": found,
    }


def _configuration(settings: NodeSettings, config: Path | None) -> list[dict[str, Any]]:
    from patchclip_node.cli.config import effective_settings, file_values

    rows = effective_settings(settings, file_values(config), os.environ)
    return [{"key": key, "value": value, "from": source} for key, value, source in rows]


def _open(settings: NodeSettings) -> tuple[SqlLedger | None, str]:
    """Open the ledger as it is: nothing is migrated for a bundle."""
    from patchclip_node.adapters.ledger import SqlLedger
    from patchclip_node.adapters.ledger.migrate import works_on

    if settings.ledger_url is None and not (settings.data_dir / "ledger.sqlite").exists():
        return None, "there is no ledger yet"
    try:
        if not works_on(settings.effective_ledger_url):
            return None, "the ledger is of an earlier version: run `patchclip-node upgrade` once"
    except NodeError as error:
        return None, str(error)
    return SqlLedger(settings.effective_ledger_url), ""


def _scrubber(ledger: SqlLedger) -> Scrubber:
    from patchclip_node.cli.scrubbing import Scrubber

    names, others = ledger.studies.identifiers()
    return Scrubber(names, others)


def _counts(ledger: SqlLedger) -> dict[str, Any]:
    counts = ledger.workload.counts()
    return {
        "studies": counts.studies_by_state,
        "deliveries": counts.deliveries_by_state,
        "instances": counts.instances,
        "oldest_unfinished_at": counts.oldest_unfinished_at,
        "waiting_by_destination": ledger.workload.waiting_by_destination(),
    }


def _findings(settings: NodeSettings) -> dict[str, Any]:
    from patchclip_node.cli.checks import ALL_CHECKS, run_check

    free = shutil.disk_usage(settings.data_dir if settings.data_dir.exists() else Path.cwd())
    found = [result for check in ALL_CHECKS for result in run_check(check, settings)]
    return {
        "disk": {"total_bytes": free.total, "free_bytes": free.free},
        "checks": [{"check": r.name, "status": r.status, "detail": r.detail, "advice": r.advice} for r in found],
    }


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES))
        content = file.read().decode("utf-8", "replace")
    return content if size <= LOG_BYTES else content.partition("\n")[2]


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
