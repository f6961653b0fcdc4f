"""kombu's filesystem transport, made safe for several processes."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from queue import Empty
from typing import Any, Final

import structlog
from kombu.transport import filesystem

MAX_WAIT_S: Final = 0.25

log = structlog.get_logger(__name__)


class Channel(filesystem.Channel):
    """A message is a file that appears whole, and that exactly one consumer takes.

    kombu 5.7 writes a message under its final name, so that a consumer may meet half of one, and its worker ends; it
    moves taken messages to the system's temporary folder. Here both steps are renames within the queue's own folder.
    Nothing is synced: the ledger is the truth, a message that a power cut swallows does no harm.
    """

    def _put(  # type: ignore[override]  # kombu's own two classes name these arguments differently
        self, queue: str, message: dict[str, Any], **_: Any
    ) -> None:
        folder = Path(self.data_folder_out)
        name = f"{uuid.uuid4().hex}.{queue}.msg"
        unfinished = folder / f"{name}.unfinished"
        unfinished.write_text(json.dumps(message), encoding="utf-8")
        unfinished.rename(folder / name)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - the base's signature
        folder = Path(self.data_folder_in)
        for name in os.listdir(folder):  # noqa: PTH208 - polled many times a second; names are enough
            if not name.endswith(f".{queue}.msg"):
                continue
            taken = folder / f"{name}.taken"
            try:
                (folder / name).rename(taken)
                content = taken.read_bytes()
                taken.unlink()
                message: dict[str, Any] = json.loads(content)
            except FileNotFoundError:
                continue  # another worker was faster
            except ValueError:
                log.warning("queue_message_unreadable", file=name)
                continue
            return message
        raise Empty

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Bind nothing: calls go straight to their queue (AMQP's default exchange), so there is no table to keep."""


class Transport(filesystem.Transport):
    """What `broker_transport` names."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Wait for a message as kombu does, but look up often: Celery asks only between two waits whether to end."""
        wait_s = min(timeout or MAX_WAIT_S, MAX_WAIT_S)
        return super().drain_events(connection, timeout=wait_s, **kwargs)  # type: ignore[no-untyped-call]  # kombu
