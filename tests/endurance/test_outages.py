"""Redis and PostgreSQL stopped, flushed, frozen, restarted at 13 moments of a study's way: every study ends, once."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from patchclip_node.domain.errors import LedgerUnavailableError
from patchclip_node.domain.states import FINAL_STATES
from patchclip_node.web.app import HEALTH_WITHIN_S
from tests.endurance.kept import KeptNode
from tests.endurance.scale import Scale
from tests.endurance.senders import Modalities, Sending
from tests.endurance.test_kills import COMMANDS, RETRY, assert_kept
from tests.peers.archive import Archive
from tests.peers.node import Node, new_node
from tests.peers.postgresql import PostgreSql, new_postgresql
from tests.peers.processes import frozen, wait_until
from tests.peers.redis import Redis, new_redis
from tests.plugins.node_steps import RECEIVING

pytestmark = [pytest.mark.long_only, pytest.mark.peer("redis"), pytest.mark.peer("postgresql")]

MOMENTS = (
    "fragment-written",
    "helper-fragment-written",
    "row-not-committed",
    "helper-row-not-committed",
    "not-acknowledged",
    "helper-not-acknowledged",
    "study-closed",
    "not-woken",
    "analysis-leased",
    "in-model",
    "results-not-committed",
    "one-object-sent",
    "not-confirmed",
)
BY_RECEIVER = {step.name for step in RECEIVING}
"""Moments to which the receiver itself comes, not its helper."""
SEEN_WITHIN_S = 60.0
"""Within which /healthz says that broker or ledger is down or silent, with a busy machine's delays."""
END_WITHIN_S = 180.0
"""A worker that lost its broker is ended after 30 s, and another one started."""


@dataclass
class Servers:
    """Redis and PostgreSQL, each of which can be taken away for a while."""

    redis: Redis
    postgresql: PostgreSql
    _running: dict[str, ExitStack] = field(default_factory=dict)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        stack = ExitStack()
        server = self.redis.running() if name == "redis" else self.postgresql.running()
        self._processes[name] = stack.enter_context(server)
        self._running[name] = stack

    def stop(self, name: str) -> None:
        self._running.pop(name).close()

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        self.stop(name)
        yield
        self.start(name)

    @contextmanager
    def restarted(self, name: str) -> Iterator[None]:
        self.stop(name)
        self.start(name)
        yield

    @contextmanager
    def flushed(self, _name: str) -> Iterator[None]:
        self.redis.command("FLUSHALL")
        yield

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        with frozen(self._processes[name]):
            yield

    def close(self) -> None:
        for name in list(self._running):
            self.stop(name)


LASTING = {"stopped", "frozen"}
"""What /healthz has to show while it lasts."""


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    with new_postgresql() as postgresql:
        both = Servers(new_redis(folder / "redis"), postgresql)
        try:
            both.start("postgresql")
            both.start("redis")
            yield both
        finally:
            both.close()


def healthz(node: Node) -> str:
    """Return what /healthz says is wrong; '' where all is well, or where it says nothing."""
    url = f"http://127.0.0.1:{node.settings.web.port}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=HEALTH_WITHIN_S + 10) as answer:
            return "; ".join(json.load(answer)["troubles"])
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def ended(node: Node, studies: Sequence[str]) -> bool:
    try:
        with node.ledger() as ledger:
            revisions = [revision for uid in studies for revision in ledger.studies.revisions(uid)]
    except LedgerUnavailableError:  # the test reads while the server comes back
        return False
    return {one.study_instance_uid for one in revisions} >= set(studies) and all(
        one.state in FINAL_STATES for one in revisions
    )


@contextmanager
def helper_busy(node: Node) -> Iterator[None]:
    """Let the receiver itself serve the next association: an idle helper goes before it, and this one has some."""
    association = Sending(node.port, "MODALITY")
    try:
        yield
    finally:
        association.release()


@dataclass
class Case:
    """One trouble at one moment, of one study that is on its way and one that comes meanwhile."""

    node: Node
    kept: KeptNode
    moment: str
    trouble: AbstractContextManager[None]
    lasts: bool
    seen_after_s: float = 0.0
    ended_after_s: float = 0.0

    def run(self) -> Modalities:
        on_its_way = Modalities(self.node.port, studies=2, images_a_study=1, modalities=2)
        self.kept.orders.hold_at(self.moment)
        with on_its_way.at_work():
            with helper_busy(self.node) if self.moment in BY_RECEIVER else nullcontext():
                on_its_way.send(1)
                with self.kept.orders.held_at(self.moment, "a study", END_WITHIN_S):
                    entered = ExitStack()
                    entered.enter_context(self.trouble)
            with entered:
                on_its_way.send(1)
                if self.lasts:
                    began_s = time.monotonic()
                    wait_until(lambda: healthz(self.node) != "", f"/healthz says so at {self.moment}", SEEN_WITHIN_S)
                    self.seen_after_s = time.monotonic() - began_s
            began_s = time.monotonic()
            wait_until(lambda: len(on_its_way.acknowledged) == 2, "both are acknowledged", END_WITHIN_S)
            wait_until(lambda: ended(self.node, on_its_way.studies), f"both end: {self.moment}", END_WITHIN_S, 0.2)
            self.ended_after_s = time.monotonic() - began_s
        return on_its_way


@pytest.mark.parametrize("server", ["redis", "postgresql"])
def test_every_study_ends_whatever_the_servers_do(server: str, tmp_path: Path, scale: Scale) -> None:
    troubles = ["stopped", "frozen", "restarted", *(["flushed"] if server == "redis" else [])]
    cases = [(moment, trouble) for moment in MOMENTS for trouble in troubles]
    scale.chance().shuffle(cases)
    until_s = scale.deadline_s()
    done: list[Case] = []
    with servers(tmp_path) as both, Archive() as archive:
        url = both.postgresql.url(both.postgresql.create_database())
        node = new_node(
            tmp_path / "node",
            [archive.destination],
            broker_url=both.redis.url,
            ledger_url=url,
            retry=RETRY,
            receivers=2,
        )
        kept = KeptNode(node, ["web", *COMMANDS])
        with kept.running():
            for moment, trouble in cases:
                if time.monotonic() > until_s:
                    break
                case = Case(node, kept, moment, getattr(both, trouble)(server), trouble in LASTING)
                assert_kept(node, case.run(), archive)
                wait_until(lambda: healthz(node) == "", "/healthz finds all well again", SEEN_WITHIN_S)
                done.append(case)
                scale.say(
                    f"{server} {trouble} at {moment}: seen after {case.seen_after_s:.1f} s, "
                    f"ended {case.ended_after_s:.1f} s after it"
                )
    assert done
    scale.say(
        f"{server}: {len(done)} of {len(cases)} cases, {2 * len(done)} studies; seen after at most "
        f"{max(case.seen_after_s for case in done):.1f} s, ended at most "
        f"{max(case.ended_after_s for case in done):.1f} s after it; {kept.restarts} processes ended meanwhile"
    )
