"""What radiologists' viewers show of the results: overlays are measured in screenshots, against the bright rectangle.

The pictures are kept in the folder that PATCHCLIP_TEST_PICTURES names. docs/decisions/viewers.md is their summary.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser
from pydicom import Dataset, dcmread
from pydicom.uid import JPEG2000, JPEGLSLossless, JPEGLSNearLossless

from patchclip_core.values.definitions import load_findings
from patchclip_node.domain.variants import ResultKind
from patchclip_node.results.phrases import Phrases
from tests.peers.browser import chromium, page_of
from tests.peers.dwv import Dwv, dwv_site
from tests.peers.ohif import Ohif, ohif_site
from tests.peers.orthanc import Orthanc, orthanc
from tests.peers.web_site import serving
from tests.support.marked import MarkedStudy, Says, analysed_study, as_a_study, radiograph_with_rectangle
from tests.support.pictures import (
    Box,
    Picture,
    box_of,
    brightest_box,
    count_outside,
    edges_covered,
    fitted,
    inside,
    likeness,
    of_colour,
    tile_of,
)
from tests.support.synthetic import DX

ORANGE = load_findings()["opacity"].colour_rgb
GREEN, YELLOW = (0, 255, 0), (255, 255, 0)
OUTLINE = {"ohif": GREEN, "dwv": YELLOW}
"""The colour in which a viewer draws what a report outlines; it is the viewer's own."""

STUDIES: dict[str, dict[str, Any]] = {
    "CR, MONOCHROME2, portrait, 12 bit": {"Rows": 900, "Columns": 700},
    "DX, MONOCHROME1, landscape, 8 bit, without spacing": {
        "SOPClassUID": DX,
        "Modality": "DX",
        "PhotometricInterpretation": "MONOCHROME1",
        "Rows": 600,
        "Columns": 800,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelSpacing": None,
        "ImagerPixelSpacing": None,
    },
    "DX, MONOCHROME2, landscape, 16 bit": {
        "SOPClassUID": DX,
        "Modality": "DX",
        "Rows": 640,
        "Columns": 800,
        "BitsStored": 16,
        "HighBit": 15,
    },
    "CR, MONOCHROME1, portrait, 10 bit, without spacing": {
        "PhotometricInterpretation": "MONOCHROME1",
        "Rows": 900,
        "Columns": 700,
        "BitsStored": 10,
        "HighBit": 9,
        "PixelSpacing": None,
        "ImagerPixelSpacing": None,
    },
}

VIEWERS = [
    pytest.param("ohif", marks=[pytest.mark.peer("ohif"), pytest.mark.peer("orthanc")]),
    pytest.param("dwv", marks=pytest.mark.peer("dwv")),
]

pytestmark = pytest.mark.peer("chromium")


