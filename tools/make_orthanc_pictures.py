"""Makes the pictures of docs/how-to/connect-orthanc.md: Orthanc and a node, configured as the page says, on free ports.

    python -m tools.make_orthanc_pictures [OUT]

Needs Orthanc, DCMTK and Chromium. OUT: default: docs/pictures.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Page
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from patchclip_node.ports.result_sender import Destination
from tests.peers.archive import COMPREHENSIVE_SR, SEGMENTATION
from tests.peers.browser import chromium, page_of
from tests.peers.node import Node
from tests.peers.orthanc import Orthanc
from tests.peers.processes import free_port, program, wait_until
from tests.support.docs import ROOT, fenced, page

PAGE = "docs/how-to/connect-orthanc.md"
PICTURES = ROOT / "docs" / "pictures"
RESULTS = {COMPREHENSIVE_SR, SEGMENTATION, str(SecondaryCaptureImageStorage)}


def orthanc_configuration(folder: Path, node_port: int) -> dict[str, Any]:
    """Return what the page says, for a folder and ports of this machine."""
    (block,) = fenced(page(PAGE), "json")
    said: dict[str, Any] = json.loads(block)
    title, host, _ = said["DicomModalities"]["patchclip"]
    scripts = [str(ROOT / "docker" / "orthanc" / Path(script).name) for script in said["LuaScripts"]]
    here = {"StorageDirectory": str(folder), "IndexDirectory": str(folder), "RemoteAccessAllowed": False}
    return {
        **said,
        **here,
        "DicomPort": free_port(),
        "HttpPort": free_port(),
        "AuthenticationEnabled": False,
        "LuaScripts": scripts,
        "DicomModalities": {"patchclip": [title, host, node_port]},
    }


def node_configuration(folder: Path, node_port: int, archive_port: int) -> dict[str, Any]:
    """Return what the page says, likewise."""
    (block,) = fenced(page(PAGE), r"yaml title=\"node.yaml\"")
    said: dict[str, Any] = yaml.safe_load(block)
    (destination,) = said["destinations"]
    return {
        **said,
        "data_dir": str(folder / "data"),
        "host": "127.0.0.1",
        "port": node_port,
        "quiet_s": 1.0,
        "web": {"port": free_port()},
        "destinations": [{**destination, "port": archive_port}],
    }


def main(out: str | Path = PICTURES) -> None:
    """Run both, send the sample to Orthanc, and take the pictures when its results are there."""
    pictures = Path(out)
    with tempfile.TemporaryDirectory() as name:
        folder, node_port = Path(name), free_port()
        orthanc = orthanc_configuration(folder / "store", node_port)
        (folder / "orthanc.json").write_text(json.dumps(orthanc), encoding="utf-8")
        config = folder / "node.yaml"
        config.write_text(yaml.safe_dump(node_configuration(folder, node_port, orthanc["DicomPort"])), encoding="utf-8")
        command = [shutil.which("Orthanc") or "/usr/sbin/Orthanc", str(folder / "orthanc.json")]
        node = Node(folder, node_port, config)
        with program(command, folder / "orthanc.log", port=orthanc["DicomPort"]), node.running():
            archive = Orthanc(
                Destination("pacs", "ORTHANC", "127.0.0.1", orthanc["DicomPort"]), int(orthanc["HttpPort"])
            )
            (line,) = [line.split() for line in fenced(page(PAGE), "sh")[0].splitlines() if line.startswith("storescu")]
            words = [str(orthanc["DicomPort"]) if word == "4242" else word for word in line]
            subprocess.run(words, cwd=ROOT, check=True)
            uid = str(dcmread(ROOT / line[-1], stop_before_pixels=True).StudyInstanceUID)
            wait_until(lambda: set(archive.sop_classes(uid).values()) >= RESULTS, "the archive holds the results", 90)
            take_pictures(archive, pictures)
        node.processes.clear()


def take_pictures(archive: Orthanc, pictures: Path) -> None:
    """Look at the study in Orthanc Explorer."""
    explorer = f"http://127.0.0.1:{archive.http_port}/app/explorer.html"
    (study,) = archive.studies()
    with chromium() as browser, page_of(browser, 1100, 760) as (seen, _):
        seen.goto(f"{explorer}#study?uuid={study}")
        seen.wait_for_selector("#list-series li a")
        seen.wait_for_timeout(500)
        kept(seen, pictures / "orthanc-series.jpg")
        seen.click("#study-store")
        seen.wait_for_selector("text=patchclip")
        seen.wait_for_timeout(500)
        kept(seen, pictures / "orthanc-send.jpg")


def kept(seen: Page, picture: Path) -> None:
    """Keep what is seen."""
    seen.screenshot(path=picture, type="jpeg", quality=85)


if __name__ == "__main__":
    main(*sys.argv[1:])
