"""A `Display` as JSON and back: how it passes between the decoding child and its parent."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import asdict
from typing import Any

from patchclip_core.values.display import Display, LookupTable, Rescale, VoiFunction, Window


def display_to_json(display: Display) -> dict[str, Any]:
    """Return what `display_from_json` makes an equal display of."""
    return {
        "modality": _table_to_json(display.modality)
        if isinstance(display.modality, LookupTable)
        else asdict(display.modality),
        "voi": _table_to_json(display.voi) if isinstance(display.voi, LookupTable) else asdict(display.voi),
        "inverted": display.inverted,
    }


def display_from_json(content: dict[str, Any]) -> Display:
    """Return the display that `display_to_json` was given."""
    modality, voi = content["modality"], content["voi"]
    return Display(
        _table_from_json(modality) if "entries" in modality else Rescale(**modality),
        _table_from_json(voi)
        if "entries" in voi
        else Window(voi["centre"], voi["width"], VoiFunction(voi["function"])),
        content["inverted"],
    )


def _table_to_json(table: LookupTable) -> dict[str, Any]:
    """Entries go as 16-bit words, little-endian, in base64: a table of 65,536 takes 175 kB."""
    entries = b64encode(table.entries.astype("<u2").tobytes()).decode("ascii")
    return {"first": table.first, "entries": entries, "bits": table.bits}


def _table_from_json(content: dict[str, Any]) -> LookupTable:
    import numpy as np  # noqa: PLC0415 - as in `decoding_process`

    entries = np.frombuffer(b64decode(content["entries"]), dtype="<u2").astype(np.uint16)
    return LookupTable(content["first"], entries, content["bits"])
