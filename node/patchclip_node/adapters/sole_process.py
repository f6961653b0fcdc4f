"""Only one process of a kind at a time works on a data folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patchclip_node.domain.errors import ConfigurationError


@contextmanager
def alone(file: Path, what: str) -> Iterator[None]:
    """Hold a lock on a file for the time of the context; the system lets go of it however the process ends.

    Raises `ConfigurationError` where another process holds it. what: such a process, for that error.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"{what} runs already: {file} is locked; end that one first") from error
        yield
    finally:
        os.close(descriptor)
