"""What computes the model that the settings name has to be installed: PyTorch, or ONNX Runtime."""

from __future__ import annotations

from contextlib import suppress

from patchclip_core.checkpoints.checkpoint import find, read_card, runtime_of
from patchclip_core.errors import CheckpointError
from patchclip_core.terminal import require_package


def require_runtime(model: str) -> None:
    """Raise `ModuleNotFoundError` where the package that computes a model is not here, without importing it.

    model: a checkpoint folder or a shipped name. One that cannot be read has nothing to require: whoever loads it says
    what is wrong with it.
    """
    with suppress(CheckpointError):
        if (runtime := runtime_of(read_card(find(model)))) is not None:
            require_package(runtime)
