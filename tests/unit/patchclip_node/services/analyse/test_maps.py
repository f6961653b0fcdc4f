"""The maps that a page draws lie where the model's patches lie."""

from __future__ import annotations

import base64
import gzip
import json

import numpy as np
import pytest

from patchclip_core.values.results import Finding, Findings, FindingState, Geometry, PatchGrid
from patchclip_node.services.analyse.maps import encode_maps
from tests.support.synthetic import TRAINED


def test_maps_say_their_values_and_where_the_grid_lies_in_source_pixels() -> None:
    patches = np.array([[0.0, 0.5, 1.0], [np.nan, 2.0, -1.0]], dtype=np.float32)
    grid = PatchGrid(rows=2, columns=3, pitch_px=32, centre_px=20)
    geometry = Geometry(100, 200, 64, 96, 0.5, 0.25, 6.0, 0.0, grid)
    found = Finding("opacity", FindingState.PRESENT, 0.9, 0.5, patch_map=patches)
    without = Finding("nodule_mass", FindingState.NOT_EVALUATED, None, None, reason="it cannot")

    document = json.loads(gzip.decompress(encode_maps(Findings((found, without), geometry, TRAINED))))

    assert (document["rows"], document["columns"], list(document["maps"])) == (2, 3, ["opacity"])
    assert list(base64.b64decode(document["maps"]["opacity"])) == [0, 128, 255, 0, 255, 0]
    left, top = geometry.to_source(4.0, 4.0)
    assert document["box"] == pytest.approx({"x": left, "y": top, "w": 3 * 32 / 0.5, "h": 2 * 32 / 0.25})
