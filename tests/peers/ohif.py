"""OHIF as a radiologist meets it: a study from Orthanc, each series opened by a double-click on its thumbnail."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Locator, Page

from tests.peers.browser import settled_picture_of
from tests.peers.orthanc import Orthanc
from tests.peers.web_site import Site
from tests.support.pictures import Picture

PACKAGE = Path(sys.prefix) / "share" / "viewers" / "@ohif" / "app"
_CONFIG = Path(__file__).parents[2] / "docker" / "ohif" / "app-config.js"
_NO_TOUR = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))"


def ohif_site(archive: Orthanc) -> Site:
    """OHIF's build, with the archive's DICOMweb on the same origin."""
    dist = PACKAGE / "dist"
    places = {"/": dist, "/app-config.js": _CONFIG}
    return Site(places, single_page=dist / "index.html", archive_port=archive.http_port)


@dataclass(frozen=True)
class Ohif:
    """A browser's page with OHIF in it; the viewer is divided into two rows of two tiles."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)

    def open(self, study_instance_uid: str) -> None:
        """Open a study; its image is shown in the first tile."""
        self.errors.clear()
        self.page.add_init_script(_NO_TOUR)
        self.page.goto(f"{self.url}/viewer?StudyInstanceUIDs={study_instance_uid}", wait_until="commit")
        self.page.locator("canvas.cornerstone-canvas").first.wait_for(timeout=120_000)
        self._thumbnails.nth(1).wait_for()
        self.page.evaluate("window.commandsManager.run('setViewportGridLayout', {numRows: 2, numCols: 2})")
        self.page.wait_for_function("window.services.viewportGridService.getState().viewports.size == 4")

    def show(self, description: str, tile: int) -> None:
        """Open the series of this description in a tile, counted by rows from 0."""
        self._tiles.nth(tile).click(position={"x": 5, "y": 5})
        self._thumbnails.filter(has_text=description).dblclick()

    def hide_segmentations(self, tile: int) -> None:
        """Take off a tile the segmentations that OHIF lays over each tile of their image."""
        self.page.evaluate(
            """tile => window.services.segmentationService.clearSegmentationRepresentations(
                [...window.services.viewportGridService.getState().viewports.keys()][tile])""",
            tile,
        )

    def seen(self) -> Picture:
        """Return all tiles as they are seen, once nothing changes any more."""
        return settled_picture_of(self.page.locator('[data-cy="viewport-grid"]'))

    @property
    def text(self) -> str:
        """All words in the tiles."""
        return self.page.locator('[data-cy="viewport-grid"]').inner_text()

    @property
    def descriptions(self) -> Sequence[str]:
        """What the study browser lists."""
        return self._thumbnails.all_inner_texts()

    @property
    def _thumbnails(self) -> Locator:
        return self.page.locator('[data-cy^="study-browser-thumbnail"]')

    @property
    def _tiles(self) -> Locator:
        return self.page.locator('[data-cy="viewport-pane"]')
