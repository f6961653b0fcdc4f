"""The node itself as real processes: started, killed, started again, and asked through its ledger."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from patchclip_core.processors import usable_processors
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.bootstrap.receiver import receivers_of
from patchclip_node.domain.records import DeliveryState, StudyRecord
from patchclip_node.domain.states import FINAL_STATES
from patchclip_node.ports.result_sender import Destination
from patchclip_node.settings import NodeSettings, read_settings
from tests.peers.processes import end, free_port, program, wait_until
from tests.plugins.node_steps import HELPER

PLUGINS = Path(__file__).parents[1] / "plugins"


@dataclass
class Node:
    """A node with its data in `folder`, and the model of tests/plugins that marks bright pixels.

    While the file `hold` exists, its worker waits within the model; `hold.reached` then says that it does.
    """

    folder: Path
    port: int
    config: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    """What its processes get besides."""

    @property
    def hold(self) -> Path:
        """Make this file to stop analyses in the middle."""
        return self.folder / "hold"

    @property
    def is_in_analysis(self) -> bool:
        """Whether a worker waits within the model."""
        return self.hold.with_suffix(".reached").exists()

    @property
    def log(self) -> str:
        """What all its processes have logged."""
        log = self.folder / "node.log"
        return log.read_text(errors="replace") if log.exists() else ""

    @property
    def settings(self) -> NodeSettings:
        """As its processes read them."""
        return read_settings(self.config)

    @contextlib.contextmanager
    def running(self, command: str = "serve") -> Iterator[subprocess.Popen[bytes]]:
        """Run one of its commands for the time of the context; those that receive do when this returns, all of them."""
        port = self.port if command in {"serve", "receive"} else None
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PATCHCLIP_")}
        environment |= self.variables
        log, arguments, begun = self.folder / "node.log", self.arguments(command), self.helpers_begun
        with program(arguments, log, port=port, env=environment, cwd=self.folder) as process:
            self.processes.append(process)
            if port is not None:
                helpers = receivers_of(self.settings, usable_processors()) - 1
                wait_until(
                    lambda: self.helpers_begun >= begun + helpers or process.poll() is not None,
                    f"{helpers} processes help the receiver",
                )
            yield process

    @property
    def helpers_begun(self) -> int:
        """How often a process has begun to take associations that the receiver hands over."""
        return self.log.count('"helper_ready"')

    @property
    def receiver(self) -> psutil.Process:
        """The process that listens, lets in and may serve associations itself."""
        (receiver,) = self._processes("receive")
        return receiver

    @property
    def helpers(self) -> list[psutil.Process]:
        """The processes that serve associations which the receiver has handed over."""
        return self._processes(HELPER)

    def associations_of(self, process: psutil.Process) -> int:
        """Return how many associations a process serves, or connections it has accepted."""
        return sum(
            one.status == psutil.CONN_ESTABLISHED and one.laddr[1] == self.port for one in process.net_connections()
        )

    def _processes(self, word: str) -> list[psutil.Process]:
        """Return those that run with this word in their command, without what they are just starting."""
        found = {}
        for parent in [one for one in self.processes if one.poll() is None]:
            of_parent = psutil.Process(parent.pid)
            for one in (of_parent, *of_parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if word in one.cmdline():
                        found[one.pid] = one, one.ppid()
        return [one for one, parent_pid in found.values() if parent_pid not in found]

    def arguments(self, command: str) -> list[str]:
        """Return how one of its commands is called."""
        return [sys.executable, "-m", "patchclip_node", command, "--config", str(self.config)]

    @property
    def variables(self) -> dict[str, str]:
        """What its processes find in their environment besides what is there."""
        return {
            # The node is that of the tree under test, which need not be the installed one.
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH", "")])),
            "BRIGHT_PIXELS_HOLD": str(self.hold),
            "NODE_STEPS": str(self.folder / "steps"),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "error",
            **self.environment,
        }

    def kill(self) -> None:
        """kill -9 of the process that runs longest, the parent of `serve`; returns when its whole tree is gone."""
        parent = self.processes.pop()
        tree = [psutil.Process(parent.pid), *psutil.Process(parent.pid).children(recursive=True)]
        parent.kill()
        parent.wait()
        _, alive = psutil.wait_procs(tree, timeout=10)
        assert not alive, f"these outlived their parent: {alive}"
        self.hold.with_suffix(".reached").unlink(missing_ok=True)

    def kill_worker(self) -> None:
        """kill -9 of the worker alone."""
        workers = self._processes("work")
        assert workers, "no worker runs"
        workers[0].kill()
        self.hold.with_suffix(".reached").unlink(missing_ok=True)

    def mapped_files(self) -> str:
        """Return the files that its processes have in memory, such as libraries, a path a line."""
        tree = psutil.Process(self.processes[-1].pid).children(recursive=True)
        return "\n".join(sorted({mapped.path for process in tree for mapped in process.memory_maps()}))

    def end(self) -> int:
        """SIGTERM; returns the exit status."""
        return end(self.processes.pop())

    @contextlib.contextmanager
    def ledger(self) -> Iterator[SqlLedger]:
        """Open the ledger as one more reader."""
        ledger = SqlLedger(self.settings.effective_ledger_url)
        try:
            yield ledger
        finally:
            ledger.close()

    def studies(self) -> list[StudyRecord]:
        """Return all revisions."""
        with self.ledger() as ledger:
            return ledger.studies.find(limit=sys.maxsize)

    def wait_for_end_of(
        self, study_instance_uids: Sequence[str], timeout_s: float = 60, every_s: float = 0.1
    ) -> dict[str, StudyRecord]:
        """Wait until these studies are in a final state, looking so often; return the newest revision of each."""
        newest: dict[str, StudyRecord] = {}

        def ended() -> bool:
            newest.update({study.study_instance_uid: study for study in reversed(self.studies())})
            return all(uid in newest and newest[uid].state in FINAL_STATES for uid in study_instance_uids)

        try:
            wait_until(ended, f"{len(study_instance_uids)} studies end", timeout_s, every_s=every_s)
        except AssertionError as error:
            states = {uid: newest[uid].state if uid in newest else "unknown" for uid in study_instance_uids}
            raise AssertionError(f"{error}: {states}\n{self.log[-8000:]}") from None
        return {uid: newest[uid] for uid in study_instance_uids}

    def results_of(self, study_instance_uid: str) -> set[str]:
        """Return the SOP Instance UIDs of a study's results, and notes, that some destination has or is to get."""
        with self.ledger() as ledger:
            return {
                delivery.result.result.sop_instance_uid
                for study in ledger.studies.revisions(study_instance_uid)
                for delivery in ledger.studies.deliveries(study.id)
                if delivery.state is not DeliveryState.RECALLED or delivery.delivered_at is not None
            }

    def received(self, study_instance_uid: str) -> set[str]:
        """Return the SOP Instance UIDs that the ledger knows as received."""
        with self.ledger() as ledger:
            return {record.instance.header.sop_instance_uid for record in ledger.studies.instances(study_instance_uid)}


def new_node(folder: Path, destinations: Sequence[Destination] = (), **settings: Any) -> Node:
    """Write a configuration with short times; nothing is running yet.

    A test of what happens to receiving processes takes `receivers=None`, which is what a hospital gets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    values = {
        "ae_title": "PATCHCLIP",
        "host": "127.0.0.1",
        "port": port,
        "receivers": 1,  # of the two that there are by default: a second one costs each test a start
        "data_dir": str(folder / "var"),
        "model": str(PLUGINS / "bright_checkpoint"),
        "device": "cpu",
        "quiet_s": 0.3,
        "sweep_s": 0.2,
        "lease_s": 3.0,
        "destinations": [
            {"name": one.name, "ae_title": one.ae_title, "host": one.host, "port": one.port} for one in destinations
        ],
        "web": {"port": free_port()},
        "limits": {"min_free_bytes": 0},
        "retry": {"backoff_s": 0.3, "backoff_max_s": 1.0},
        "log": {"format": "json"},
    } | settings
    config = folder / "node.yaml"
    config.write_text(yaml.safe_dump(values))
    return Node(folder, port, config)
