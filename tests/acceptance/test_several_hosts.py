"""Two hosts that share ledger, broker and S3 store, and no folder: one receives, the other analyses and sends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from patchclip_node.domain.states import StudyState
from tests.peers import dcmtk
from tests.peers.archive import Archive
from tests.peers.line import Line
from tests.peers.moto import Moto, new_moto
from tests.peers.node import Node, new_node
from tests.peers.postgresql import PostgreSql, new_postgresql
from tests.peers.processes import wait_until
from tests.peers.radiographs import radiograph, write
from tests.peers.redis import Redis, new_redis
from tests.peers.s3 import SECRET

pytestmark = [
    pytest.mark.peer("redis"),
    pytest.mark.peer("postgresql"),
    pytest.mark.peer("dcmtk"),
    pytest.mark.peer("moto"),
]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[tuple[PostgreSql, Redis, Moto]]:
    with new_postgresql() as postgresql, ExitStack() as running:
        redis, moto = new_redis(tmp_path / "redis"), new_moto(tmp_path / "moto")
        for one in (postgresql, redis, moto):
            running.enter_context(one.running())
        yield postgresql, redis, moto


def send(node: Node, folder: Path, count: int) -> list[str]:
    """Send studies, every other one with something bright; returns their UIDs."""
    datasets = [radiograph(bright=number % 2 == 0) for number in range(count)]
    files = [write(one, folder / f"{one.SOPInstanceUID}.dcm") for one in datasets]
    finished = dcmtk.storescu(node.port, *files)
    assert finished.returncode == 0, finished.stderr
    return [str(one.StudyInstanceUID) for one in datasets]


def test_what_one_host_acknowledged_another_analyses_and_sends_once(
    shared: tuple[PostgreSql, Redis, Moto], tmp_path: Path
) -> None:
    postgresql, redis, moto = shared
    ledger_url = postgresql.url(postgresql.create_database())
    with Archive() as archive, Line(moto.port) as line, ExitStack() as processes:
        common = {"broker_url": redis.url, "ledger_url": ledger_url}
        first, second = (
            new_node(
                tmp_path / name,
                [archive.destination],
                spool=moto.settings(tmp_path / name, "node", line.port),
                **common,
            )
            for name in ("a", "b")
        )
        processes.enter_context(first.running("receive"))
        processes.enter_context(second.running("deliver"))
        second.hold.touch()
        processes.enter_context(second.running("work"))
        studies = send(first, tmp_path, 3)
        wait_until(lambda: second.is_in_analysis, "a worker is within the model")

        second.kill()  # the worker, in the middle
        second.hold.unlink()
        processes.enter_context(second.running("work"))
        ended = first.wait_for_end_of(studies)

        line.cut()
        refused = write(radiograph(), tmp_path / "refused.dcm")
        answer = dcmtk.storescu(first.port, refused)
        line.mend()
        assert "Refused: OutOfResources" in answer.stdout + answer.stderr
        again = dcmtk.storescu(first.port, refused)
        assert again.returncode == 0, again.stderr
        late = send(first, tmp_path, 1)
        ended |= first.wait_for_end_of(late)

        assert {study.state for study in ended.values()} == {StudyState.RETURNED}
        wanted = set().union(*(first.results_of(study.study_instance_uid) for study in first.studies()))
        wait_until(lambda: wanted <= set(archive.sop_instance_uids), "the study that was refused first has ended, too")
        sent = archive.sop_instance_uids

    assert len(sent) == len(set(sent))
    assert list((first.settings.spool_dir / "incoming").iterdir()) == []
    assert not (second.settings.data_dir / "ledger.sqlite").exists()
    assert SECRET not in first.log + second.log
