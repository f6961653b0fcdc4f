"""Hosts that can be killed and cut off: each a network, PID, mount and UTS namespace on one bridge. Needs root."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ADDRESSES = "10.192.0.0/10"
"""All addresses of hosts; a test that speaks to them is marked `allow_hosts`."""

_INIT = """
cd /
hostname "$1"
mount --bind "$2" /proc/sys/kernel/random/boot_id
shift 2
for program in "$@"; do
    (while :; do sh -c "$program"; sleep 0.5; done) &
done
wait
"""
"""A host's first process: it starts again what ends, as systemd does with Restart=always. Each start of a host is
another boot, by which the node tells hosts apart."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a host runs all the time. user: whose rights it has."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None

    @property
    def line(self) -> str:
        """The command as a shell runs it."""
        rights = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"] if self.user else []
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return "exec " + shlex.join([*rights, "env", *variables, *self.command])


@dataclass(eq=False)
class Network:
    """A bridge on which the test itself is a host as well."""

    id: str = field(default_factory=lambda: secrets.token_hex(3))
    subnet: str = field(default_factory=lambda: f"10.{192 + secrets.randbelow(64)}.{secrets.randbelow(250)}")
    _hosts: list[Host] = field(default_factory=list)

    @property
    def bridge(self) -> str:
        """The name of its interface."""
        return f"pc{self.id}"

    @property
    def address(self) -> str:
        """Where the test is reached."""
        return f"{self.subnet}.1"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Have the bridge for the time of the context; at its end all hosts die with it. Raises `PermissionError`."""
        if os.geteuid():
            raise PermissionError("namespaces need root")
        _ip("link", "add", self.bridge, "type", "bridge")
        try:
            _ip("addr", "add", f"{self.address}/24", "dev", self.bridge)
            _ip("link", "set", self.bridge, "up")
            yield
        finally:
            for host in self._hosts:
                host.kill()
            _ip("link", "del", self.bridge)

    def host(self, name: str, folder: Path, programs: Sequence[Program] = ()) -> Host:
        """Give the next address to a host, which is not running yet; its log and start are in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        host = Host(self, name, len(self._hosts) + 2, folder, list(programs))
        self._hosts.append(host)
        return host


@dataclass(eq=False)
class Host:
    """One host; what it has on its disk is the business of its programs."""

    network: Network
    name: str
    number: int
    folder: Path
    programs: list[Program]
    _init: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where the others reach it."""
        return f"{self.network.subnet}.{self.number}"

    @property
    def is_running(self) -> bool:
        """Whether it has been started, and not killed since."""
        return self._init is not None

    @property
    def log(self) -> str:
        """What its programs have said."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def _namespace(self) -> str:
        return f"{self.network.bridge}-{self.number}"

    @property
    def _port(self) -> str:
        return f"{self.network.bridge}p{self.number}"

    def start(self) -> None:
        """Begin another boot, with the address and the network card that it had, and no connections."""
        assert self._init is None, f"{self.name} runs"
        self._plug_in()
        boot = self.folder / "boot_id"
        boot.write_text(f"{uuid.uuid4()}\n")
        inside = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "sh", "-c", _INIT, "init")
        lines = [program.line for program in self.programs]
        # However the test ends, its hosts end.
        command = ("setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self._namespace, *inside)
        with (self.folder / "log").open("ab") as log:
            self._init = subprocess.Popen(
                [*command, self.name, str(boot), *lines],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Let its power fail: others hear nothing of it, and it forgets what it had in memory; its disk stays."""
        if self._init is None:
            return
        tree = self._tree()
        self.cut()
        self._init.kill()  # the kernel kills the namespace's first process with it, and with that one all others
        self._init.wait()
        self._init = None
        _, alive = psutil.wait_procs(tree, timeout=20)
        assert not alive, f"these outlived their host: {alive}"
        _ip("netns", "del", self._namespace)
        with contextlib.suppress(subprocess.CalledProcessError):  # it goes with the namespace, sooner or later
            _ip("link", "del", self._port)

    def kill_programs(self, word: str) -> None:
        """kill -9 of those programs whose command has this word."""
        for one in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                if word in one.cmdline():
                    one.kill()

    def freeze(self) -> None:
        """Stop all that it does for a while, as a virtual machine that is being moved."""
        for one in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()

    def thaw(self) -> None:
        """Let it go on."""
        for one in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()

    def cut(self) -> None:
        """Pull its cable: whatever it sends, and what others send to it, is lost."""
        _ip("link", "set", self._port, "down")

    def deafen(self) -> None:
        """Lose what others send to it."""
        self._filter("-A", "INPUT", "-i")

    def mute(self) -> None:
        """Lose what it sends."""
        self._filter("-A", "OUTPUT", "-o")

    def mend(self) -> None:
        """Have the cable in, and lose nothing."""
        _ip("link", "set", self._port, "up")
        self._run("iptables", "-F")

    def _filter(self, change: str, chain: str, interface: str) -> None:
        self._run("iptables", change, chain, interface, "eth0", "-j", "DROP")

    def _run(self, *command: str) -> None:
        _ip("netns", "exec", self._namespace, *command)

    def _tree(self) -> list[psutil.Process]:
        assert self._init is not None
        parent = psutil.Process(self._init.pid)
        return [parent, *parent.children(recursive=True)]

    def _plug_in(self) -> None:
        card = f"02:00:00:00:00:{self.number:02x}"
        _ip("netns", "add", self._namespace)
        _ip(
            "link", "add", self._port, "type", "veth", "peer", "name", "eth0", "address", card, "netns", self._namespace
        )
        _ip("link", "set", self._port, "master", self.network.bridge, "up")
        self._run("ip", "link", "set", "lo", "up")
        self._run("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self._run("ip", "link", "set", "eth0", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
