"""Wakes workers through Celery: over a folder (embedded mode) or a broker such as Redis (service mode)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from celery import Celery
from kombu.entity import Exchange, Queue
from kombu.exceptions import KombuError

from patchclip_node.domain.errors import RetryableError
from patchclip_node.ports.task_queue import Work

TASK_NAMES: Final = {work: f"patchclip.{work.value}" for work in Work}
"""The Celery task, and the queue of the same name, for each kind of work."""

MAX_WAITING_CALLS: Final = 4
"""More calls than this never wait for one kind of work: they would say the same again."""

_BROKER_TIMEOUT_S: Final = 3.0
_VISIBILITY_TIMEOUT_S: Final = 3600


def make_celery(broker_url: str | None, queue_dir: Path) -> Celery:
    """Return the Celery app. Without `broker_url` messages are files in `queue_dir`, which is made.

    JSON only, no results, acknowledged early: what has to be done, and done again, stands in the ledger.
    """
    app = Celery("patchclip", set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=False,
        task_create_missing_queues=False,
        task_default_queue=TASK_NAMES[Work.ANALYSE],
        task_queues=[_queue(name) for name in TASK_NAMES.values()],
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,  # those acknowledged late: there are none
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=_BROKER_TIMEOUT_S,
        broker_connection_max_retries=None,
        **_broker(broker_url, queue_dir),
    )
    return app


def _queue(name: str) -> Queue:
    return Queue(name, Exchange(""), routing_key=name)  # type: ignore[no-untyped-call]  # kombu has only some types


def _broker(broker_url: str | None, queue_dir: Path) -> dict[str, Any]:
    if broker_url is None:
        messages = queue_dir / "messages"
        messages.mkdir(parents=True, exist_ok=True)
        return {
            "broker_url": "filesystem://localhost",
            "broker_transport": "patchclip_node.adapters.folder_transport:Transport",
            "broker_transport_options": {
                "data_folder_in": str(messages),
                "data_folder_out": str(messages),
                "control_folder": str(queue_dir / "control"),
            },
        }
    return {
        "broker_url": broker_url,
        "broker_transport_options": {
            "socket_connect_timeout": _BROKER_TIMEOUT_S,
            "socket_timeout": _BROKER_TIMEOUT_S * 2,
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "connect_retries_timeout": _BROKER_TIMEOUT_S,
            "visibility_timeout": _VISIBILITY_TIMEOUT_S,
        },
    }


class CeleryTaskQueue:
    """Implements the port `TaskQueue`; may be used from several threads."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def wake(self, work: Work) -> None:
        """Wake some worker, unless `MAX_WAITING_CALLS` wait already.

        Raises `RetryableError` within seconds when the broker does not answer.
        """
        name = TASK_NAMES[work]
        try:
            with self._app.connection_for_write() as connection, connection.Producer() as producer:
                if self._waiting(name, producer.channel) < MAX_WAITING_CALLS:
                    self._app.send_task(name, queue=name, producer=producer, retry=False, ignore_result=True)
        except (KombuError, OSError) as error:
            raise RetryableError(f"the broker does not answer: {error}") from error
        except self._connection_errors() as error:
            raise RetryableError(f"the broker does not answer: {error}") from error

    def _waiting(self, name: str, channel: Any) -> int:
        """Declare the queue, which a flushed broker has forgotten, and count its messages."""
        return int(self._app.amqp.queues[name].bind(channel).queue_declare(nowait=False).message_count)

    def _connection_errors(self) -> tuple[type[Exception], ...]:
        connection = self._app.connection_for_write()
        return tuple(connection.connection_errors) + tuple(connection.channel_errors)
