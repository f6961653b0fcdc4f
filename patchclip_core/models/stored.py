"""A text tower that stays on disk: a loaded model needs it for sentences that were not embedded before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from patchclip_core.errors import CheckpointError
from patchclip_core.models.packing import unpack
from patchclip_core.models.towers import TextSettings, TextTokens, TextTower, Tokens

STORED = "text_tower."
"""How the names of the weights begin that stay in the file."""

_PROJECTION = "text_projection.weight"
_LISTED = 20


class StoredTextTower(TextTower):
    """Reads its weights whenever sentences are to be encoded, and lets them go afterwards. It has no parameters.

    CLIP's text tower is a third of a ViT-L/14; held in memory it would be that for nothing. Building one takes seconds
    of imports where `transformers` has its code.
    """

    def __init__(self, settings: TextSettings, weights: Path) -> None:
        """weights: the checkpoint's file. Raises `CheckpointError` where it cannot be read."""
        super().__init__()
        self.width = _width(weights)
        self._settings = settings
        self._weights = weights
        self._seen = _stamp(weights)

    def read(self, tokens: Tokens) -> TextTokens:
        """Encode. Raises `CheckpointError` where the file holds another tower, or was exchanged or removed."""
        if _stamp(self._weights) != self._seen:
            raise CheckpointError(f"{self._weights} has changed since the model was loaded; load the model again")
        tower = self._settings.build()
        try:
            with safe_open(self._weights, framework="pt") as stored:
                names = [name for name in stored.keys() if name.startswith(STORED)]  # noqa: SIM118 - no mapping
                found = {name.removeprefix(STORED): stored.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{self._weights} cannot be read any more ({error}); load the model again") from error
        fill(tower, found, self._weights, STORED)
        tower.eval().to(tokens.ids.device)
        return tower.read(tokens)


def fill(module: torch.nn.Module, stored: Mapping[str, torch.Tensor], path: Path, under: str = "") -> None:
    """Load stored weights; names and shapes must be the module's. Raises `CheckpointError`, which lists what differs.

    path: where they were stored. under: how their names began there.
    """
    found, wanted = unpack(stored), module.state_dict()
    problems = [f"missing: {under}{name}" for name in wanted if name not in found]
    problems += [f"unexpected: {under}{name}" for name in found if name not in wanted]
    problems += [
        f"{under}{name}: {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if problems:
        more = len(problems) - _LISTED
        shown = problems[:_LISTED] + ([f"and {more} more"] if more > 0 else [])
        raise CheckpointError(f"the weights in {path} are not of this network:\n  " + "\n  ".join(shown))
    module.load_state_dict(found)


def _width(weights: Path) -> int:
    """Return the tower's width, as the layer behind it tells; 0 where there is none, which `fill` then says."""
    try:
        with safe_open(weights, framework="pt") as stored:
            shape = stored.get_slice(_PROJECTION).get_shape() if _PROJECTION in stored.keys() else []  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{weights} is not a safetensors file ({error}); copy the checkpoint again") from error
    return int(shape[1]) if len(shape) == 2 else 0


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path} is gone ({error.strerror}); a model asked by text reads it again") from error
    return status.st_size, status.st_mtime_ns
