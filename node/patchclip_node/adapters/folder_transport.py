"""kombu's filesystem transport, made safe for several processes."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any, Final

import structlog
from kombu.transport import filesystem

from patchclip_node.adapters.folder_watch import FolderWatch

MAX_WAIT_S: Final = 0.25
"""How long one wait of an idle worker lasts at most."""

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

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)  # type: ignore[no-untyped-call]  # kombu
        self._folder = Path(client.transport_options["data_folder_in"])
        self._watch: FolderWatch | None = None

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> Any:  # noqa: ARG002 - kombu's
        """Wait for a message, and not for long: Celery asks only between two waits whether to end."""
        assert self.cycle is not None, "an object has one; kombu's class has none"
        self._watch = self._watch or FolderWatch(self._folder)  # before the look: a message in between is heard of
        end_s = time.monotonic() + min(timeout or MAX_WAIT_S, MAX_WAIT_S)
        while True:
            try:
                return self.cycle.get(self._deliver, timeout=0)  # type: ignore[no-untyped-call]  # kombu
            except Empty:
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError from None
                self._watch.wait(left_s)

    def close_connection(self, connection: Any) -> None:
        """Hear of messages no more."""
        super().close_connection(connection)  # type: ignore[no-untyped-call]  # kombu
        if self._watch is not None:
            self._watch.close()
            self._watch = None
