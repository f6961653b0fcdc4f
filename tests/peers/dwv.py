"""dwv as a library on our own page: four tiles, in each an image and what lies over it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Error, Page

from tests.peers.browser import settled_picture_of
from tests.peers.web_site import Site
from tests.support.pictures import Picture

_PACKAGES = Path(sys.prefix) / "share" / "viewers"
PACKAGE = _PACKAGES / "dwv"


def dwv_site(folder: Path) -> Site:
    """The page with the DICOM files of a folder."""
    dist = PACKAGE / "dist"
    places = {
        "/": Path(__file__).with_name("dwv.html"),
        "/dwv/": dist,
        "/assets/": dist / "assets",  # dwv looks for its decoders beside the page
        "/konva.js": _PACKAGES / "konva" / "konva.min.js",
        "/jszip.js": _PACKAGES / "jszip" / "dist" / "jszip.min.js",
        "/magic-wand.js": _PACKAGES / "magic-wand-tool" / "dist" / "magic-wand.min.js",
        "/files/": folder,
    }
    return Site(places)


@dataclass(frozen=True)
class Dwv:
    """A browser's page with dwv in it."""

    page: Page
    url: str

    def open(self) -> None:
        """Begin with empty tiles."""
        self.page.goto(self.url)
        self.page.wait_for_function("window.show !== undefined")

    def show(self, files: Sequence[Path]) -> str | None:
        """Show files over each other in the next tile; returns why dwv could not, None where it could."""
        try:
            self.page.evaluate("urls => show(urls)", [f"files/{file.name}" for file in files])
        except Error as error:
            return error.message
        return None

    def seen(self) -> Picture:
        """Return all tiles as they are seen, once nothing changes any more."""
        return settled_picture_of(self.page.locator("#tiles"))
