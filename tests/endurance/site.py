"""A node on many hosts: receivers, workers, deliverers, and what they share, each host with its own disk and cable."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from patchclip_node.ports.result_sender import Destination
from tests.peers.hosts import Host, Network, Program
from tests.peers.node import Node, new_node
from tests.peers.patroni import Cluster, new_cluster
from tests.peers.postgresql import PostgreSql, new_postgresql, user
from tests.peers.processes import listens, wait_until
from tests.peers.redis import new_redis
from tests.peers.swift import Swift, new_swift
from tests.peers.writing_archive import AE_TITLE, Came, what_came

PORT, ARCHIVE_PORT = 11112, 11113
ROLES = {"receive": 2, "work": 3, "deliver": 2}
"""How many hosts do what."""
SETTINGS: dict[str, Any] = {
    "host": "0.0.0.0",
    "port": PORT,
    "quiet_s": 0.5,
    "sweep_s": 0.5,
    "lease_s": 5.0,
    "retry": {"backoff_s": 0.5, "backoff_max_s": 5.0, "analysis_attempts": 100},
}
"""Studies are given up by nothing but their content."""


@dataclass
class Member:
    """A host of the node."""

    role: str
    host: Host
    node: Node


@dataclass
class Site:
    """All of it. observer: a host of the node that runs nothing, by which the test looks into the ledger."""

    network: Network
    members: list[Member]
    shared: dict[str, Host]
    databases: Databases
    observer: Node
    store: Swift
    archived: Path

    @property
    def hosts(self) -> list[Host]:
        """Every host."""
        return [*(one.host for one in self.members), *self.databases.hosts, *self.shared.values()]

    @property
    def receivers(self) -> list[str]:
        """Where images are taken."""
        return [one.host.address for one in self.members if one.role == "receive"]

    def what_came(self) -> list[Came]:
        """What the archive was sent, doubles included."""
        return list(what_came(self.archived))

    def lose_disk(self, host: Host) -> bool:
        """Let a host that is killed have an empty disk at its next start; False where that cannot be mended."""
        if host in self.databases.hosts:
            return self.databases.lose_disk(host)
        for member in self.members:
            if member.host is host:
                shutil.rmtree(member.node.settings.data_dir, ignore_errors=True)
        return True

    def deliverers(self) -> list[Host]:
        """Those that send results, or would."""
        return [one.host for one in self.members if one.role == "deliver"]


class Databases(Protocol):
    """Where the ledger lies."""

    hosts: list[Host]

    def start(self) -> None:
        """Start the hosts; return when the ledger's database is there."""
        ...

    def url(self) -> str:
        """How a host of the node reaches the ledger."""
        ...

    def url_by(self, host: Host) -> str:
        """How the test reaches it, where `host` runs what `beside` gives."""
        ...

    def beside(self, folder: Path, address: str) -> list[Program]:
        """What a host runs beside the node. folder: for its files. address: where the host's own programs reach it."""
        ...

    def lose_disk(self, host: Host) -> bool:
        """Empty a host's disk; False where that is the only one."""
        ...


class SingleDatabase:
    """One PostgreSQL, whose disk may not be lost."""

    def __init__(self, host: Host, server: PostgreSql) -> None:
        host.programs.append(Program(server.command(), user=user()))
        self.hosts = [host]
        self._server = server
        self._name = ""

    def start(self) -> None:
        """See `Databases`."""
        self.hosts[0].start()
        self._server.wait()
        self._name = self._server.create_database()

    def url(self) -> str:
        """See `Databases`."""
        return self._server.url(self._name)

    def url_by(self, _host: Host) -> str:
        """See `Databases`."""
        return self.url()

    def beside(self, _folder: Path, _address: str) -> list[Program]:
        """Nothing."""
        return []

    def lose_disk(self, _host: Host) -> bool:
        """It is the only one."""
        return False


