"""The patch maps of an image, as the pages draw them over it: gzip of JSON, some kilobytes.

    {"box": {"x", "y", "w", "h"}, "rows", "columns", "maps": {key: base64 of rows * columns bytes}}

`box` is the whole grid in source pixels, which may reach beyond the image. A byte is 255 times a patch's probability.
"""

from __future__ import annotations

import base64
import gzip
import json

import numpy as np

from patchclip_core.values.results import Findings, FloatArray


def encode_maps(findings: Findings) -> bytes:
    """Return the maps of those findings that have one."""
    grid = findings.geometry.grid
    first, last = findings.geometry.patch_box(0, 0), findings.geometry.patch_box(grid.rows - 1, grid.columns - 1)
    document = {
        "box": {"x": first.x, "y": first.y, "w": last.x + last.w - first.x, "h": last.y + last.h - first.y},
        "rows": grid.rows,
        "columns": grid.columns,
        "maps": {finding.key: _encoded(finding.patch_map) for finding in findings if finding.patch_map is not None},
    }
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode("ascii"), mtime=0)


def _encoded(patch_map: FloatArray) -> str:
    scaled = np.clip(np.nan_to_num(patch_map), 0.0, 1.0) * 255
    return base64.b64encode(np.rint(scaled).astype(np.uint8).tobytes()).decode("ascii")


__all__ = ["encode_maps"]
