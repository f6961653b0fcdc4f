"""The model that the settings name, as the worker and the commands use it."""

from __future__ import annotations

import faulthandler
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from patchclip_core.checkpoints import checkpoint
from patchclip_core.inference.scales import LooksCloser, TileSettings
from patchclip_core.memory import keep_freed_memory
from patchclip_core.values.results import Analyzer, Findings, ModelIdentity, Radiograph
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import NodeSettings

_STANDARD_ERROR = 2  # as a file descriptor: sys.stderr may have been replaced

LoadModel = Callable[[str, str], Analyzer]
"""(name or folder, device) -> model."""


def load_analyzer(settings: NodeSettings, load_model: LoadModel = checkpoint.load) -> Analyzer:
    """Load the model, with tiles where the settings ask for them. This process then keeps the memory that it frees.

    Raises `CheckpointError`, and `ConfigurationError` where the model cannot look at tiles.
    """
    keep_freed_memory()
    analyzer = load_model(settings.model, settings.device)
    if settings.tiles == 1:
        return analyzer
    if not isinstance(analyzer, LooksCloser):
        raise ConfigurationError(f"tiles: the model {analyzer.identity.name} cannot look at tiles; set it to 1")
    return analyzer.looking_closer(TileSettings(tiles=settings.tiles))


@dataclass(frozen=True, slots=True)
class BoundedAnalyzer:
    """A model in its own thread, which may take `timeout_s` for each image: after that the process ends, with status 1.

    Whoever asks waits for its turn: studies are worked on side by side, and the model sees one batch after another. One
    thread, since each thread that computes would bring its own set of threads of the processor.

    A thread that hangs within a library or a GPU's driver can't be ended by itself. So the whole process ends, after it
    wrote to standard error where each of its threads was; whoever supervises it starts a fresh one, and the study that
    it held is tried again as often as the settings say.
    """

    model: Analyzer
    timeout_s: float
    _turns: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="model"), init=False, repr=False, compare=False
    )

    @property
    def identity(self) -> ModelIdentity:
        """The model's."""
        return self.model.identity

    @property
    def finding_keys(self) -> tuple[str, ...]:
        """The model's."""
        return self.model.finding_keys

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        """Let the model analyse them, in turn; may be called from several threads."""
        return self._turns.submit(self._analyse, radiographs).result()

    def _analyse(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        faulthandler.dump_traceback_later(self.timeout_s * max(1, len(radiographs)), exit=True, file=_STANDARD_ERROR)
        try:
            return self.model.analyze_batch(radiographs)
        finally:
            faulthandler.cancel_dump_traceback_later()
