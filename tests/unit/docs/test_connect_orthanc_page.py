"""docs/how-to/connect-orthanc.md says to Orthanc what the box says, and to a node what it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from patchclip_node.settings import read_settings
from tests.support.docs import ROOT, fenced, page
from tools.make_orthanc_pictures import PAGE, node_configuration, orthanc_configuration

(ORTHANC,) = (json.loads(block) for block in fenced(page(PAGE), "json"))
BOX = json.loads((ROOT / "docker/orthanc/orthanc.json").read_text())


@pytest.mark.parametrize("key", sorted(ORTHANC.keys() - {"DicomModalities", "LuaScripts"}))
def test_it_says_to_orthanc_what_the_box_says(key: str) -> None:
    assert ORTHANC[key] == BOX[key]


def test_the_scripts_are_those_of_the_box_in_their_order(tmp_path: Path) -> None:
    assert [Path(one).name for one in ORTHANC["LuaScripts"]] == [Path(one).name for one in BOX["LuaScripts"]]
    assert all(Path(one).is_file() for one in orthanc_configuration(tmp_path, 11112)["LuaScripts"])


def test_orthanc_and_the_node_name_each_other(tmp_path: Path) -> None:
    written = tmp_path / "node.yaml"
    written.write_text(yaml.safe_dump(node_configuration(tmp_path, ORTHANC["DicomModalities"]["patchclip"][2], 4242)))
    settings = read_settings(written)
    (archive,) = settings.destinations

    assert [settings.ae_title, archive.host, settings.port] == ORTHANC["DicomModalities"]["patchclip"]
    assert (archive.ae_title, archive.port) == (ORTHANC["DicomAet"], ORTHANC["DicomPort"])
