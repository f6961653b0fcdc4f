"""What the section `web.openid` takes, and what it refuses with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from patchclip_node.domain.accounts import Role
from patchclip_node.settings.openid import OpenIdSettings

GOOD: dict[str, Any] = {
    "issuer": "https://login.hospital.example/realms/radiology",
    "client_id": "patchclip",
    "pages_url": "https://node.hospital.example",
    "roles": {"pacs-viewers": "viewer"},
}


def refused(**values: Any) -> str:
    """Return what is said first of the value that is wrong."""
    with pytest.raises(ValidationError) as caught:
        OpenIdSettings(**GOOD | values)
    error, *_ = caught.value.errors()
    (key, *_) = error["loc"]
    assert key in values
    return str(error["msg"])


def test_what_is_needed_is_enough_and_the_rest_is_safe() -> None:
    given = OpenIdSettings(**GOOD)

    assert given.registration.roles.roles == {"pacs-viewers": Role.VIEWER}
    assert set(given.signing_algorithms) == {"RS256", "PS256", "ES256"}
    assert "openid" in given.scopes
    assert given.pages_host == "node.hospital.example"


@pytest.mark.parametrize("key", ["issuer", "client_id", "pages_url", "roles"])
def test_what_is_needed_and_missing_is_named(key: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OpenIdSettings(**{name: value for name, value in GOOD.items() if name != key})

    assert [error["loc"] for error in caught.value.errors()] == [(key,)]


@pytest.mark.parametrize("key", ["issuer", "pages_url"])
@pytest.mark.parametrize(
    "address",
    [
        "login.hospital.example",
        "https://",
        "https:///path",
        "https://anna@login.hospital.example",
        "https://anna:secret@login.hospital.example",
        "https://login.hospital.example?next=x",
        "https://login.hospital.example#part",
    ],
)
def test_what_is_no_address_is_refused(key: str, address: str) -> None:
    assert "is not an address such as https://" in refused(**{key: address})


@pytest.mark.parametrize("key", ["issuer", "pages_url"])
@pytest.mark.parametrize(
    "address",
    [
        "http://login.hospital.example",
        "http://192.0.2.7",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "ftp://localhost",
        "javascript://localhost",
    ],
)
def test_what_goes_in_clear_over_a_network_is_refused(key: str, address: str) -> None:
    assert "is not an https address; http is for loopback alone" in refused(**{key: address})


@pytest.mark.parametrize("key", ["issuer", "pages_url"])
@pytest.mark.parametrize(
    "address", ["http://localhost:8080", "http://127.0.0.1:8080", "http://127.9.9.9", "http://[::1]:1"]
)
def test_loopback_may_be_in_clear(key: str, address: str) -> None:
    assert getattr(OpenIdSettings(**GOOD | {key: address}), key) == address


@pytest.mark.parametrize("address", ["https://node.hospital.example/pages", "https://node.hospital.example//"])
def test_pages_lie_at_the_root_of_their_host(address: str) -> None:
    assert "has a path" in refused(pages_url=address)


def test_a_stroke_at_the_end_of_the_pages_address_does_not_count_and_that_of_an_issuer_does() -> None:
    given = OpenIdSettings(**GOOD | {"pages_url": "https://node.hospital.example/", "issuer": "https://login.example/"})

    assert given.pages_url == "https://node.hospital.example"
    assert given.issuer == "https://login.example/"  # compared to the letter (OpenID Connect Discovery 4.3)


def test_without_the_scope_openid_there_is_no_id_token() -> None:
    assert "openid has to be among them" in refused(scopes=("profile", "email"))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512", "RS1", ""])
def test_signatures_that_anybody_or_the_client_could_make_are_refused(algorithm: str) -> None:
    assert "Input should be" in refused(signing_algorithms=(algorithm,))


@pytest.mark.parametrize("empty", [{"signing_algorithms": ()}, {"roles": {}}, {"client_id": "  "}, {"name_claim": ""}])
def test_what_may_not_be_empty_is_refused(empty: dict[str, Any]) -> None:
    assert "at least 1" in refused(**empty)


@pytest.mark.parametrize("role", ["sealed", "root", ""])
def test_a_provider_gives_no_role_but_the_three(role: str) -> None:
    assert "Input should be" in refused(roles={"pacs-admins": role})


@pytest.mark.parametrize(
    "value",
    [{"check_every_s": 29}, {"check_every_s": 86_401}, {"timeout_s": 0}, {"timeout_s": 61}, {"clock_skew_s": -1}],
)
def test_times_have_bounds(value: dict[str, float]) -> None:
    assert "Input should be" in refused(**value)


def test_a_key_that_is_not_known_is_refused() -> None:
    assert refused(isuer="https://login.example")
