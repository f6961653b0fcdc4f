"""PostgreSQL by Patroni on three hosts, etcd beside it, HAProxy before it: as packaging/ha has it, in namespaces."""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.peers.hosts import Host, Network, Program
from tests.peers.postgresql import asked, installed, user
from tests.peers.processes import wait_until

FILES = Path(__file__).parents[2] / "packaging" / "ha"
NAMES = ("db1", "db2", "db3")
_PASSWORDS = {"@SUPERUSER@": "of-the-tests-1", "@REPLICATION@": "of-the-tests-2"}
_LEDGER = ("patchclip", "of-the-tests-3")


@dataclass
class Cluster:
    """Three database hosts. folder: for their disks, open to PostgreSQL's user."""

    network: Network
    folder: Path
    hosts: list[Host]

    @property
    def url(self) -> str:
        """How a host that runs `balancer` reaches the primary."""
        return f"postgresql://{_LEDGER[0]}:{_LEDGER[1]}@127.0.0.1:5432/{_LEDGER[0]}"

    def url_by(self, host: Host) -> str:
        """How it is reached by the balancer of another host."""
        return self.url.replace("127.0.0.1", host.address)

    def balancer(self, folder: Path, address: str = "127.0.0.1") -> Program:
        """HAProxy, for a host of the node."""
        config = folder / "haproxy.cfg"
        config.write_text(self._with_addresses("haproxy.cfg").replace("127.0.0.1", address))
        return Program([_haproxy(), "-db", "-f", str(config)])

    def start(self) -> None:
        """Start all three and wait for a primary; make the node's user and database."""
        for host in self.hosts:
            host.start()
        wait_until(lambda: self.standbys() == 2, "there is a primary with two standbys", 180, every_s=1)
        primary = self.primary()
        _run(primary, f"CREATE ROLE {_LEDGER[0]} LOGIN PASSWORD '{_LEDGER[1]}'")
        _run(primary, f"CREATE DATABASE {_LEDGER[0]} OWNER {_LEDGER[0]}")

    def primary(self) -> Host:
        """The host whose database takes what is written."""
        found = [host for host in self.hosts if _asked(host, "SELECT NOT pg_is_in_recovery()") == [[True]]]
        assert len(found) == 1, f"{len(found)} hosts are primary"
        return found[0]

    def standbys(self) -> int:
        """How many databases follow, one of which Patroni would promote just now; 0 where it is not yet so.

        For some seconds after a primary was made, each commit is on another host, but no host's name is in etcd: none
        is promoted when the primary dies then.
        """
        states = [state for host in self.hosts for (state,) in _asked(host, "SELECT state FROM pg_stat_replication")]
        return states.count("streaming") if self._promotable() else 0

    def _promotable(self) -> bool:
        for host in self.hosts:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://{host.address}:8008/cluster", None, 2) as told,
            ):
                return any(member["role"] == "sync_standby" for member in json.load(told)["members"])
        return False

    def lose_disk(self, host: Host) -> None:
        """Empty the disk of a database; etcd's is another one."""
        shutil.rmtree(self.folder / host.name / "postgresql", ignore_errors=True)

    def programs(self, host: Host) -> list[Program]:
        """Etcd and Patroni, for a database host."""
        disk = self.folder / host.name
        disk.mkdir(parents=True)
        owner = user()
        for part in ("etcd", "run"):
            (disk / part).mkdir()
        own = _PASSWORDS | {
            "@NAME@": host.name,
            "@ADDRESS@": host.address,
            "/var/lib/etcd": str(disk / "etcd"),
            "/var/lib/postgresql/15/ledger": str(disk / "postgresql"),
            "/usr/lib/postgresql/15/bin": str(Path(installed("postgres")).resolve().parent),
            "/var/run/postgresql": str(disk / "run"),
        }
        files = {name: self._with_addresses(name) for name in ("etcd.env", "patroni.yml")}
        for there, here in own.items():
            files = {name: text.replace(there, here) for name, text in files.items()}
        config = disk / "patroni.yml"
        config.write_text(files["patroni.yml"])
        lines = [line for line in files["etcd.env"].splitlines() if line and not line.startswith("#")]
        if owner is not None:
            for path in (disk, *disk.iterdir()):
                shutil.chown(path, owner)
        return [
            Program(["etcd"], dict(line.split("=", 1) for line in lines), owner),
            Program(
                ["/usr/bin/patroni", str(config)], {"PYTHONPATH": "", "PYTHONWARNINGS": "", "HOME": str(disk)}, owner
            ),
        ]

    def _with_addresses(self, name: str) -> str:
        text = (FILES / name).read_text().replace("192.0.2.0/24", f"{self.network.subnet}.0/24")
        for number, host in enumerate(self.hosts, 11):
            text = text.replace(f"192.0.2.{number}", host.address)
        return text


def new_cluster(network: Network, folder: Path, logs: Path) -> Cluster:
    """Three hosts that are not running yet. folder: see `Cluster`."""
    cluster = Cluster(network, folder, [network.host(name, logs / name) for name in NAMES])
    for host in cluster.hosts:
        host.programs.extend(cluster.programs(host))
    return cluster


def _asked(host: Host, question: str) -> list[list[object]]:
    """Ask a database; nothing where it does not answer."""
    try:
        return _run(host, question)
    except psycopg.Error:
        return []


def _run(host: Host, statement: str) -> list[list[object]]:
    password = _PASSWORDS["@SUPERUSER@"]
    return asked(statement, host=host.address, user="postgres", password=password, dbname="postgres", connect_timeout=5)


def _haproxy() -> str:
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    assert found, "HAProxy is not installed"
    return found
