"""Telemetry as settings: where spans go."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from patchclip_node.settings.section import Section


class TelemetrySettings(Section):
    """Spans of each study's way, by OpenTelemetry; needs the extra `telemetry`."""

    endpoint: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^https?://[^\s@]+$")] | None = None
    """URL of an OTLP/HTTP collector's traces, such as http://127.0.0.1:4318/v1/traces; none: no spans are made."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """How long the collector may take for a batch."""
