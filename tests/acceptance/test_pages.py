"""The node's pages in a browser: for everybody, at each width, in both colours, by the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from datetime import timedelta
from importlib.resources import files
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page

from patchclip_node.bootstrap.common import open_spool
from patchclip_node.domain.accounts import Account, Role
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.variants import STANDARD_VARIANTS
from patchclip_node.domain.verdicts import VerdictKind
from patchclip_node.services import passwords
from patchclip_node.services.analyse import StudyAnalysis
from patchclip_node.services.analyse.outcome import FinishedStudy
from tests.peers.browser import chromium
from tests.peers.node import Node, new_node
from tests.peers.processes import listens, wait_until
from tests.support.analysis import (
    FakeDecoder,
    OpacityEverywhere,
    radiograph_file,
    receive,
    result_issuer,
)
from tests.support.fakes import START, make_instance, make_ledger
from tests.support.studies import OWNER, bring_to

pytestmark = pytest.mark.peer("chromium")

PASSWORD: Final = "correct horse battery"
STUDY: Final = "/studies/1.2.3"
PAGES: Final = (
    "/",
    "/?q=doe&sort=name&state=FAILED",
    STUDY,
    "/studies/1.2.1",
    f"{STUDY}/again?how=requeue",
    f"{STUDY}/recall",
    "/queue",
    "/peers",
    "/model",
    "/figures",
    "/audit?of=PAT-1",
    "/accounts",
    "/emergency",
    "/nowhere",
)
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
MOST_BYTES: Final = 300_000
"""Of a page with its style sheets and scripts, without pictures."""
WEIGHT: Final = """
performance.getEntries()
    .filter(one => one.entryType === "navigation" || ["link", "script"].includes(one.initiatorType))
    .reduce((sum, one) => sum + one.decodedBodySize, 0)
