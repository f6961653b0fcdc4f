"""The findings' sentences, embedded once and kept beside a checkpoint, so that who uses it builds no text tower.

They are part of the checkpoint only where they were made from these very weights, of the sentences that the card
has; otherwise they are made again, in memory, as without the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.errors import CheckpointError
from patchclip_core.inference.analyzer import NetworkAnalyzer, sentences_of
from patchclip_core.models.card import ModelCard
from patchclip_core.models.network import Texts

TEXTS_FILE = "texts.safetensors"

_MADE_FROM = "made_from"
_BYTES = "sha256"


def write_texts(folder: Path) -> None:
    """Embed what the checkpoint in a folder is asked, and keep it there. A plug-in's is left as it is.

    Raises `CheckpointError` where the checkpoint cannot be loaded, `OSError` where nothing can be written.
    """
    (folder / TEXTS_FILE).unlink(missing_ok=True)
    analyzer = load(folder, device="cpu")
    if not isinstance(analyzer, NetworkAnalyzer):
        return
    parts = {f"{index:02}": part.detach().cpu().contiguous() for index, part in enumerate(analyzer.texts)}
    said = {_MADE_FROM: _origin(analyzer.card, analyzer.sentences), _BYTES: _digest(list(parts.values()))}
    save_file(parts, folder / TEXTS_FILE, said)
    (folder / TEXTS_FILE).chmod(0o644)  # safetensors leaves it to its owner alone


def read_texts(folder: Path, card: ModelCard) -> Texts | None:
    """Return the embedded sentences that the card asks for; None where none were kept, or those of others.

    Raises `CheckpointError` where the file is damaged.
    """
    path = folder / TEXTS_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as stored:
            said = stored.metadata() or {}
            texts = tuple(stored.get_tensor(name) for name in sorted(stored.keys()))
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error
    if said.get(_BYTES) != _digest(texts):
        raise _damaged(path, "its numbers are not those that were written")
    return texts if said.get(_MADE_FROM) == _origin(card, sentences_of(card)) else None


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged ({reason}): copy the checkpoint again, or delete this one file, which is then made again "
        "in memory at each start"
    )


def _origin(card: ModelCard, sentences: Sequence[Sequence[str]]) -> str:
    """Return the digest of all that embedded sentences depend on; the tokenizer is among the weights' files."""
    whole = [card.weights_digest, card.weights_files, card.architecture, [list(group) for group in sentences]]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def _digest(parts: Sequence[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
        digest.update(part.numpy().tobytes())
    return digest.hexdigest()