WITHOUT_A_REGION: dict[str, Mapping[str, list[tuple[int, int, int, int]]]] = {
    "nothing present": {},
    "present without a place": {"edema": [], "cardiomegaly": []},
}
_ALIKE = 0.96
"""Least likeness of a picture and its screenshot: a viewer writes over it, and another study's picture has less."""
PLACES = {"opacity": [(3, 3, 3, 3)], "edema": [(8, 7, 3, 3)]}
REAL = {path.stem: path for path in sorted(Path(os.environ.get("PATCHCLIP_TEST_DATA", "-"), "dicom").glob("*.dcm"))}


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a viewer showed of a study.

    tiles: the image alone, under its segmentation, under its report, and the picture. errors: what the viewer said.
    """

    tiles: tuple[Picture, ...]
    errors: tuple[str, ...] = ()

    @property
    def image(self) -> Picture:
        return self.tiles[0]

    @property
    def segmentation(self) -> Picture:
        return self.tiles[1]

    @property
    def report(self) -> Picture:
        return self.tiles[2]

    @property
    def picture(self) -> Picture:
        return self.tiles[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


Studies = Callable[[str], MarkedStudy]


@pytest.fixture(scope="module")
def studies(folder: Path) -> Studies:
    """Make a study, once: studies(name)."""

    @cache
    def make(name: str) -> MarkedStudy:
        if name in STUDIES:
            source, rectangle = radiograph_with_rectangle(**STUDIES[name])
            return analysed_study(folder, _written(source, folder), rectangle)
        if name in WITHOUT_A_REGION:
            source, _ = radiograph_with_rectangle(bright=False, Rows=900, Columns=700)
            return analysed_study(folder, _written(source, folder), analyzer=Says(WITHOUT_A_REGION[name]))
        return analysed_study(folder, _written(as_a_study(REAL[name]), folder), analyzer=Says(PLACES))

    return make


def _written(source: Dataset, folder: Path) -> Path:
    path = folder / f"{source.SOPInstanceUID}.dcm"
    source.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc") / "orthanc", dicomweb=True) as running:
        yield running


@pytest.fixture(scope="module")
def ohif(browser: Browser, archive: Orthanc) -> Iterator[Ohif]:
    with serving(ohif_site(archive)) as url, page_of(browser, 1200, 860) as (page, errors):
        yield Ohif(page, url, errors)


@pytest.fixture(scope="module")
def dwv(browser: Browser, folder: Path) -> Iterator[Dwv]:
    with serving(dwv_site(folder)) as url, page_of(browser, 1800, 1400) as (page, _):
        yield Dwv(page, url)


Look = Callable[[str, str], Shown]


@pytest.fixture(scope="module")
def look(request: pytest.FixtureRequest, studies: Studies, pictures_dir: Path) -> Look:
    """Show a study in a viewer, once: look(viewer, name of the study)."""

    @cache
    def show(viewer: str, name: str) -> Shown:
        keep = pictures_dir / f"{viewer} {name}.png".replace(",", "").replace(" ", "-")
        if viewer == "dwv":
            return _in_dwv(request.getfixturevalue("dwv"), studies(name), keep)
        return _in_ohif(request.getfixturevalue("ohif"), request.getfixturevalue("archive"), studies(name), keep)

    return show


def _in_ohif(ohif: Ohif, archive: Orthanc, study: MarkedStudy, keep: Path) -> Shown:
    for file in study.files:
        archive.keep(file)
    ohif.open(study.uid)
    alone = ohif.seen()
    ohif.show("AI regions", 1)
    ohif.show("AI findings (research)", 2)
    ohif.show("AI overlay", 3)
    seen = ohif.seen()
    Image.fromarray(seen).save(keep)
    return Shown((tile_of(alone, 0), *(tile_of(seen, number) for number in (1, 2, 3))), tuple(ohif.errors))


def _in_dwv(dwv: Dwv, study: MarkedStudy, keep: Path) -> Shown:
    dwv.open()
    objects = study.objects
    tiles = [
        [study.source],
        [study.source, objects[ResultKind.SEG]],
        [study.source, objects[ResultKind.SR]],
        [objects[ResultKind.SC]],
    ]
    errors = [error for error in map(dwv.show, tiles) if error]
    seen = dwv.seen()
    Image.fromarray(seen).save(keep)
    return Shown(tuple(tile_of(seen, number) for number in range(4)), tuple(errors))


def on_screen(study: MarkedStudy, tile: Picture) -> tuple[Box, float, float]:
    """Return where the bright rectangle is seen, and half a patch across and down, a pixel's edge added, in pixels."""
    assert study.rectangle is not None
    box = brightest_box(tile)
    across, down = study.half_a_patch_px
    return box, across * box.width / study.rectangle.width + 1.5, down * box.height / study.rectangle.height + 1.5


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_viewer_shows_the_image_bright_where_it_is_bright(
    viewer: str, name: str, look: Look, studies: Studies
) -> None:
    shown, study = look(viewer, name), studies(name)

    assert study.rectangle is not None
    factor, x, y = fitted(*_size(study), shown.image)
    assert brightest_box(shown.image).distance(study.rectangle.scaled(factor, x, y)) <= (1.5, 1.5)
    assert shown.errors == ()


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_viewer_covers_the_finding_with_its_segment_and_nothing_else(
    viewer: str, name: str, look: Look, studies: Studies
) -> None:
    shown = look(viewer, name)
    box, across, down = on_screen(studies(name), shown.image)

    covered = of_colour(shown.segmentation, ORANGE)

    assert box_of(covered).distance(box) <= (across, down)
    assert inside(covered, box.grown(-across, -down)).mean() > 0.99
    assert count_outside(covered, box.grown(across, down)) == 0
    assert not of_colour(shown.image, ORANGE).any()


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_viewer_outlines_the_finding_as_the_report_says(viewer: str, name: str, look: Look, studies: Studies) -> None:
    shown = look(viewer, name)
    box, across, down = on_screen(studies(name), shown.image)

    outline = of_colour(shown.report, OUTLINE[viewer])

    assert edges_covered(outline, box, across, down) > 0.95
    assert not inside(outline, box.grown(-across - 2, -down - 2)).any()
    # A viewer may write its label to the right.
    beyond = box.grown(across, down)
    assert count_outside(outline, Box(beyond.left, beyond.top, shown.report.shape[1], shown.report.shape[0])) == 0


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_viewer_shows_the_picture_with_the_finding_outlined(
    viewer: str, name: str, look: Look, studies: Studies
) -> None:
    shown = look(viewer, name)
    box, across, down = on_screen(studies(name), shown.picture)

    outline = of_colour(shown.picture, ORANGE)

    assert edges_covered(outline, box, across, down) > 0.95
    assert not inside(outline, box.grown(-across - 3, -down - 3)).any()
    # The label stands above the finding, the legend to the right of the image.
    beyond = box.grown(across, down)
    assert not inside(outline, Box(0, 0, beyond.left, shown.picture.shape[0])).any()
    assert not inside(outline, Box(beyond.left, beyond.bottom, beyond.right, shown.picture.shape[0])).any()


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("viewer", VIEWERS)
def test_a_viewer_shows_the_results_of_real_files(viewer: str, name: str, look: Look, studies: Studies) -> None:
    shown, study = look(viewer, name), studies(name)

    assert likeness(shown.picture, dcmread(study.objects[ResultKind.SC])) > _ALIKE
    if not _can_show(viewer, dcmread(study.source, stop_before_pixels=True)):
        assert shown.image.max(axis=2).mean() < 10  # nothing but its own words: no result could lie over it
        return
    factor, x, y = fitted(*_size(study), shown.image)
    across, down = (half * factor + 1.5 for half in study.half_a_patch_px)
    outlines = of_colour(shown.report, GREEN) | of_colour(shown.report, YELLOW)
    for key, (place,) in study.places.items():
        box, colour = place.scaled(factor, x, y), load_findings()[key].colour_rgb
        covered = of_colour(shown.segmentation, colour)
        assert inside(covered, box.grown(-across, -down)).mean() > 0.9
        assert inside(covered, box.grown(across, down)).sum() == covered.sum()
        assert edges_covered(outlines, box, across, down) > 0.95
    assert not of_colour(shown.image, ORANGE).any()


