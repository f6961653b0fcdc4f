"""The primary of three databases dies, is cut off, freezes: how long the ledger is away, and what it then knows."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.domain.errors import LedgerUnavailableError
from tests.endurance.scale import Scale
from tests.peers.hosts import ADDRESSES, Network
from tests.peers.patroni import Cluster, new_cluster
from tests.peers.processes import wait_until
from tests.support.fakes import make_instance

pytestmark = [
    pytest.mark.long_only,
    pytest.mark.allow_hosts([ADDRESSES]),
    # pg8000 leaves a socket to the garbage collector where the other side hangs up as it says hello.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    *(pytest.mark.peer(one) for one in ("hosts", "postgresql", "patroni")),
]

AWAY_AT_MOST_S = 90.0
"""The ledger's own time for an answer (40 s), twice, with a busy machine's delays."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Cluster, str]]:
    """Three databases and what a host reaches them by."""
    network, disks = Network(), Path(tempfile.mkdtemp(prefix="patchclip-ha-"))
    disks.chmod(0o755)  # PostgreSQL's user has to go through it
    try:
        made = new_cluster(network, disks, tmp_path)
        balancer = network.host("balancer", tmp_path / "balancer")
        balancer.programs.append(made.balancer(balancer.folder, balancer.address))
        with network.running():
            balancer.start()
            made.start()
            wait_until(lambda: _migrated(made.url_by(balancer)), "the balancer knows the primary")
            yield made, made.url_by(balancer)
    finally:
        shutil.rmtree(disks)


def test_what_was_acknowledged_outlives_each_primary(cluster: tuple[Cluster, str], scale: Scale) -> None:
    databases, url = cluster
    ledger = SqlLedger(url)
    recorded: list[str] = []

    def is_recorded() -> bool:
        uid = f"1.{time.monotonic_ns()}"
        with contextlib.suppress(LedgerUnavailableError):
            ledger.arrivals.record(make_instance(uid))
            recorded.append(uid)
            return True
        return False

    for trouble, end in (("kill", "start"), ("cut", "mend"), ("freeze", "thaw"), ("kill", "start")):
        primary = databases.primary()
        assert is_recorded()
        getattr(primary, trouble)()
        began_s = time.monotonic()
        wait_until(is_recorded, f"the ledger is written again after a {trouble}", AWAY_AT_MOST_S, every_s=0.2)
        scale.say(f"{primary.name}, {trouble}: written again after {time.monotonic() - began_s:.0f} s")
        getattr(primary, end)()
        wait_until(lambda: databases.standbys() == 2, "the former primary follows", 120, every_s=1)

    assert {study.study_instance_uid for study in ledger.studies.find(limit=1000)} >= set(recorded)
    ledger.close()


def _migrated(url: str) -> bool:
    with contextlib.suppress(LedgerUnavailableError):
        migrate(url)
        return True
    return False
