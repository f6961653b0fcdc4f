"""Pictures of results show what the shipped model says: made-with.txt, which their makers write, names its weights."""

from __future__ import annotations

import json

from patchclip_node.settings import NodeSettings
from tests.support.docs import ROOT
from tools.make_pictures import PICTURES, RECORD, digest_of, recorded

WITHOUT_RESULTS = {"orthanc-send.jpg", "orthanc-series.jpg"}
"""Orthanc Explorer lists series, and nothing of what they say."""
NAMES = {path.name for path in PICTURES.iterdir()} - WITHOUT_RESULTS - {RECORD}


def test_the_pictures_of_results_show_the_weights_that_are_shipped() -> None:
    card = json.loads((ROOT / "patchclip_core" / "weights" / NodeSettings().model / "card.json").read_text())

    said = {name: weights for name, (weights, _) in recorded(PICTURES).items()}

    assert said == dict.fromkeys(NAMES, card["weights_digest"]), "make pictures viewer-pictures"


def test_no_picture_came_in_another_way() -> None:
    said = {name: itself for name, (_, itself) in recorded(PICTURES).items()}

    assert said == {name: digest_of(PICTURES / name) for name in NAMES}
