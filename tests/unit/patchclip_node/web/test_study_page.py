"""The study page: pixels and maps for its canvas, what can be loaded, what can be done, ways to it and on."""

from __future__ import annotations

import json
import re

import numpy as np
import pydicom
import pytest
from pydicom.filebase import DicomBytesIO

from patchclip_core.errors import UnreadableImageError
from patchclip_core.values.results import Radiograph
from patchclip_node.domain.states import StudyState
from patchclip_node.web.pictures import LONGEST_SIDE_PX, canvas_picture
from tests.support.studies import bring_to
from tests.unit.patchclip_node.web.test_web import Site, site

__all__ = ["site"]
PAGE = "/studies/1.2.3"


def pixels_address(page: str) -> str:
    (address,) = re.findall(r'data-pixels="([^"]+)"', page)
    return str(address)


def test_the_canvas_gets_the_grey_values_and_the_maps(site: Site) -> None:
    site.analyse()
    page = site.browser.get(PAGE).text

    answer = site.browser.get(pixels_address(page))
    maps = site.browser.get(f"{PAGE}/1/maps/0.json").json()

    rows, columns = map(int, answer.headers["x-image-size"].split())
    values = np.frombuffer(answer.content, "<u2").reshape(rows, columns)
    assert (rows, columns) == (128, 96)
    assert set(np.unique(values)) == {round(0.2 * 65_535), 65_535}
    assert "opacity" in maps["maps"]
    assert 'value="opacity"' in page


def test_a_study_that_was_not_analysed_shows_its_images_as_well(site: Site) -> None:
    study = bring_to(site.ledger, StudyState.REJECTED)
    (image,) = site.ledger.studies.instances(study.study_instance_uid)
    assert image.instance.spool_key is not None
    site.spool.files[image.instance.spool_key] = b"what the decoder makes a radiograph of"
    page = site.browser.get(PAGE).text

    assert "a lateral view" in page
    assert 'class="viewer"' in page
    assert site.browser.get(pixels_address(page)).status_code == 200


def test_an_image_whose_file_is_gone_has_no_canvas(site: Site) -> None:
    bring_to(site.ledger, StudyState.REJECTED)

    assert 'class="viewer"' not in site.browser.get(PAGE).text


def test_a_large_image_is_made_smaller_and_its_pixels_square() -> None:
    pixels = np.linspace(0, 1, 3000 * 1500, dtype=np.float32).reshape(3000, 1500)

    picture = canvas_picture(Radiograph(pixels, pixel_aspect_ratio=0.5))

    assert (picture.rows, picture.columns) == (LONGEST_SIDE_PX, LONGEST_SIDE_PX)


def test_an_image_that_cannot_be_decoded_is_answered_with_its_reason(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Radiograph:
        raise UnreadableImageError("it is broken")

    site.analyse()
    monkeypatch.setattr("tests.support.analysis.FakeDecoder.read", broken)

    answer = site.browser.get(pixels_address(site.browser.get(PAGE).text))

    assert (answer.status_code, "it is broken" in answer.text) == (422, True)


@pytest.mark.parametrize(
    "path", ["images/9.9/pixels", "1/maps/7.json", "2/maps/0.json", "results/9.9", "2/findings.json"]
)
def test_what_is_not_there_is_not_found(site: Site, path: str) -> None:
    site.analyse()

    assert site.browser.get(f"{PAGE}/{path}").status_code == 404


def test_results_and_findings_are_loaded_as_files(site: Site) -> None:
    site.analyse()
    page = site.browser.get(PAGE).text
    uid = re.findall(rf'href="{PAGE}/results/([0-9.]+)"', page)[0]

    result = site.browser.get(f"{PAGE}/results/{uid}")
    findings = site.browser.get(f"{PAGE}/1/findings.json")

    assert pydicom.dcmread(DicomBytesIO(result.content)).SOPInstanceUID == uid
    assert re.fullmatch(r'attachment; filename="[a-z_]+-[0-9.]+\.dcm"', result.headers["content-disposition"])
    document = json.loads(findings.content)
    assert document["images"][0]["findings"][0]["state"]
    assert "_key" not in findings.text.replace("overlay_keys", "")
    exported = [one.event for one in site.ledger.audit.pending(0) if one.event.id.meaning == "Export"]
    assert len(exported) == 2


def test_an_act_is_offered_only_where_it_can_be_done(site: Site) -> None:
    bring_to(site.ledger, StudyState.RECEIVED)

    assert "again?how=" not in site.browser.get(PAGE).text  # without an account it may not be done


def test_a_study_leads_to_the_viewer_of_the_settings(site: Site) -> None:
    site.analyse()

    assert 'href="https://viewer.example/?study=1.2.3"' in site.browser.get(PAGE).text


@pytest.mark.parametrize(
    ("query", "status", "target"),
    [
        ("study=1.2.3", 303, "/studies/1.2.3"),
        ("accession=A-7", 303, "/studies/1.2.3"),
        ("accession=A-", 404, None),
        ("accession=nothing", 404, None),
        ("study=9.9", 404, None),
        ("", 400, None),
        ("study=1.2.3&accession=A-7", 400, None),
    ],
)
def test_other_systems_link_to_a_study(site: Site, query: str, status: int, target: str | None) -> None:
    site.analyse(AccessionNumber="A-7")

    answer = site.browser.get(f"/open?{query}", follow_redirects=False)

    assert (answer.status_code, answer.headers.get("location")) == (status, target)


def test_an_order_with_several_studies_leads_to_the_list(site: Site) -> None:
    for uid in ("1.2.3", "1.2.4"):
        bring_to(site.ledger, StudyState.RECEIVING, uid)
    (accession,) = {one.accession_number for one in site.ledger.studies.find()}

    answer = site.browser.get(f"/open?accession={accession}", follow_redirects=False)

    assert answer.headers["location"] == f"/?q={accession}"


def test_no_page_has_a_script_in_it_or_a_style(site: Site) -> None:
    site.analyse()

    for path in ("/", PAGE, "/queue", "/peers", "/model", "/figures"):
        page = site.browser.get(path).text
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=|hx-on", page), path


def test_a_verdict_and_its_finding_are_said_in_the_language_of_the_browser(site: Site) -> None:
    site.analyse()

    german = site.browser.get(PAGE, headers={"accept-language": "de-DE"})

    assert german.headers["content-language"] == "de"
    assert '<html lang="de">' in german.text
    assert "vorhanden" in german.text
    assert "lung opacity" not in german.text
