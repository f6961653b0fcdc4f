"""One log for everything: structlog's events and the standard library's records, one line each, on standard error."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any, Final

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from patchclip_node.bootstrap.library_troubles import OnceAMinute
from patchclip_node.settings import LogSettings

_LEVELS_OF_OTHERS: Final = {
    "alembic": logging.WARNING,
    "celery": logging.WARNING,
    "kombu": logging.WARNING,
    "pydicom": logging.ERROR,  # its warnings quote values, and values may be names
    "highdicom": logging.ERROR,
    "pynetdicom": logging.ERROR,
    "PIL": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "uvicorn": logging.WARNING,
}
"""Libraries speak up from this level on, whatever our own level is: theirs would bury ours."""


def configure(settings: LogSettings, process: str) -> None:
    """Send all logging of this process to standard error; `process` names it in every line.

    Identifiers that were bound with `structlog.contextvars` are in every line. Logs hold UIDs, never patient names.
    """

    def add_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(settings)],
        )
    )
    handler.addFilter(OnceAMinute())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    for name, level in _LEVELS_OF_OTHERS.items():
        logging.getLogger(name).setLevel(level)
    warnings.filterwarnings("ignore", module=r"pydicom|highdicom")  # for the same reason as their loggers


def _rendering(settings: LogSettings) -> list[Any]:
    if settings.format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the pretty ones print variables, and so names
        )
    ]
