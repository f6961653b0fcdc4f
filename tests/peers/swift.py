"""OpenStack Swift with its API of S3, on one host of a test: objects on a real disk, which outlive a kill.

Debian's servers of accounts, containers and objects, and the proxy before them, on one device. What is not here keeps
several copies alike and lists what could not be listed at once; the node lists nothing.
"""

from __future__ import annotations

import configparser
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.peers.hosts import Program
from tests.peers.processes import PEERS_PATH, free_port
from tests.peers.s3 import ACCOUNT, SECRET, USER, S3Server

STORAGE = ("account", "container", "object")
_DEVICE = "disk"
_PIPELINE = ("catch_errors", "gatekeeper", "memcache", "listing_formats", "s3api", "tempauth", "slo")
"""What requests go through. Without memcached, which the proxy may lack, it asks its servers each time."""
_FILTERS: dict[str, dict[str, str]] = {
    "memcache": {"memcache_servers": "127.0.0.1:1", "set log_level": "CRITICAL"},
    "tempauth": {f"user_{ACCOUNT}_{USER}": f"{SECRET} .admin"},
}
_PROXY = {"account_autocreate": "true", "error_suppression_interval": "1"}
"""A server that has failed often, as each does until it listens, is shunned for a minute; there is no other one."""
_Sections = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Swift(S3Server):
    """Four servers; its API refuses a PUT that is conditional (2.30)."""

    conditional: ClassVar[bool] = False

    @property
    def programs(self) -> list[Program]:
        """What its host runs: the proxy at the host's address, the others on its loopback."""
        alone = {"PYTHONPATH": "", "PYTHONWARNINGS": ""}  # Debian's Python, with what Debian has installed for it
        return [
            Program([f"swift-{name}-server", str(self.folder / f"{name}-server.conf"), "--verbose"], alone)
            for name in (*STORAGE, "proxy")
        ]

    def configure(self) -> None:
        """Write the servers' files. Raises `OSError` where the folder's file system keeps no extended attributes."""
        disk = self.folder / "devices" / _DEVICE
        disk.mkdir(parents=True)
        os.setxattr(disk, "user.swift.metadata", b"what is said of an object is kept beside it")
        _write(self.folder / "swift.conf", {"swift-hash": {"swift_hash_path_suffix": "of-the-tests"}})
        common = {"swift_dir": str(self.folder), "user": pwd.getpwuid(os.geteuid()).pw_name, "workers": "0"}
        common["log_level"] = "WARNING"
        for name in STORAGE:
            port = free_port()
            self._make_ring(name, port)
            own = {"bind_ip": "127.0.0.1", "bind_port": str(port), "mount_check": "false"}
            sections = {"DEFAULT": {**common, **own, "devices": str(disk.parent)}}
            _write(self.folder / f"{name}-server.conf", sections | _pipeline((), f"{name}-server", name, {}))
        sections = {"DEFAULT": {**common, "bind_ip": self.address, "bind_port": str(self.port)}}
        proxy = _pipeline(_PIPELINE, "proxy-server", "proxy", _PROXY)
        _write(self.folder / "proxy-server.conf", sections | proxy)

    def _make_ring(self, name: str, port: int) -> None:
        """Say that one device has the only copy of everything."""
        for words in (("create", "4", "1", "0"), ("add", f"r1z1-127.0.0.1:{port}/{_DEVICE}", "1"), ("rebalance",)):
            subprocess.run(
                ["swift-ring-builder", f"{name}.builder", *words],
                check=True,
                capture_output=True,
                cwd=self.folder,
                env={"PATH": PEERS_PATH},
            )


def new_swift(folder: Path, address: str) -> Swift:
    """Choose a port and configure the servers, which are not running yet. folder: for their disk as well."""
    folder.mkdir(parents=True, exist_ok=True)
    swift = Swift(folder, free_port(), address)
    swift.configure()
    return swift


def _pipeline(filters: tuple[str, ...], app: str, program: str, options: dict[str, str]) -> _Sections:
    sections = {"pipeline:main": {"pipeline": " ".join([*filters, app])}}
    sections[f"app:{app}"] = {"use": f"egg:swift#{program}", **options}
    for one in filters:
        sections[f"filter:{one}"] = {"use": f"egg:swift#{one}", **_FILTERS.get(one, {})}
    return sections


def _write(path: Path, sections: _Sections) -> None:
    file = configparser.RawConfigParser()
    file.read_dict(sections)
    with path.open("w") as stream:
        file.write(stream)