def _can_show(viewer: str, source: Dataset) -> bool:
    """Tell whether a viewer shows the image itself.

    OHIF shows none whose Pixel Spacing is zero, dwv decodes neither JPEG-LS nor the one JPEG 2000 file of 15 bits.
    """
    if viewer == "ohif":
        return "PixelSpacing" not in source or min(source.PixelSpacing) > 0
    return source.file_meta.TransferSyntaxUID not in {JPEGLSLossless, JPEGLSNearLossless, JPEG2000}


@pytest.mark.peer("ohif")
@pytest.mark.peer("orthanc")
@pytest.mark.parametrize("name", WITHOUT_A_REGION)
def test_ohif_shows_a_report_without_a_region_as_a_page(
    name: str, ohif: Ohif, archive: Orthanc, studies: Studies, pictures_dir: Path
) -> None:
    study = studies(name)
    for file in study.files:
        archive.keep(file)

    ohif.open(study.uid)
    ohif.show("AI findings (research)", 2)
    ohif.show("AI findings as text", 3)
    seen = ohif.seen()

    Image.fromarray(seen).save(pictures_dir / f"ohif {name}.png".replace(" ", "-"))
    for finding in study.findings:
        line = Phrases(definitions=load_findings()).statement(finding).headline
        assert ohif.text.count(line) == 2
    assert ohif.errors == []
    assert ResultKind.SEG not in study.objects
    assert not any("SEG" in description for description in ohif.descriptions)


def _size(study: MarkedStudy) -> tuple[int, int]:
    geometry = study.findings.geometry
    return geometry.source_rows, geometry.source_columns
