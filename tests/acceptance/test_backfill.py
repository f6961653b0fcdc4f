"""An archive's studies come to a running node, whatever ends the command; what is sent meanwhile is analysed first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from sqlalchemy import select

from patchclip_node.adapters.ledger.backfill_tables import backfill
from patchclip_node.adapters.ledger.schema import events, studies
from patchclip_node.domain.backfill import BackfillState
from patchclip_node.domain.records import Priority
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.sender import DicomResultSender
from tests.peers.node import Node, new_node
from tests.peers.orthanc import Orthanc, orthanc
from tests.peers.processes import free_port, wait_until
from tests.peers.radiographs import radiograph, write

STUDIES = 16
OF_ONE_DAY = 6


@dataclass(frozen=True, slots=True)
class Place:
    """A running node beside an archive that has studies of years."""

    node: Node
    archive: Orthanc
    uids: list[str]

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "patchclip_node", "backfill", *words, "--config", str(self.node.config)]

    @property
    def environment(self) -> Mapping[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("PATCHCLIP_")}

    def told(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=60, env=self.environment, check=False
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    def rows(self) -> dict[str, Any]:
        with self.node.ledger() as ledger, ledger.backfill._database.read() as connection:
            return {row.study_instance_uid: row for row in connection.execute(select(backfill))}

    def number(self, state: BackfillState) -> int:
        return sum(row.state == state.value for row in self.rows().values())


def old_study(number: int) -> Dataset:
    dataset = radiograph()
    day = 1 if number < OF_ONE_DAY else number
    dataset.StudyDate, dataset.StudyTime = f"202003{day:02}", f"{number % 24:02}3000"
    dataset.SeriesDescription = "Thorax pa"
    return dataset


def waits(node: Node, uid: str) -> bool:
    return any(one.study_instance_uid == uid and one.state is StudyState.RECEIVED for one in node.studies())


def changes(node: Node) -> list[tuple[str, str]]:
    """Return each change of a study, its UID and the state after it, as the ledger's one writer made them.

    Their moments do not tell the order: each is read before the change waits for its turn to write.
    """
    with node.ledger() as ledger, ledger.studies._database.read() as connection:
        of_study = select(studies.c.study_instance_uid, events.c.state_after).join(studies)
        return [(uid, state) for uid, state in connection.execute(of_study.order_by(events.c.id))]


@pytest.fixture(params=["move"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    port = free_port()
    with orthanc(tmp_path / "orthanc", node=("PATCHCLIP", port)) as archive:
        to = archive.destination
        node = new_node(
            tmp_path / "node",
            [to],
            port=port,
            lease_s=30.0,  # longer than the worker is held
            backfill={
                "archive": {"ae_title": to.ae_title, "host": to.host, "port": to.port},
                "by": request.param,
                "studies_an_hour": 100_000,
                "ahead": 30,
                "answers_at_most": 4,
            },
        )
        node.port = port
        uids = []
        for number in range(STUDIES):
            dataset = old_study(number)
            archive.keep(write(dataset, tmp_path / "old.dcm"))
            uids.append(str(dataset.StudyInstanceUID))
        hand = old_study(STUDIES)
        hand.BodyPartExamined, hand.StudyDescription, hand.SeriesDescription = "HAND", "Hand", "Hand ap"
        archive.keep(write(hand, tmp_path / "hand.dcm"))
        with node.running():
            yield Place(node, archive, [*uids, str(hand.StudyInstanceUID)])


@pytest.mark.peer("orthanc")
def test_each_study_comes_though_the_command_is_killed_and_what_is_sent_goes_first(
    place: Place, tmp_path: Path
) -> None:
    node = place.node
    assert f"{STUDIES + 1} studies, {STUDIES + 1} of them new" in place.told(
        "plan", "--since", "2020-02-20", "--until", "2020-04-05"
    )

    node.hold.touch()
    running = subprocess.Popen(place.command("run"), env=dict(place.environment), stderr=subprocess.DEVNULL)
    wait_until(lambda: place.number(BackfillState.HERE) >= 5, "some studies are here", 30)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert place.number(BackfillState.WAITING) > 0, "it was killed in the middle"

    new = radiograph()
    to_node = Destination("node", "PATCHCLIP", "127.0.0.1", node.port)
    assert [one.error for one in DicomResultSender("MODALITY").send(to_node, [write(new, tmp_path / "new.dcm")])] == [
        None
    ]
    wait_until(lambda: waits(node, str(new.StudyInstanceUID)), "the new study waits", 30)
    resumed = subprocess.Popen(place.command("run"), env=dict(place.environment), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: place.number(BackfillState.ASKED) == 0, "what was asked for is settled", 30)
    waiting = place.number(BackfillState.WAITING)
    time.sleep(1.0)
    assert place.number(BackfillState.WAITING) == waiting, "nothing is pulled while a new study waits"
    node.hold.unlink()

    said, _ = resumed.communicate(timeout=60)
    assert resumed.returncode == 0
    assert f"{STUDIES + 1} of {STUDIES + 1} studies, nothing left" in said
    ended = node.wait_for_end_of([*place.uids[:-1], str(new.StudyInstanceUID)], 60)
    assert {one.state for one in ended.values()} == {StudyState.RETURNED}
    assert {ended[uid].priority for uid in place.uids[:-1]} == {Priority.BACKFILL}
    rows = place.rows()
    assert rows[place.uids[-1]].state == BackfillState.SKIPPED.value
    assert rows[place.uids[-1]].reason == "it has DX of hand"
    assert sum(row.attempts for row in rows.values()) <= len(rows) + 1, "one at most was asked for twice"
    made = changes(node)
    waits_from = made.index((str(new.StudyInstanceUID), StudyState.RECEIVED.value))
    waits_until = made.index((str(new.StudyInstanceUID), StudyState.ANALYSING.value))
    begun = [number for number, (_, state) in enumerate(made) if state == StudyState.ANALYSING.value]
    meanwhile = [made[one] for one in begun if waits_from < one < waits_until]
    assert meanwhile == [], "a pulled study was begun while the new one waited"
    assert sum(one > waits_until for one in begun) >= 10
    assert "nothing left" in place.told("status")
