"""A child process with limits, for native code that reads what strangers send.

Such code can loop, crash, or ask for all memory. The parent starts a module as a fresh interpreter, which inherits
neither threads nor a GPU context, and kills it where it takes too long. The child limits itself before it reads
anything, and ends by itself where its parent is gone.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

from patchclip_core.io.limits import DecodeLimits

_PIPE_BYTES: Final = 1 << 20
"""An image answers with tens of megabytes: by pieces of this size instead of 64 KiB."""

ORPHAN_GRACE_S: Final = 30
"""The parent kills at the timeout; this much later the child ends by itself, in case the parent is gone."""


def start(module: str, limits: DecodeLimits, arguments: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start `python -m module` with these limits; it is asked by standard input and answers by standard output."""
    numbers = (str(limits.max_pixels), str(limits.timeout_s), str(limits.memory_bytes))
    # One thread for every library: their pools would count against the address space, and one image needs none.
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", module, *numbers, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    assert process.stdout is not None
    with suppress(AttributeError, OSError):  # Linux alone, and as much as this user may have
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return process


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """Wait for its end and return the name of the signal that ended it, or its exit status."""
    code = process.wait()
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def enter(argv: Sequence[str]) -> tuple[DecodeLimits, list[str], BinaryIO]:
    """In the child: keep to the limits that `start` gave. Returns them, the other arguments, and where answers go."""
    limits = DecodeLimits(int(argv[1]), float(argv[2]), int(argv[3]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what decoders print must not get between the answers
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Its default action ends the process, in the middle of native code too.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return limits, list(argv[4:]), answers


@contextmanager
def bounded(limits: DecodeLimits) -> Iterator[None]:
    """In the child: end the process where the block still runs long after the parent should have killed it."""
    signal.alarm(int(limits.timeout_s) + ORPHAN_GRACE_S)
    try:
        yield
    finally:
        signal.alarm(0)
