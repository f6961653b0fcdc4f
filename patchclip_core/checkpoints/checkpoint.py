"""Checkpoints: a folder with `card.json` and the weights it names, verified before anything is built from them.

Weights are safetensors, or a graph of ONNX; nothing is ever unpickled. Architectures are built in or come from other
packages by an entry point in the group `patchclip.models`: a callable `(folder, card, device) -> Analyzer`.
"""

from __future__ import annotations

import hashlib
import json
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError

from patchclip_core.errors import CheckpointError
from patchclip_core.models.card import ModelCard
from patchclip_core.models.methods import architectures
from patchclip_core.typed_yaml import checked
from patchclip_core.values.results import Analyzer

CARD_FILE = "card.json"
PLUG_IN_GROUP = "patchclip.models"

ONNX = "onnx"
"""The architecture of a network that was exported, whichever it was before."""

_PACKAGE_WEIGHTS = Path(__file__).parents[1] / "weights"
_CHUNK_BYTES = 1 << 20

ArchitectureLoader = Callable[[Path, ModelCard, str], Analyzer]
_AnySizeLoader = Callable[[Path, ModelCard, str, int], Analyzer]
_Settings = TypeVar("_Settings", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    """How the core loads an architecture.

    loader: 'MODULE:NAME'; imported, and what computes with it, when a checkpoint asks for it. runtime: the package that
    computes. any_size: whether it opens at another input size than its card's.
    """

    loader: str
    runtime: str
    any_size: bool


_NETWORK = _BuiltIn("patchclip_core.checkpoints.loading:load_network", "torch", any_size=True)
_EXPORTED = _BuiltIn("patchclip_core.checkpoints.onnx_loading:load_onnx", "onnxruntime", any_size=False)
_BUILT_IN = dict.fromkeys(architectures(), _NETWORK) | {ONNX: _EXPORTED}


def load(name_or_path: str | Path, device: str = "auto", *, input_px: int | None = None) -> Analyzer:
    """Load a checkpoint: the name of one that the package ships, or a folder.

    device: 'auto' takes a GPU where there is one; 'cpu', 'cuda'. input_px: height and width of the model's input, where
    they are not to be those that it was trained with. A larger input has more patches, each smaller on the radiograph;
    operating points and calibration were set at the card's size, so the model then calls itself uncalibrated. Raises
    `CheckpointError`, which says what to do.
    """
    folder = find(name_or_path)
    card = read_card(folder)
    verify_weights(folder, card)
    load_architecture = _architecture(card.architecture)
    if input_px is None:
        return load_architecture(folder, card, device)
    if (built_in := _BUILT_IN.get(card.architecture)) is None or not built_in.any_size:
        raise CheckpointError(
            f"{card.name} can be opened at its own {card.preprocess.input_px} px only: its architecture, "
            f"'{card.architecture}', takes no other input size"
        )
    return cast(_AnySizeLoader, load_architecture)(folder, card, device, input_px)


def shipped() -> list[str]:
    """Names of the checkpoints that the package ships."""
    return sorted(card.parent.name for card in _PACKAGE_WEIGHTS.glob(f"*/{CARD_FILE}"))


def find(name_or_path: str | Path) -> Path:
    """Return the checkpoint's folder; a shipped name comes before a folder in the current directory."""
    if str(name_or_path) in shipped():
        return _PACKAGE_WEIGHTS / str(name_or_path)
    folder = Path(name_or_path)
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise CheckpointError(f"{folder} is a file: give the folder in which it lies beside {CARD_FILE}")
    raise CheckpointError(
        f"there is no checkpoint '{name_or_path}': give a folder with {CARD_FILE}, or one of: {', '.join(shipped())}"
    )


def read_card(folder: Path) -> ModelCard:
    """Read and validate `card.json`. Raises `CheckpointError`, which names each key that is wrong."""
    path = folder / CARD_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{folder} is not a checkpoint: cannot read {CARD_FILE} ({error.strerror})") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); copy the checkpoint again") from error
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in item['loc']) or 'card'}: {item['msg']}" for item in error.errors()]
        raise CheckpointError(f"{path} is not a card that this version understands:\n" + "\n".join(lines)) from error


def read_settings(card: ModelCard, kind: type[_Settings]) -> _Settings:
    """Validate the architecture's part of a card. Raises `CheckpointError`."""
    title = f"the card of {card.name} does not describe the architecture '{card.architecture}':"
    return checked(kind, card.settings, CheckpointError, "the architecture", title, under=("settings",))


def runtime_of(card: ModelCard) -> str | None:
    """Return the package that computes a checkpoint, such as 'torch'; None where that is a plug-in's own business."""
    built_in = _BUILT_IN.get(card.architecture)
    return None if built_in is None else built_in.runtime


def digest_of(paths: Sequence[Path]) -> str:
    """Return 'sha256:' and the SHA-256 over the bytes of these files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def verify_weights(folder: Path, card: ModelCard) -> None:
    """Raise `CheckpointError` where a weights file is missing or its bytes are not those of the card."""
    paths = [folder / name for name in card.weights_files]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}; copy the whole checkpoint again")
    try:
        found = digest_of(paths)
    except OSError as error:
        raise CheckpointError(f"the weights in {folder} cannot be read: {error.strerror}") from error
    if found != card.weights_digest:
        raise CheckpointError(
            f"the weights in {folder} are not those of its card: {found} instead of {card.weights_digest}. They are "
            "damaged or were exchanged; copy the checkpoint again from where it came from"
        )


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `card.json`, in the same bytes for the same card."""
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _architecture(name: str) -> ArchitectureLoader:
    if (built_in := _BUILT_IN.get(name)) is not None:
        return cast(ArchitectureLoader, pkgutil.resolve_name(built_in.loader))
    plug_ins = {entry.name: entry for entry in metadata.entry_points(group=PLUG_IN_GROUP)}
    if name not in plug_ins:
        known = ", ".join(sorted({*_BUILT_IN, *plug_ins}))
        raise CheckpointError(
            f"the checkpoint needs the architecture '{name}', which is not installed here; installed are: {known}"
        )
    try:
        return cast(ArchitectureLoader, plug_ins[name].load())
    except (ImportError, AttributeError) as error:
        raise CheckpointError(f"the plug-in {plug_ins[name].value} of '{name}' cannot be loaded: {error}") from error
