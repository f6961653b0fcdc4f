"""The model that the settings name, as the worker and the commands use it."""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from patchclip_core.checkpoints import checkpoint
from patchclip_core.inference.scales import LooksCloser, TileSettings
from patchclip_core.inference.shares import shares_of
from patchclip_core.memory import keep_freed_memory, starting
from patchclip_core.values.results import Analyzer, Findings, ModelIdentity, Radiograph
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import NodeSettings

_AT_ONCE_S: Final = 0.001
_STANDARD_ERROR: Final = 2  # as a file descriptor: sys.stderr may have been replaced

LoadModel = Callable[[str, str], Analyzer]
"""(name or folder, device) -> model."""


def load_analyzer(settings: NodeSettings, load_model: LoadModel = checkpoint.load) -> Analyzer:
    """Load the model, with tiles where the settings ask for them. This process then keeps the memory that it frees.

    Raises `CheckpointError`, and `ConfigurationError` where the model cannot look at tiles.
    """
    keep_freed_memory()
    with starting():
        analyzer = load_model(settings.model, settings.device)
    if settings.tiles == 1:
        return analyzer
    if not isinstance(analyzer, LooksCloser):
        raise ConfigurationError(f"tiles: the model {analyzer.identity.name} cannot look at tiles; set it to 1")
    return analyzer.looking_closer(TileSettings(tiles=settings.tiles))


class BoundedAnalyzer:
    """A model in its own threads, which may take `timeout_s` for each image: after that the process ends, status 1.

    Whoever asks waits for its turn: studies are worked on side by side, and the model sees as many batches at a time as
    it has shares of the processors, at most `at_once`.

    A thread that hangs within a library or a GPU's driver can't be ended by itself. So the whole process ends, after it
    wrote to standard error where each of its threads was; whoever supervises it starts a fresh one, and the studies
    that it held are tried again as often as the settings say.
    """

    def __init__(self, model: Analyzer, timeout_s: float, at_once: int = 1) -> None:
        self._model = model
        self._timeout_s = timeout_s
        self._watchdog = _Watchdog()
        shares = shares_of(model, at_once)
        self._turns = ThreadPoolExecutor(shares.number, thread_name_prefix="model", initializer=shares.enter)

    @property
    def identity(self) -> ModelIdentity:
        """The model's."""
        return self._model.identity

    @property
    def finding_keys(self) -> tuple[str, ...]:
        """The model's."""
        return self._model.finding_keys

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        """Let the model analyse them, in turn; may be called from several threads."""
        return self._turns.submit(self._analyse, radiographs).result()

    def _analyse(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        with self._watchdog.over(self._timeout_s * max(1, len(radiographs))):
            return self._model.analyze_batch(radiographs)


class _Watchdog:
    """Ends the process as soon as one of several pieces of work takes longer than it may. For several threads.

    The interpreter has one such timer: it runs for the piece that is to be over first.
    """

    def __init__(self) -> None:
        self._ends_s: dict[object, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def over(self, timeout_s: float) -> Iterator[None]:
        """Watch what is done in the context."""
        piece = object()
        with self._lock:
            self._ends_s[piece] = time.monotonic() + timeout_s
            self._set()
        try:
            yield
        finally:
            with self._lock:
                del self._ends_s[piece]
                self._set()

    def _set(self) -> None:
        if not self._ends_s:
            faulthandler.cancel_dump_traceback_later()
            return
        left_s = max(min(self._ends_s.values()) - time.monotonic(), _AT_ONCE_S)
        faulthandler.dump_traceback_later(left_s, exit=True, file=_STANDARD_ERROR)