"""
"""What a page counts itself: an answer of the page before, which comes late, is not among it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The pages over a study that was analysed and others in some states, with an administrator."""
    made = new_node(tmp_path_factory.mktemp("node"))
    made.settings.data_dir.mkdir()
    ledger, spool = make_ledger(made.settings.data_dir), open_spool(made.settings)
    bring_to(ledger, StudyState.FAILED, "1.2.1")
    bring_to(ledger, StudyState.PARTLY_RETURNED, "1.2.2")
    receive(ledger, spool, radiograph_file(made.folder, "image.dcm"), START)
    ledger.arrivals.close_quiet(START + timedelta(seconds=1), 0)
    leased = ledger.analyses.lease(START, OWNER, 60)
    assert leased is not None
    plan = ResultPlan({"pacs": STANDARD_VARIANTS})
    finished = StudyAnalysis(spool, FakeDecoder(), OpacityEverywhere(), result_issuer(), plan).run(leased, START)
    assert isinstance(finished, FinishedStudy)
    ledger.analyses.finish(leased.study.id, OWNER, START, finished.analysis)
    ledger.accounts.add(Account("administrator", Role.ADMINISTRATOR, passwords.hashed(PASSWORD), START))
    ledger.close()
    with made.running("web"):
        wait_until(lambda: listens(made.settings.web.port), "the pages are served")
        yield made


def log_in(page: Page, node: Node) -> None:
    page.goto(f"http://127.0.0.1:{node.settings.web.port}/login")
    page.locator("input[name=name]:focus").wait_for()  # which it gets with a frame after the page has come
    page.keyboard.type("administrator")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("#live").wait_for()


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_and_no_page_is_wider_or_heavier_than_it_may_be(
    node: Node, browser: Browser, width: int
) -> None:
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 900})
    page, errors = context.new_page(), list[str]()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    log_in(page, node)
    found: list[tuple[str, str, Any]] = []
    for path in PAGES:
        page.goto(f"http://127.0.0.1:{node.settings.web.port}{path}")
        if path == STUDY:
            page.locator(".viewer.on").wait_for()
        assert 0 < page.evaluate(WEIGHT) < MOST_BYTES, path
        page.evaluate(axe)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path}: {wide} px"
        found += violations(page, RULES)
        page.emulate_media(color_scheme="dark")  # which changes colours, and nothing else
        found += violations(page, ["color-contrast"])
        page.emulate_media(color_scheme="light")
    context.close()

    assert found == []
    assert errors == []


def violations(page: Page, rules: list[str]) -> list[tuple[str, str, Any]]:
    """Return what axe-core finds on a page: its address, the rule, and the first place."""
    run = "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})"
    return [(page.url, one["id"], one["nodes"][0]["target"]) for one in page.evaluate(run, rules)["violations"]]


def test_a_study_is_found_windowed_and_analysed_again_by_the_keyboard_alone(node: Node, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    log_in(page, node)
    press_until(page, "#q")
    page.keyboard.type("not there")
    page.get_by_text("No study matches.").wait_for()
    with node.ledger() as ledger:  # rows come while a person types, and take nothing of it
        ledger.arrivals.record(make_instance("1.2.50", patient_name="Later^Come"))
    assert page.locator("#q").input_value() == "not there"
    page.keyboard.press("Control+a")
    page.keyboard.type("later")
    page.get_by_text("Later, Come").wait_for()
    assert page.evaluate("document.activeElement.id") == "q"

    page.goto(f"http://127.0.0.1:{node.settings.web.port}{STUDY}")
    page.locator(".viewer.on").wait_for()
    press_until(page, "canvas")
    shown = [picture(page)]
    for key in ("ArrowRight", "ArrowUp", "i", "m"):
        page.keyboard.press(key)
        shown.append(picture(page))
    assert len(set(shown)) == len(shown)
    for key in ("0", "m"):
        page.keyboard.press(key)
    assert picture(page) == shown[0]

    page.goto(f"http://127.0.0.1:{node.settings.web.port}/studies/1.2.1")
    press_until(page, "text=Analyse again")
    page.keyboard.press("Enter")
    page.get_by_text("Analyse this study again?").wait_for()
    press_until(page, "button[name=how]")
    page.keyboard.press("Enter")
    page.locator(".pill.received").first.wait_for()
    context.close()


def test_a_place_is_corrected_with_the_mouse_and_by_the_keyboard_alone(node: Node, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, errors = context.new_page(), list[str]()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    log_in(page, node)
    page.goto(f"http://127.0.0.1:{node.settings.web.port}{STUDY}")
    page.locator(".viewer.on").wait_for()

    page.locator("[data-draws=corrected]").first.click()
    place = page.locator("canvas").first.bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + place["width"] / 4, place["y"] + place["height"] / 4)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2, steps=3)
    page.mouse.up()
    before = picture(page)
    page.get_by_role("button", name="Keep the box").click()
    page.get_by_text("place corrected, administrator").wait_for()
    assert picture(page) != before  # a kept box is drawn otherwise than one that is being drawn

    press_until(page, "[data-draws=missed]")
    page.keyboard.press("Enter")
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.get_by_text("judged missed, administrator").wait_for()
    assert page.evaluate("document.activeElement.dataset.draws") == "missed"  # where a person was
    context.close()

    with node.ledger() as ledger:
        drawn, typed = (one.said.opinion for one in ledger.verdicts.of_study("1.2.3"))
    rows, columns = 128, 96
    assert drawn.kind is VerdictKind.CORRECTED
    assert (drawn.boxes[0].x / columns, drawn.boxes[0].y / rows) == pytest.approx((0.25, 0.25), abs=0.02)
    assert (drawn.boxes[0].w / columns, drawn.boxes[0].h / rows) == pytest.approx((0.25, 0.25), abs=0.02)
    step = columns / 50  # of each key
    wanted = (0.4 * columns - step, 0.4 * rows - step, 0.2 * columns + step, 0.2 * rows + step)
    assert [astuple(box) for box in typed.boxes] == [pytest.approx(wanted, abs=0.1)]
    assert errors == []


def test_the_servers_picture_is_fetched_only_where_the_canvas_is_not_to_be_had(node: Node, browser: Browser) -> None:
    """It is drawn for each who asks, which takes about as long as all of an analysis beside its model."""
    address, asked = f"http://127.0.0.1:{node.settings.web.port}{STUDY}", list[str]()
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    log_in(page, node)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.locator(".viewer.on").wait_for()
    assert [url for url in asked if "/overlays/" in url] == []

    page.route("**/pixels", lambda route: route.fulfill(status=503, body="the store is away"))
    with page.expect_response("**/overlays/*") as fetched:
        page.goto(address)
    assert fetched.value.ok
    page.get_by_text("the store is away").wait_for()
    page.locator(".viewer img").first.wait_for()
    without_script = browser.new_context(java_script_enabled=False, storage_state=context.storage_state())
    context.close()

    page = without_script.new_page()
    with page.expect_response("**/overlays/*") as fetched:
        page.goto(address)
    assert fetched.value.ok
    without_script.close()


def press_until(page: Page, selector: str) -> None:
    """Press Tab until this has the focus, and make sure that it shows."""
    wanted = page.locator(selector).first
    for _ in range(120):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            outline = wanted.evaluate("element => getComputedStyle(element).outlineStyle")
            assert outline != "none", f"{selector} does not show that it has the focus"
            return
    raise AssertionError(f"Tab never leads to {selector}")


def picture(page: Page) -> str:
    return str(page.locator("canvas").first.evaluate("canvas => canvas.toDataURL()"))
