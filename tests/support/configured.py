"""A configuration file of a test, with processes of a node that follow it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from patchclip_node.adapters.configuration_store import ConfigurationStore
from patchclip_node.bootstrap.configuration import Follower, start
from patchclip_node.settings import NodeSettings

BRIGHT = Path(__file__).parents[1] / "plugins" / "bright_checkpoint"


@dataclass
class Configured:
    """A configuration file in a test's folder."""

    folder: Path
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "node.yaml"

    @property
    def store(self) -> ConfigurationStore:
        return ConfigurationStore(self.folder / "data")

    def write(self, **values: Any) -> Path:
        """Write the file: what it had, and these values."""
        self.values |= {"data_dir": str(self.folder / "data"), "model": str(BRIGHT)} | values
        self.file.write_text(yaml.safe_dump(self.values, sort_keys=False))
        return self.file

    def runs(self, process: str, **refuse: Callable[[NodeSettings], None]) -> Taking:
        """Let a process begin with the file."""
        return Taking(process, self.file, **refuse)


class Taking:
    """A process that follows the configuration, and notes which settings it took; `look` is its turn."""

    def __init__(self, process: str, file: Path, **refuse: Callable[[NodeSettings], None]) -> None:
        self.started = start(process, file)
        self.settings = self.started.settings
        self.follower = Follower(process, self.started, self._take, **refuse)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.follower.close()

    def _take(self, settings: NodeSettings) -> None:
        self.settings = settings

    @property
    def number(self) -> int:
        return self.follower.number


def in_a_child(act: Callable[[], object]) -> int:
    """Do something in a separate process; returns its exit status, below 0 the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except BaseException:  # noqa: BLE001 - nothing of the test may go on in the child
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
