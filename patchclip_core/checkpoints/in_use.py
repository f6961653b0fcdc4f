"""A checkpoint without what only its training looks at: the same answers from a smaller file."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from patchclip_core.checkpoints.checkpoint import digest_of, read_settings
from patchclip_core.errors import CheckpointError
from patchclip_core.models.card import WEIGHTS_FILE, ModelCard
from patchclip_core.models.methods import architectures, settings_of


def write_in_use(source: Path, card: ModelCard, out: Path) -> ModelCard:
    """Copy a checkpoint's weights files, without heads that no answer needs; return the card of what was written.

    What stays keeps its bytes. The card itself is not written. A plug-in's weights are copied as they are. Raises
    `CheckpointError` where the weights cannot be read, `OSError` where they cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in card.weights_files:
        shutil.copyfile(source / name, out / name)
    if card.architecture not in architectures():
        return card
    settings = read_settings(card, settings_of(card.architecture))
    if settings.in_use() == settings:
        return card
    try:
        stored = load_file(source / WEIGHTS_FILE)
    except SafetensorError as error:
        raise CheckpointError(
            f"{source / WEIGHTS_FILE} is not a safetensors file ({error}); copy the checkpoint again"
        ) from error
    kept = {name: weight for name, weight in stored.items() if not name.startswith(settings.training_alone)}
    save_file(kept, out / WEIGHTS_FILE)
    (out / WEIGHTS_FILE).chmod(0o644)  # safetensors leaves it to its owner alone
    return card.model_copy(
        update={
            "settings": settings.in_use().model_dump(mode="json"),
            "weights_digest": digest_of([out / name for name in card.weights_files]),
        }
    )
