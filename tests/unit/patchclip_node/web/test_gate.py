"""Whoever calls the pages by another site's name, or from another site's form, gets nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from patchclip_node.audit import codes
from patchclip_node.audit.values import AuditEvent, Outcome
from patchclip_node.services.audit.alarms import FOREIGN_FORM, FOREIGN_NAME, Alarms
from patchclip_node.web.gate import AllowedHosts, HostGate, SameSiteGate, SecurityHeaders
from tests.support.fakes import FakeClock

changed: list[str] = []
told: list[AuditEvent] = []


def tell(event: AuditEvent, what: str, who: str) -> bool:
    assert (what, who) in {(FOREIGN_NAME, "testclient"), (FOREIGN_FORM, "testclient")}
    told.append(event)
    return True


def change(request: Request) -> Response:
    changed.append(request.method)
    return PlainTextResponse("a patient's name")


@pytest.fixture
def browser() -> Iterator[TestClient]:
    changed.clear()
    told.clear()
    hosts = AllowedHosts.of_node("192.0.2.7", ["pacs.example.org"])
    app = Starlette(
        routes=[Route("/", change, methods=["GET", "POST"])],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(HostGate, hosts=hosts, alarms=Alarms(tell, FakeClock())),
            Middleware(SameSiteGate, alarms=Alarms(tell, FakeClock())),
        ],
    )
    with TestClient(app, base_url="http://localhost:8042") as browser:
        yield browser


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8042", "localhost.", "127.0.0.1:8042", "[::1]:8042", "192.0.2.7", "pacs.example.org:443"],
)
def test_the_names_of_the_node_are_answered(browser: TestClient, host: str) -> None:
    assert browser.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8042",
        "localhost.evil.example",
        "192.0.2.8",
        "127.0.0.1.evil.example",
        "[::2]:8042",
    ],
)
def test_a_foreign_name_reaches_no_page(browser: TestClient, host: str) -> None:
    answer = browser.get("/", headers={"host": host})

    assert answer.status_code == 421
    assert "patient" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert changed == []
    (alert,) = told
    assert (alert.type, alert.outcome) == (codes.NODE_AUTHENTICATION, Outcome.MINOR_FAILURE)
    assert host in alert.description


def test_the_address_that_a_connection_came_to_is_a_name_of_the_node() -> None:
    hosts = AllowedHosts.of_node("0.0.0.0")

    assert hosts.admits("192.0.2.9:8042", "192.0.2.9")
    assert not hosts.admits("192.0.2.10:8042", "192.0.2.9")
    assert not hosts.admits("evil.example", "evil.example")


def test_a_request_without_a_host_is_refused(browser: TestClient) -> None:
    assert browser.get("/", headers={"host": ""}).status_code == 400
    assert [alert.type for alert in told] == [codes.NODE_AUTHENTICATION]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:9999"},
        {"origin": "null"},
        {"sec-fetch-site": "same-origin", "origin": "http://evil.example"},
    ],
)
def test_a_form_of_another_site_takes_no_effect(browser: TestClient, headers: dict[str, str]) -> None:
    assert browser.post("/", headers=headers).status_code == 403
    assert changed == []
    (alert,) = told
    assert (alert.type, alert.outcome) == (codes.USE_OF_RESTRICTED_FUNCTION, Outcome.MINOR_FAILURE)
    assert alert.description.startswith("POST / by a page of another site")


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "http://localhost:8042"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}]
)
def test_a_form_of_the_node_takes_effect(browser: TestClient, headers: dict[str, str]) -> None:
    assert browser.post("/", headers=headers).status_code == 200
    assert (changed, told) == (["POST"], [])
