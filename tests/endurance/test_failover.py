"""The primary of three databases dies, is cut off, freezes: how long the ledger is away, and what it then knows."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from patchclip_node.adapters.ledger import SqlLedger, migrate
from patchclip_node.domain.errors import LedgerUnavailableError
from tests.endurance.scale import Scale
from tests.peers.hosts import ADDRESSES, Network
from tests.peers.patroni import FILES, Cluster, new_cluster
from tests.peers.processes import PEERS_PATH, free_port, program, wait_until
from tests.support.fakes import make_instance

pytestmark = [
    pytest.mark.long_only,
    pytest.mark.allow_hosts([ADDRESSES]),
    *(pytest.mark.peer(one) for one in ("hosts", "postgresql", "patroni")),
]

RENEWING = """
import sys, time
from patroni.dcs import get_dcs
kind, host = sys.argv[1:]
common = {"scope": "ledger", "namespace": "/", "ttl": 3, "loop_wait": 1, "retry_timeout": 3, kind: {"hosts": [host]}}
former, following = (get_dcs({**common, "name": name}) for name in ("the former one", "the next one"))
for one in (former, following):
    getattr(one, "create_lease", lambda: None)()
assert former.attempt_to_acquire_leader()
assert former.get_cluster().leader.name == "the former one"
time.sleep(10)
following.get_cluster()
assert following.attempt_to_acquire_leader()
former.update_leader(1)
print(following.get_cluster().leader.name, "is primary")
"""
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


def test_a_primary_that_hung_does_not_take_the_lock_from_the_next_one(tmp_path: Path) -> None:
    """As a process that was frozen between reading who is primary and renewing its own word; see `RENEWING`."""
    port, peer_port = free_port(), free_port()
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    addresses = ("--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer)
    options = [line for line in (FILES / "etcd.env").read_text().splitlines() if line.startswith("ETCD_ENABLE_")]
    environment = os.environ | dict(line.split("=", 1) for line in options)
    (kind,) = {"etcd", "etcd3"} & set(yaml.safe_load((FILES / "patroni.yml").read_text()))
    command = ["/usr/bin/python3", "-c", RENEWING, kind, f"127.0.0.1:{port}"]

    with program(["etcd", "--data-dir", str(tmp_path), *addresses], tmp_path / "log", port=port, env=environment):
        finished = subprocess.run(command, env={"PATH": PEERS_PATH}, capture_output=True, text=True, check=False)

    assert finished.stdout == "the next one is primary\n", finished.stderr


def _migrated(url: str) -> bool:
    with contextlib.suppress(LedgerUnavailableError):
        migrate(url)
        return True
    return False
