"""Service mode: receiver and workers as separate processes, Redis wakes them, PostgreSQL is the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from patchclip_node.domain.states import StudyState
from patchclip_node.services.remind import DEAF_AFTER_S
from tests.peers import dcmtk
from tests.peers.archive import Archive
from tests.peers.node import Node, new_node
from tests.peers.postgresql import PostgreSql, new_postgresql
from tests.peers.processes import wait_until
from tests.peers.radiographs import radiograph, write
from tests.peers.redis import Redis, new_redis

pytestmark = [pytest.mark.peer("redis"), pytest.mark.peer("postgresql"), pytest.mark.peer("dcmtk")]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSql]:
    with new_postgresql() as server, server.running():
        yield server


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as archive:
        yield archive


@pytest.fixture
def redis(tmp_path: Path) -> Redis:
    return new_redis(tmp_path / "redis")


@pytest.fixture
def node(tmp_path: Path, archive: Archive, redis: Redis, postgresql: PostgreSql) -> Node:
    return new_node(
        tmp_path / "node",
        [archive.destination],
        broker_url=redis.url,
        ledger_url=postgresql.url(postgresql.create_database()),
    )


def send(node: Node, folder: Path, count: int) -> list[str]:
    """Send `count` studies, every other one with something bright; returns their Study Instance UIDs."""
    datasets = [radiograph(bright=number % 2 == 0) for number in range(count)]
    finished = dcmtk.storescu(node.port, *(write(one, folder / f"{one.SOPInstanceUID}.dcm") for one in datasets))
    assert finished.returncode == 0, finished.stderr
    return [str(one.StudyInstanceUID) for one in datasets]


def test_two_workers_share_what_comes_and_a_flushed_broker_loses_nothing(
    node: Node, archive: Archive, redis: Redis, tmp_path: Path
) -> None:
    with redis.running(), node.running("receive"), node.running("work"), node.running("work"), node.running("deliver"):
        node.hold.touch()
        studies = send(node, tmp_path, 4)
        wait_until(lambda: node.is_in_analysis, "a worker is within the model")

        redis.command("FLUSHALL")
        studies += send(node, tmp_path, 2)
        redis.command("FLUSHALL")
        node.hold.unlink()
        ended = node.wait_for_end_of(studies)

    assert {study.state for study in ended.values()} == {StudyState.RETURNED}
    assert sorted(archive.sop_instance_uids) == sorted(set().union(*(node.results_of(uid) for uid in studies)))
    assert len(archive.sop_instance_uids) == 9  # six reports, three segmentations


def test_a_broker_that_is_down_delays_and_loses_nothing(
    node: Node, archive: Archive, redis: Redis, tmp_path: Path
) -> None:
    with node.running("serve"):
        early = send(node, tmp_path, 1)
        wait_until(lambda: "broker_down" in node.log, "the sweep finds the broker down", 20)
        with redis.running():
            ended = node.wait_for_end_of(early)
        late = send(node, tmp_path, 1)
        with redis.running():
            ended |= node.wait_for_end_of(late)

    assert {study.state for study in ended.values()} == {StudyState.RETURNED}
    assert len(archive.sop_instance_uids) == 4


def test_a_broker_that_restarts_in_the_middle_of_work_costs_a_worker_at_most(
    node: Node, archive: Archive, redis: Redis, tmp_path: Path
) -> None:
    """The consumer may lose the broker without noticing; the sweep then ends the worker, and `serve` starts another."""
    studies: list[str] = []
    with node.running("serve"):
        for _ in range(2):
            with redis.running():
                node.hold.touch()
                studies += send(node, tmp_path, 1)
                wait_until(lambda: node.is_in_analysis, "a worker is within the model", 60)
            node.hold.unlink()
            node.hold.with_suffix(".reached").unlink(missing_ok=True)
        studies += send(node, tmp_path, 1)
        with redis.running():
            ended = node.wait_for_end_of(studies, DEAF_AFTER_S + 60)

    assert {study.state for study in ended.values()} == {StudyState.RETURNED}
    assert len(archive.sop_instance_uids) == len(set(archive.sop_instance_uids)) == 6


def test_a_ledger_that_is_down_refuses_and_what_was_acknowledged_is_kept(
    tmp_path: Path, archive: Archive, redis: Redis
) -> None:
    refused = write(radiograph(), tmp_path / "refused.dcm")
    with new_postgresql() as server, redis.running(), ExitStack() as processes:
        with server.running():
            ledger_url = server.url(server.create_database())
            node = new_node(
                tmp_path / "node", [archive.destination], broker_url=redis.url, ledger_url=ledger_url, lease_s=1.0
            )
            processes.enter_context(node.running("receive"))
            processes.enter_context(node.running("work"))
            processes.enter_context(node.running("deliver"))
            node.hold.touch()
            studies = send(node, tmp_path, 1)
            wait_until(lambda: node.is_in_analysis, "a worker is within the model")

        answer = dcmtk.storescu(node.port, refused)
        node.hold.unlink()
        wait_until(lambda: "ledger_down" in node.log, "the sweep finds the ledger down")

        with server.running():
            ended = node.wait_for_end_of(studies)
            again = dcmtk.storescu(node.port, refused)

    assert "Refused: OutOfResources" in answer.stdout + answer.stderr
    assert again.returncode == 0
    assert {study.state for study in ended.values()} == {StudyState.RETURNED}
    assert len(set(archive.sop_instance_uids)) == 2
