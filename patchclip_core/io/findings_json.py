"""Findings as JSON and back: what a picture of a result is drawn from later, when someone asks for one.

Arrays are base64 of their bytes, so that what is read back draws the same picture to the pixel.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from patchclip_core.errors import KeptFindingsError
from patchclip_core.values.results import (
    Finding,
    Findings,
    FindingState,
    Geometry,
    ModelIdentity,
    PatchGrid,
    Region,
    Sensitivity,
)
from patchclip_core.values.scores import Scores

VERSION: Final = 1
_MAP: Final = np.dtype("<f4")
_MASK: Final = np.dtype("?")


def findings_to_json(findings: Findings) -> dict[str, Any]:
    """Return what `findings_from_json` makes equal findings of: some tens of kilobytes, most of them maps."""
    return {
        "version": VERSION,
        "geometry": asdict(findings.geometry),
        "model": asdict(findings.model),
        "remarks": list(findings.remarks),
        "body": _packed(findings.body, _MASK),
        "findings": [{**asdict(finding), "patch_map": _packed(finding.patch_map, _MAP)} for finding in findings.items],
    }


def findings_from_json(content: Any) -> Findings:
    """Return the findings that `findings_to_json` was given. Raises `KeptFindingsError` where they are not there."""
    try:
        if content["version"] != VERSION:
            raise KeptFindingsError(f"the findings were kept by another version of the product ({content['version']})")
        geometry = content["geometry"]
        return Findings(
            tuple(map(_finding, content["findings"])),
            Geometry(**{**geometry, "grid": PatchGrid(**geometry["grid"])}),
            ModelIdentity(**content["model"]),
            tuple(content["remarks"]),
            _unpacked(content["body"], _MASK),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise KeptFindingsError(f"the kept findings cannot be read ({type(error).__name__}: {error})") from error


def _finding(content: dict[str, Any]) -> Finding:
    sensitivity, scores = content["sensitivity"], content["scores"]
    read = {
        "state": FindingState(content["state"]),
        "patch_map": _unpacked(content["patch_map"], _MAP),
        "regions": tuple(Region(**region) for region in content["regions"]),
        "lookalikes": tuple(content["lookalikes"]),
        "sensitivity": None if sensitivity is None else Sensitivity(**sensitivity),
        "scores": None if scores is None else Scores(tuple(scores["with_it"]), tuple(scores["without_it"])),
    }
    return Finding(**{**content, **read})


def _packed(array: NDArray[Any] | None, dtype: np.dtype[Any]) -> dict[str, Any] | None:
    if array is None:
        return None
    return {"shape": array.shape, "bytes": b64encode(array.astype(dtype).tobytes()).decode("ascii")}


def _unpacked(content: dict[str, Any] | None, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    if content is None:
        return None
    return np.frombuffer(b64decode(content["bytes"], validate=True), dtype=dtype).reshape(content["shape"])


__all__ = ["findings_from_json", "findings_to_json"]