@contextmanager
def one_database(network: Network, folder: Path) -> Iterator[Databases]:
    """A site with one PostgreSQL."""
    host = network.host("postgresql", folder / "postgresql")
    with new_postgresql(host.address, f"{network.subnet}.0/24") as server:
        yield SingleDatabase(host, server)


class HighlyAvailable:
    """Three databases by Patroni, and HAProxy on each host of the node."""

    def __init__(self, cluster: Cluster) -> None:
        self.hosts = cluster.hosts
        self._cluster = cluster

    def start(self) -> None:
        """See `Databases`."""
        self._cluster.start()

    def url(self) -> str:
        """See `Databases`."""
        return self._cluster.url

    def url_by(self, host: Host) -> str:
        """See `Databases`."""
        return self._cluster.url_by(host)

    def beside(self, folder: Path, address: str) -> list[Program]:
        """HAProxy."""
        return [self._cluster.balancer(folder, address)]

    def lose_disk(self, host: Host) -> bool:
        """Another database has what was committed."""
        self._cluster.lose_disk(host)
        return True


@contextmanager
def three_databases(network: Network, folder: Path) -> Iterator[Databases]:
    """A site with PostgreSQL by Patroni."""
    disks = Path(tempfile.mkdtemp(prefix="patchclip-ha-"))
    try:
        disks.chmod(0o755)  # PostgreSQL's user has to go through it
        yield HighlyAvailable(new_cluster(network, disks, folder))
    finally:
        shutil.rmtree(disks)


@contextmanager
def site(folder: Path, databases: Callable[[Network, Path], AbstractContextManager[Databases]]) -> Iterator[Site]:
    """Have everything run but the second deliverer, which stands by.

    databases: where the ledger lies. Raises `PermissionError` where namespaces cannot be had.
    """
    network = Network()
    with ExitStack() as stack:
        ledger = stack.enter_context(databases(network, folder))
        shared = {name: network.host(name, folder / name) for name in ("redis", "store", "archive")}
        redis = new_redis(folder / "redis", shared["redis"].address)
        store = new_swift(folder / "store", shared["store"].address)
        archived, archive = folder / "archived.jsonl", shared["archive"].address
        shared["redis"].programs.append(Program(redis.arguments))
        shared["store"].programs.extend(store.programs)
        arguments = [sys.executable, "-m", "tests.peers.writing_archive", archive, str(ARCHIVE_PORT), str(archived)]
        shared["archive"].programs.append(Program(arguments, {"PYTHONPATH": str(Path(__file__).parents[2])}))
        lookout = network.host("lookout", folder / "lookout")
        lookout.programs.extend(ledger.beside(lookout.folder, lookout.address))
        stack.enter_context(network.running())
        for host in (*shared.values(), lookout):
            host.start()
        ledger.start()
        common = {**SETTINGS, "broker_url": redis.url, "audit": {"folder": str(folder / "audit")}}
        destination = Destination("archive", AE_TITLE, archive, ARCHIVE_PORT)

        def node(name: str, ledger_url: str) -> Node:
            spool = store.settings(folder / name, "node")
            return new_node(folder / name, [destination], spool=spool, ledger_url=ledger_url, receivers=None, **common)

        members = []
        for role, count in ROLES.items():
            for name in [f"{role}-{number}" for number in range(1, count + 1)]:
                one = node(name, ledger.url())
                programs = [Program(one.arguments(role), one.variables), *ledger.beside(one.folder, "127.0.0.1")]
                members.append(Member(role, network.host(name, one.folder, programs), one))
        observer = node("observer", ledger.url_by(lookout))
        made = Site(network, members, shared, ledger, observer, store, archived)
        wait_until(store.is_open, "the store answers")
        for member in members:
            if member.host is not made.deliverers()[1]:
                member.host.start()
        for address in made.receivers:
            wait_until(lambda to=address: listens(PORT, to), f"the receiver at {address} listens")  # type: ignore[misc]
        yield made
