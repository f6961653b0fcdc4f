"""Makes the pictures of docs/radiologist.md in which viewers show results: the same study as in tools/make_pictures.py.

    python -m tools.make_viewer_pictures [MODEL [OUT]]

MODEL and OUT as there. Needs real viewers: OHIF with Orthanc and its DICOMweb, dwv, both in Chromium, and DICOMscope on
a screen in memory (Xvfb). It says what is missing, and how to get it. Look at each picture before you publish it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser
from pydicom import dcmread

from tests.conftest import PEERS, missing_programs
from tests.peers import dicomscope
from tests.peers.browser import chromium, page_of
from tests.peers.dwv import Dwv, dwv_site
from tests.peers.ohif import Ohif, ohif_site
from tests.peers.orthanc import orthanc
from tests.peers.web_site import serving
from tests.support.pictures import Picture, of_colour, tile_of
from tools.make_pictures import PICTURES, analyse, record, sample_that_tells_most, weights_of, write_small

VIEWERS = ("chromium", "orthanc", "ohif", "dwv", "dicomscope")
MADE = {"ohif-results.jpg": 1240, "dwv-results.jpg": 1000, "dicomscope-annotations.jpg": 1006}
"""Picture -> its longest side in pixels."""
TRIALS = 5
"""At times OHIF draws no outline of a report (docs/decisions/viewers.md)."""
_OUTLINE_RGB = (0, 255, 0)


def main(model: str | None = None, out: str | Path = PICTURES) -> None:
    """Analyse the sample, show it in each viewer, and keep what is seen."""
    if missing := [peer for peer in VIEWERS if missing_programs(peer)]:
        raise SystemExit("\n".join(f"{peer} is not installed: {PEERS[peer][1]}" for peer in missing))
    pictures = Path(out)
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = sample_that_tells_most(folder / "all", model)
        results = folder / "results"
        analyse([sample], results, "pictures", model)
        report, regions, annotations, picture = (
            results / f"{sample.stem}-{kind}.dcm" for kind in ("sr", "seg", "gsps", "sc")
        )
        if not regions.exists():
            raise SystemExit("the model marks no place in any sample: viewers have nothing to show")
        plain = uncompressed(sample, results / sample.name)
        with chromium() as browser:
            seen = [
                in_ohif(browser, folder / "orthanc", [sample, regions, report, picture]),
                in_dwv(browser, results, [[plain], [plain, regions], [plain, report], [picture]]),
            ]
        seen += dicomscope.presented(folder / "dicomscope", [(plain, annotations)])
        for shown, (file, longest_side_px) in zip(seen, MADE.items(), strict=True):
            write_small(Image.fromarray(shown), pictures / file, longest_side_px)
        record(pictures, MADE, weights_of(results))


def uncompressed(image: Path, copy: Path) -> Path:
    """Write an image as dwv and DICOMscope read it: neither decodes JPEG-LS."""
    dataset = dcmread(image)
    dataset.decompress(generate_instance_uid=False)
    dataset.save_as(copy)
    return copy


def in_ohif(browser: Browser, store: Path, files: list[Path]) -> Picture:
    """Show the image alone, under its segmentation, under its report, and the picture in OHIF, each in a tile."""
    with (
        orthanc(store, dicomweb=True) as archive,
        serving(ohif_site(archive)) as url,
        page_of(browser, 2400, 1426) as (page, errors),
    ):
        for file in files:
            archive.keep(file)
        for _ in range(TRIALS):
            ohif = Ohif(page, url, errors)
            ohif.open(str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID))
            ohif.show("AI regions", 1)
            ohif.show("AI findings (research)", 2)
            ohif.show("AI overlay", 3)
            ohif.seen()  # what is opened comes by and by, the segmentation too
            ohif.hide_segmentations(0)
            seen = ohif.seen()
            if of_colour(tile_of(seen, 2), _OUTLINE_RGB).any():
                return seen
    raise SystemExit(f"OHIF drew no outline of the report in {TRIALS} trials: run it again")


def in_dwv(browser: Browser, folder: Path, tiles: list[list[Path]]) -> Picture:
    """Show files over each other in dwv, tile by tile."""
    with serving(dwv_site(folder)) as url, page_of(browser, 1800, 1400) as (page, _):
        dwv = Dwv(page, url)
        dwv.open()
        for files in tiles:
            if error := dwv.show(files):
                raise SystemExit(f"dwv does not show {', '.join(file.name for file in files)}: {error}")
        return dwv.seen()


if __name__ == "__main__":
    main(*sys.argv[1:])
