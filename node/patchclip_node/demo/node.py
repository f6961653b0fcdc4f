"""The node of the demo: the real process tree of `serve`, with its own configuration, folder and ports."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from patchclip_node.domain.errors import ConfigurationError, NodeError, PeerError
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.sender import DicomResultSender
from patchclip_node.settings import read_settings

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
_MARKER: Final = ".patchclip-demo"
_LOG_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """The node's configuration. `path`: the file, usable with every other command."""

    path: Path
    data_dir: Path
    ae_title: str
    port: int
    web_port: int

    @property
    def ledger_url(self) -> str:
        """Where the node's embedded ledger is."""
        return f"sqlite:///{self.data_dir / 'ledger.sqlite'}"


@dataclass(frozen=True, slots=True)
class DemoNode:
    """A running node. `log`: the file that its processes write to. `stop`: set when the demo is told to end."""

    config: DemoConfig
    log: Path
    process: subprocess.Popen[bytes]
    stop: threading.Event

    def check(self) -> None:
        """Raise `KeyboardInterrupt` after `stop`, `NodeError` with the end of the log when the node ended by itself.

        A signal is acted on here alone: an exception that its handler raised could get lost in a callback.
        """
        if self.stop.is_set():
            raise KeyboardInterrupt
        status = self.process.poll()
        if status is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
            raise NodeError(f"the node ended with status {status}; the end of {self.log}:\n" + "\n".join(lines))


def write_config(out: Path, archive_ae_title: str, archive_port: int, model: str | None) -> DemoConfig:
    """Write the node's configuration into `out`; model, device and findings file are those of the environment.

    Empties the node's folder of an earlier demo, and refuses to touch one that no demo has made.
    """
    data_dir = out.absolute() / "node"
    if data_dir.exists():
        if not (data_dir / _MARKER).exists():
            raise ConfigurationError(f"{data_dir} was not made by a demo; choose another folder with --out")
        shutil.rmtree(data_dir)
    data_dir.mkdir(parents=True)
    (data_dir / _MARKER).touch()
    given = read_settings(None, **({"model": model} if model else {}))
    checkpoint = Path(given.model)
    config = DemoConfig(out / "node.yaml", data_dir, "PATCHCLIP", _free_port(), _free_port())
    content = {
        "ae_title": config.ae_title,
        "host": "127.0.0.1",
        "port": config.port,
        "data_dir": str(data_dir),
        "model": str(checkpoint.absolute()) if checkpoint.is_dir() else given.model,
        "device": given.device,
        "findings_file": str(given.findings_file.absolute()) if given.findings_file else None,
        "quiet_s": 0.5,
        "sweep_s": 0.25,
        "destinations": [{"name": "archive", "ae_title": archive_ae_title, "host": "127.0.0.1", "port": archive_port}],
        "web": {"host": "127.0.0.1", "port": config.web_port},
        "limits": {"min_free_bytes": 0},
    }
    text = "# Written by `patchclip-node demo`.\n" + yaml.safe_dump(content, sort_keys=False)
    config.path.write_text(text, encoding="utf-8")
    return config


@contextlib.contextmanager
def running_node(config: DemoConfig, log: Path, stop: threading.Event) -> Iterator[DemoNode]:
    """Run `serve`, wait until it answers C-ECHO, and end the whole tree afterwards, whatever happened.

    Raises `NodeError` when it does not come up, `KeyboardInterrupt` after `stop`.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PATCHCLIP_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "patchclip_node", "serve", "--config", str(config.path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            process_group=0,  # Ctrl-C reaches the demo alone, which then ends the node in order
        )
    node = DemoNode(config, log, process, stop)
    try:
        end = time.monotonic() + START_TIMEOUT_S
        while not _answers(config):
            node.check()
            if time.monotonic() > end:
                raise NodeError(f"the node does not answer C-ECHO after {START_TIMEOUT_S:.0f} s; see {log}")
            time.sleep(0.1)
        yield node
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(config: DemoConfig) -> bool:
    try:
        DicomResultSender("ECHO").echo(Destination("node", config.ae_title, "127.0.0.1", config.port))
    except PeerError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
