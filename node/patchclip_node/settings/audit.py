"""The settings of the audit trail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from patchclip_node.settings.live import NEEDS_A_RESTART
from patchclip_node.settings.section import Port, Section
from patchclip_node.settings.sections import DestinationTlsSettings


class CollectorSettings(Section):
    """Who collects audit messages: an Audit Record Repository that takes syslog over TLS (RFC 5425)."""

    host: str
    """Its name or address."""
    port: Port = 6514
    """RFC 5425's own, unless it says otherwise."""
    tls: DestinationTlsSettings = DestinationTlsSettings()
    """What differs from the node's own `tls`."""
    keep_events: Annotated[int, Field(ge=1000)] = 200_000
    """How many events wait for a collector that takes none; then the oldest are in the node's files alone."""


class AuditSettings(Section):
    """The audit trail (PS3.15 A.5): always in files, and at a collector where one is named."""

    folder: Annotated[Path | None, NEEDS_A_RESTART] = None
    """Where the files lie; None: `audit` in data_dir. They are never deleted."""
    file_max_bytes: Annotated[int, Field(ge=1024**2)] = 64 * 1024**2
    """A file that is as large is followed by another one."""
    site: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)] = ""
    """AuditEnterpriseSiteID of each message: which hospital or department."""
    collector: CollectorSettings | None = None
    """Who gets the messages as well; None: they are in the files alone."""


__all__ = ["AuditSettings", "CollectorSettings"]
