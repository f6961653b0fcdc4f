"""kill -9 at every named step of a study's way, while modalities send: nothing is lost, each result comes once."""

from __future__ import annotations

import functools
import importlib
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patchclip_node.domain.states import FINAL_STATES, StudyState
from tests.endurance.kept import KeptNode
from tests.endurance.scale import Scale
from tests.endurance.senders import Modalities
from tests.peers.archive import Archive
from tests.peers.node import Node, new_node
from tests.peers.postgresql import new_postgresql
from tests.peers.processes import wait_until
from tests.plugins.node_steps import HELPER, RECALLING, STEPS, Step

COMMANDS = sorted({step.command for step in STEPS} - {HELPER})
"""A node as separate processes, without its status pages."""
IMAGES, IMAGES_A_STUDY, MODALITIES = 1_000, 5, 4
IMAGES_WITH_KILLS = 800
"""Up to here all modalities have some left: both receiving processes come to their steps where several send."""
ROUNDS = 2
STEP_WITHIN_S = 120.0
END_WITHIN_S = 600.0
RETRY = {"backoff_s": 0.3, "backoff_max_s": 1.0, "analysis_attempts": 100}
"""The oldest study is worked on first, and so dies at each of many kills."""


@contextmanager
def ledger_url(kind: str) -> Iterator[str | None]:
    """Give the URL of a new ledger on SQLite or PostgreSQL."""
    if kind == "sqlite":
        yield None
    else:
        with new_postgresql() as server, server.running():
            yield server.url(server.create_database())


def assert_kept(node: Node, sent: Modalities, archive: Archive) -> None:
    """Assert that what was acknowledged is there, that all studies ended well, and who holds their results."""
    with node.ledger() as ledger:
        revisions = ledger.studies.find(limit=10**6)
        known = {
            record.instance.header.sop_instance_uid: record.instance
            for study in sent.studies
            for record in ledger.studies.instances(study)
        }
    lost = [one.SOPInstanceUID for one in sent.acknowledged if one.SOPInstanceUID not in known]
    assert lost == []
    spool = node.settings.spool_dir / "instances"
    keys = [instance.spool_key for instance in known.values()]
    assert [key for key in keys if key is None or not (spool / key[:2] / key).is_file()] == []
    assert {study.state for study in revisions} == {StudyState.RETURNED}
    assert_each_result_once(archive, node, {study.study_instance_uid for study in revisions})


def assert_each_result_once(archive: Archive, node: Node, studies: set[str]) -> None:
    """An archive keeps one object a SOP Instance UID; what reached it twice must be the same bytes."""
    expected = set().union(*(node.results_of(uid) for uid in studies))
    bytes_of: dict[str, set[bytes]] = {}
    for uid, encoded in zip(archive.sop_instance_uids, archive.encoded, strict=True):
        bytes_of.setdefault(uid, set()).add(encoded)
    assert set(bytes_of) == expected
    assert {uid for uid, contents in bytes_of.items() if len(contents) > 1} == set()


@pytest.mark.parametrize("step", [*STEPS, *RECALLING], ids=lambda step: step.name)
def test_each_step_is_in_the_code(step: Step) -> None:
    *owners, name = step.function.split(".")
    owner: object = functools.reduce(getattr, owners, importlib.import_module(step.module))

    assert callable(getattr(owner, name))


@pytest.mark.long_only
@pytest.mark.parametrize("ledger_kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))])
def test_a_kill_at_each_step_loses_nothing(ledger_kind: str, tmp_path: Path, scale: Scale) -> None:
    kills = list(STEPS) * ROUNDS
    scale.chance().shuffle(kills)
    until_s, killed = scale.deadline_s(), Counter[str]()
    with ledger_url(ledger_kind) as url, Archive() as archive:
        node = new_node(tmp_path / "node", [archive.destination], ledger_url=url, retry=RETRY, receivers=2)
        sent = Modalities(node.port, IMAGES // IMAGES_A_STUDY, IMAGES_A_STUDY, MODALITIES, of_single_images=2)
        kept = KeptNode(node, COMMANDS)
        with kept.running(), sent.at_work():
            for number, step in enumerate(kills, 1):
                if time.monotonic() > until_s:
                    break
                pid, begun = kept.pid(step.command), node.helpers_begun
                kept.orders.kill_at(step.name)
                sent.send(IMAGES_WITH_KILLS * number // len(kills) - IMAGES_WITH_KILLS * (number - 1) // len(kills))
                wait_until(lambda name=step.name: kept.orders.is_killed(name), f"{step.name} is reached", STEP_WITHIN_S)  # type: ignore[misc]
                (kept.orders.folder / f"{step.name}.killed").unlink()
                if step.command == HELPER:
                    wait_until(lambda before=begun: node.helpers_begun > before, "a helper is back", STEP_WITHIN_S)  # type: ignore[misc]
                else:
                    kept.wait_for(step.command, not_pid=pid)
                killed[step.command] += 1
            sent.send(IMAGES)
            wait_until(lambda: len(sent.acknowledged) == IMAGES, "all is acknowledged", END_WITHIN_S)
            wait_until(lambda: all_ended(node, sent), "all studies end", END_WITHIN_S, every_s=0.5)
        assert_kept(node, sent, archive)
    scale.say(
        f"{ledger_kind}: {killed.total()} of {len(kills)} kills ({dict(killed)}), {len(STEPS)} steps, "
        f"{kept.restarts} restarts of other processes than the helper; {IMAGES} images "
        f"in {sent.attempts} C-STORE requests; the archive got {len(archive.encoded)} objects, "
        f"{len(set(archive.sop_instance_uids))} different ones"
    )


def all_ended(node: Node, sent: Modalities) -> bool:
    with node.ledger() as ledger:
        revisions = ledger.studies.find(limit=10**6)
    found = {study.study_instance_uid for study in revisions}
    return found >= set(sent.studies) and all(study.state in FINAL_STATES for study in revisions)
