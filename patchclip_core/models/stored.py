"""A text tower that stays on disk: a loaded model needs it once, for its findings, and then only when asked by text."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from patchclip_core.errors import CheckpointError
from patchclip_core.models.packing import unpack
from patchclip_core.models.towers import TextSettings, TextTokens, TextTower, Tokens

_PREFIX = "text_tower."


class StoredTextTower(TextTower):
    """Reads its weights whenever sentences are to be encoded, and lets them go afterwards. It has no parameters.

    CLIP's text tower is a third of a ViT-L/14; held in memory it would be that for nothing.
    """

    def __init__(self, settings: TextSettings, weights: Path, width: int) -> None:
        super().__init__()
        self.width = width
        self._settings = settings
        self._weights = weights
        self._seen = _stamp(weights)

    def read(self, tokens: Tokens) -> TextTokens:
        """Encode. Raises `CheckpointError` where the file was exchanged or removed since the model was loaded."""
        if _stamp(self._weights) != self._seen:
            raise CheckpointError(f"{self._weights} has changed since the model was loaded; load the model again")
        tower = self._settings.build()
        try:
            with safe_open(self._weights, framework="pt") as stored:
                names = [name for name in stored.keys() if name.startswith(_PREFIX)]  # noqa: SIM118 - no mapping
                tower.load_state_dict(unpack({name.removeprefix(_PREFIX): stored.get_tensor(name) for name in names}))
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{self._weights} cannot be read any more ({error}); load the model again") from error
        tower.eval().to(tokens.ids.device)
        return tower.read(tokens)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path} is gone ({error.strerror}); a model asked by text reads it again") from error
    return status.st_size, status.st_mtime_ns
