"""Verdicts on the study page: who may give them, what fits what was found, and that none is ever overwritten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from patchclip_core.values.results import FindingState
from patchclip_node.domain.accounts import Role
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.variants import STANDARD_VARIANTS
from patchclip_node.domain.verdicts import Box, VerdictKind, VerdictSource, that_count
from patchclip_node.services.analyse import AnalysisService, StudyAnalysis
from patchclip_node.services.study_summary import FindingSummary, read_summary
from tests.support.analysis import FakeDecoder, OpacityEverywhere, radiograph_file, receive, result_issuer
from tests.support.fakes import MemorySpool
from tests.support.studies import OWNER, POLICY
from tests.unit.patchclip_node.web.test_access import Site, new_site, site

__all__ = ["new_site", "site"]
UID = "1.2.77"
PAGE = f"/studies/{UID}"
BOXES = "[[10, 20, 30, 40.5]]"


@pytest.fixture
def analysed(site: Site, tmp_path: Path) -> Site:
    """A study with an opacity everywhere, and an operator who looks at it."""
    spool = MemorySpool(tmp_path / "spool")
    receive(site.ledger, spool, radiograph_file(tmp_path, "image.dcm", UID), site.clock.now())
    site.ledger.arrivals.close_quiet(site.clock.now(), 0)
    analysis = StudyAnalysis(
        spool, FakeDecoder(), OpacityEverywhere(), result_issuer(), ResultPlan({"pacs": STANDARD_VARIANTS})
    )
    assert AnalysisService(site.ledger.analyses, site.ledger.recalls, analysis, site.clock, POLICY, site.clock).run_one(
        OWNER
    )
    site.log_in(Role.OPERATOR)
    return site


def image_of(site: Site) -> str:
    return summary_of(site)[0]


def summary_of(site: Site) -> tuple[str, dict[str, FindingSummary]]:
    summary = read_summary(site.ledger.studies.revisions(UID)[-1].summary_json)
    assert summary is not None
    (image,) = summary.images
    return image.sop_instance_uid, {one.key: one for one in image.findings}


def say(site: Site, said: str, boxes: str = "", **changes: str) -> int:
    form = {"token": site.form_token(), "revision": "1", "image": image_of(site), "said": said, "boxes": boxes}
    return site.browser.post(f"{PAGE}/verdicts", data=form | changes, follow_redirects=False).status_code


def test_each_verdict_is_kept_with_who_when_which_model_and_source_and_the_last_counts(analysed: Site) -> None:
    assert say(analysed, "accepted:opacity") == 303
    analysed.clock.advance(60)
    assert say(analysed, "corrected:opacity", BOXES) == 303

    first, second = analysed.ledger.verdicts.of_study(UID)

    assert (first.said.opinion.kind, second.said.opinion.kind) == (VerdictKind.ACCEPTED, VerdictKind.CORRECTED)
    assert second.said.opinion.boxes == (Box(10, 20, 30, 40.5),)
    assert (second.said.by, second.said.source, second.said.was_found) == ("operator", VerdictSource.PAGE, True)
    assert second.at > first.at
    summary = read_summary(analysed.ledger.studies.revisions(UID)[-1].summary_json)
    assert summary is not None
    assert second.said.weights_digest == summary.model.weights_digest
    assert that_count([second, first])[image_of(analysed), "opacity"] == second
    page = analysed.browser.get(PAGE).text
    assert "place corrected, operator" in page
    assert 'data-boxes="[[10.0, 20.0, 30.0, 40.5]]"' in page


def test_each_verdict_is_told_to_the_audit_trail(analysed: Site) -> None:
    say(analysed, "rejected:opacity")

    acts = [
        value
        for one in analysed.ledger.audit.pending(0)
        for subject in one.event.objects
        for name, value in subject.details
        if name == "act"
    ]
    assert acts == [f"verdict: opacity rejected, image {image_of(analysed)}, by page"]


@pytest.mark.parametrize(
    ("said", "boxes"),
    [
        ("missed:opacity", ""),  # it was found
        ("corrected:opacity", ""),  # without its place
        ("corrected:opacity", "[[1, 2, 3]]"),
        ("corrected:opacity", "[[90, 20, 30, 40]]"),  # beyond the right border: the image is 96 px wide
        ("corrected:opacity", "[[10, 20, 1, 40]]"),
        ("corrected:opacity", "[[NaN, 20, 10, 40]]"),
        ("corrected:opacity", "[[1e999, 20, 10, 40]]"),
        ("corrected:opacity", "nonsense"),
        ("corrected:opacity", f"[{', '.join(['[10, 20, 30, 40]'] * 21)}]"),
        ("accepted:opacity", BOXES),
        ("accepted:unheard_of", ""),
        ("praised:opacity", ""),
        ("accepted", ""),
    ],
)
def test_what_does_not_fit_what_was_found_is_refused_and_nothing_is_kept(analysed: Site, said: str, boxes: str) -> None:
    assert say(analysed, said, boxes) == 400
    assert analysed.ledger.verdicts.of_study(UID) == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"revision": "2"}, 404), ({"revision": "x"}, 400), ({"image": "9.9"}, 400), ({"token": "0" * 64}, 403)],
)
def test_a_verdict_names_an_image_and_a_revision_that_are_there_from_a_form_of_the_session(
    analysed: Site, changes: dict[str, str], status: int
) -> None:
    assert say(analysed, "accepted:opacity", **changes) == status
    assert analysed.ledger.verdicts.of_study(UID) == []


def test_what_the_node_did_not_find_can_be_missed_with_and_without_a_place(analysed: Site) -> None:
    _, findings = summary_of(analysed)
    (other, *_) = [key for key, one in findings.items() if one.state is not FindingState.PRESENT]

    assert say(analysed, f"missed:{other}") == 303
    assert say(analysed, f"missed:{other}", BOXES) == 303
    assert say(analysed, f"rejected:{other}") == 400

    (found,) = [one for one in analysed.ledger.verdicts.agreement() if one.finding == other]
    assert (found.number, found.reader_only, found.sensitivity) == (1, 1, 0.0)


def test_who_may_only_look_sees_verdicts_and_no_buttons(analysed: Site) -> None:
    say(analysed, "accepted:opacity")
    operators = analysed.browser.get(PAGE).text
    assert re.search(r'value="accepted:opacity"[^>]* aria-pressed="true"', operators)

    reader = TestClient(analysed.app)
    other = Site(analysed.ledger, analysed.clock, analysed.app, reader)
    other.log_in(Role.VIEWER)

    page = reader.get(PAGE).text
    assert "judged right, operator" in page
    assert 'name="said"' not in page
    assert say(other, "rejected:opacity") == 403


def test_the_figures_say_how_far_node_and_readers_agree(analysed: Site) -> None:
    assert "Agreement with readers" not in analysed.browser.get("/figures").text
    say(analysed, "rejected:opacity")
    say(analysed, "missed:edema")

    page = analysed.browser.get("/figures").text

    assert "Agreement with readers" in page
    assert re.search(r"lung opacity</td><td[^>]*>1</td>", page)
    assert "0.00" in page
