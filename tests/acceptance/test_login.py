"""The pages in a browser: who logs in sees what the role may see, and other sites get nothing."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from patchclip_node.audit import codes
from patchclip_node.audit.values import Code
from patchclip_node.domain.accounts import Account, Role
from patchclip_node.domain.states import StudyState
from patchclip_node.services import passwords
from patchclip_node.web.access import COOKIE
from tests.peers.browser import chromium, page_of
from tests.peers.node import Node, new_node
from tests.peers.processes import listens, wait_until
from tests.peers.web_site import Site, serving
from tests.support.fakes import START, make_ledger
from tests.support.studies import bring_to

pytestmark = pytest.mark.peer("chromium")

PASSWORD = "correct horse battery"
SEEN, WORKED_ON, TRAPPED = "1.2.1", "1.2.2", "1.2.4"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The pages alone, over studies that failed, with a viewer and an operator."""
    made = new_node(tmp_path_factory.mktemp("node"))
    made.settings.data_dir.mkdir()
    ledger = make_ledger(made.settings.data_dir)
    for uid in (SEEN, WORKED_ON, TRAPPED):
        bring_to(ledger, StudyState.FAILED, uid)
    for role in (Role.VIEWER, Role.OPERATOR):
        ledger.accounts.add(Account(role.value, role, passwords.hashed(PASSWORD), START))
    ledger.close()
    with made.running("web"):
        wait_until(lambda: listens(made.settings.web.port), "the pages are served")
        yield made


def address(node: Node, path: str) -> str:
    return f"http://127.0.0.1:{node.settings.web.port}{path}"


def log_in(page: Page, node: Node, uid: str, role: Role, password: str = PASSWORD) -> None:
    page.goto(address(node, f"/studies/{uid}"))
    page.get_by_label("Name").fill(role.value)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def state_of(node: Node, uid: str) -> StudyState:
    return next(study.state for study in node.studies() if study.study_instance_uid == uid)


def is_told(node: Node, kind: Code, words: str) -> bool:
    """Tell whether there is a security alert of this kind with these words."""
    with node.ledger() as ledger:
        told = [one.event for one in ledger.audit.pending(0)]
    return any(event.type == kind and words in event.description for event in told)


def make_old(node: Node, page: Page) -> None:
    """Let the session of a page be one that was not used for a day."""
    (token,) = [cookie["value"] for cookie in page.context.cookies() if cookie["name"] == COOKIE]
    with node.ledger() as ledger:
        key = hashlib.sha256(token.encode()).hexdigest()
        session = ledger.sessions.find(key)
        assert session is not None
        ledger.sessions.seen(key, session.seen_at - timedelta(days=1))


def test_a_viewer_sees_a_study_may_change_none_and_is_out_after_a_while(node: Node, browser: Browser) -> None:
    with page_of(browser, 1000, 700) as (page, _):
        log_in(page, node, SEEN, Role.VIEWER, "a wrong password")
        page.get_by_text("the name or the password is wrong").wait_for()
        keep_picture(page, "login.png")
        log_in(page, node, SEEN, Role.VIEWER)
        page.get_by_text(SEEN, exact=True).first.wait_for()
        keep_picture(page, "study-of-a-viewer.png")
        assert page.get_by_role("link", name="Analyse again").count() == 0
        token = page.locator("input[name=token]").first.get_attribute("value") or ""

        form: dict[str, str | float | bool] = {"token": token, "how": "requeue"}
        assert page.context.request.post(address(node, f"/studies/{SEEN}/again"), form=form).status == 403
        (line,) = [line for line in map(json.loads, node.log.splitlines()) if line["event"] == "forbidden"]
        assert (line["account"], line["path"]) == ("viewer", f"/studies/{SEEN}/again")

        make_old(node, page)
        page.reload()
        page.get_by_label("Password").wait_for()
    assert state_of(node, SEEN) is StudyState.FAILED


def test_an_operator_has_a_study_analysed_again(node: Node, browser: Browser) -> None:
    with page_of(browser, 1000, 700) as (page, errors):
        log_in(page, node, WORKED_ON, Role.OPERATOR)
        page.get_by_role("link", name="Analyse again").click()
        page.get_by_role("button", name="Analyse again").click()
        wait_until(lambda: state_of(node, WORKED_ON) is not StudyState.FAILED, "the study is worked on")
        assert errors == []


def test_the_form_of_another_site_takes_no_effect_in_a_browser_that_is_logged_in(
    node: Node, browser: Browser, tmp_path: Path
) -> None:
    target = address(node, f"/studies/{TRAPPED}/again")
    trap = tmp_path / "trap.html"
    trap.write_text(f'<form action="{target}" method="post"><button name="how" value="requeue">win</button></form>')
    with serving(Site({"/trap.html": trap})) as site, page_of(browser, 1000, 700) as (page, _):
        log_in(page, node, TRAPPED, Role.OPERATOR)
        page.get_by_role("link", name="Analyse again").wait_for()
        page.goto(f"{site}/trap.html")
        with page.expect_response(target) as answered:
            page.get_by_role("button").click()
        assert answered.value.status == 403
    assert state_of(node, TRAPPED) is StudyState.FAILED
    wait_until(lambda: is_told(node, codes.USE_OF_RESTRICTED_FUNCTION, site), "the trail tells of it", 30)


def test_a_foreign_name_of_the_node_is_refused(node: Node) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.settings.web.port, timeout=30)
    connection.request("GET", "/", headers={"Host": "evil.example"})

    assert connection.getresponse().status == 421
    connection.close()
    wait_until(lambda: is_told(node, codes.NODE_AUTHENTICATION, "evil.example"), "the trail tells of it", 30)


def keep_picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PATCHCLIP_TEST_PICTURES"):
        page.screenshot(path=Path(folder) / name)
