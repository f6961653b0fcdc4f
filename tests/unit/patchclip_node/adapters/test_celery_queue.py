from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from patchclip_node.adapters.celery_queue import MAX_WAITING_CALLS, TASK_NAMES, CeleryTaskQueue, make_celery
from patchclip_node.domain.errors import RetryableError
from patchclip_node.ports.task_queue import Work
from tests.peers.processes import free_port


def received(app: Any, work: Work) -> int:
    """Take all messages of one queue."""
    with app.connection_for_read() as connection:
        queue = app.amqp.queues[TASK_NAMES[work]].bind(connection.default_channel)
        count = 0
        while queue.get(no_ack=True) is not None:
            count += 1
        return count


def test_a_call_reaches_the_queue_of_its_work(tmp_path: Path) -> None:
    CeleryTaskQueue(make_celery(None, tmp_path)).wake(Work.ANALYSE)

    assert received(make_celery(None, tmp_path), Work.ANALYSE) == 1


def test_calls_that_nobody_answers_do_not_pile_up(tmp_path: Path) -> None:
    app = make_celery(None, tmp_path)
    queue = CeleryTaskQueue(app)

    for _ in range(50):
        queue.wake(Work.ANALYSE)

    assert received(app, Work.ANALYSE) == MAX_WAITING_CALLS


def test_a_broker_that_is_down_is_retryable_and_does_not_hang(tmp_path: Path) -> None:
    queue = CeleryTaskQueue(make_celery(f"redis://127.0.0.1:{free_port()}/0", tmp_path))

    started = time.monotonic()
    with pytest.raises(RetryableError, match="the broker does not answer"):
        queue.wake(Work.ANALYSE)

    assert time.monotonic() - started < 5


def test_a_queue_folder_that_vanished_is_retryable(tmp_path: Path) -> None:
    queue = CeleryTaskQueue(make_celery(None, tmp_path))
    (tmp_path / "messages").rmdir()

    with pytest.raises(RetryableError):
        queue.wake(Work.ANALYSE)


def test_a_message_that_is_no_json_is_dropped_and_the_next_one_taken(tmp_path: Path) -> None:
    app = make_celery(None, tmp_path)
    (tmp_path / "messages" / f"0000.{TASK_NAMES[Work.ANALYSE]}.msg").write_text('{"half')
    CeleryTaskQueue(app).wake(Work.ANALYSE)

    assert received(app, Work.ANALYSE) == 1
    assert list((tmp_path / "messages").iterdir()) == []


def test_only_json_is_accepted_and_no_result_is_kept(tmp_path: Path) -> None:
    conf = make_celery(None, tmp_path).conf

    assert conf.accept_content == ["json"]
    assert conf.task_ignore_result
    assert conf.result_backend is None
    assert conf.broker_connection_retry_on_startup
