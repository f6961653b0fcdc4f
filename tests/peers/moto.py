"""moto's server on loopback: the API of S3, kept in memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.processes import free_port, program
from tests.peers.s3 import S3Server


@dataclass(frozen=True, slots=True)
class Moto(S3Server):
    """A server that forgets everything when it ends."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the server, with an empty bucket, for the time of the context."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
        arguments = [sys.executable, "-m", "moto.server", "-H", self.address, "-p", str(self.port)]
        with program(arguments, self.folder / "moto.log", port=self.port, env=environment, patience_s=1):
            self.make_bucket()
            yield


def new_moto(folder: Path) -> Moto:
    """Choose a port; the server is not running yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return Moto(folder, free_port())
