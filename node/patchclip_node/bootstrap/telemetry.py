"""Lets a process tell its spans, where the settings name a collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.processes import process_name
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.ports.tracer import NO_TRACER, Tracer
from patchclip_node.settings import NodeSettings


@contextmanager
def traced(settings: NodeSettings, ledger: SqlLedger, process: str) -> Iterator[Tracer]:
    """Tell the spans of what the ledger settles in this process, for the time of the context."""
    telemetry = settings.telemetry
    if telemetry.endpoint is None:
        yield NO_TRACER
        return
    facts = {
        "service.instance.id": process_name(),
        "patchclip.process": process,
        "patchclip.ae_title": settings.ae_title,
    }
    tracer = with_sdk().OtlpTracer(telemetry.endpoint, telemetry.timeout_s, facts)
    ledger.trace_by(tracer)
    try:
        yield tracer
    finally:
        tracer.close()


def with_sdk() -> Any:
    """Return the adapter's module, whose SDK is an extra. Raises `ConfigurationError` where that is not installed."""
    try:
        return import_module("patchclip_node.adapters.telemetry")
    except ImportError as error:
        raise ConfigurationError(
            f"telemetry.endpoint: OpenTelemetry's SDK is not installed ({error}): pip install 'patchclip[telemetry]', "
            "or leave the key out"
        ) from error
