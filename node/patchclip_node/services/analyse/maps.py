"""What is kept of an image's findings: the patch maps as the pages draw them, and all that a picture is drawn from.

Gzip of JSON, some tens of kilobytes:

    {"box": {"x", "y", "w", "h"}, "rows", "columns", "maps": {key: base64 of rows * columns bytes}, "findings": {...}}

`box` is the whole grid in source pixels, which may reach beyond the image. A byte of a map is 255 times a patch's
probability. `findings` is `patchclip_core.io.findings_json`'s; files of before it was kept have none.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib

import numpy as np

from patchclip_core.errors import KeptFindingsError
from patchclip_core.io.findings_json import findings_from_json, findings_to_json
from patchclip_core.values.results import Findings, FloatArray


def encode_maps(findings: Findings) -> bytes:
    """Return the file: maps of those findings that have one, and all findings."""
    grid = findings.geometry.grid
    first, last = findings.geometry.patch_box(0, 0), findings.geometry.patch_box(grid.rows - 1, grid.columns - 1)
    document = {
        "box": {"x": first.x, "y": first.y, "w": last.x + last.w - first.x, "h": last.y + last.h - first.y},
        "rows": grid.rows,
        "columns": grid.columns,
        "maps": {finding.key: _encoded(finding.patch_map) for finding in findings if finding.patch_map is not None},
        "findings": findings_to_json(findings),
    }
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode("ascii"), mtime=0)


def decode_findings(content: bytes) -> Findings:
    """Return the findings of a file that `encode_maps` made. Raises `KeptFindingsError`."""
    try:
        document = json.loads(gzip.decompress(content))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise KeptFindingsError(f"the kept findings cannot be read ({type(error).__name__}: {error})") from error
    return findings_from_json(document.get("findings"))


def _encoded(patch_map: FloatArray) -> str:
    scaled = np.clip(np.nan_to_num(patch_map), 0.0, 1.0) * 255
    return base64.b64encode(np.rint(scaled).astype(np.uint8).tobytes()).decode("ascii")


__all__ = ["decode_findings", "encode_maps"]
