"""What is said of TLS has to be complete, and means what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from patchclip_node.domain.transport_security import CertificateMark, PeerCertificate, TlsProfile
from patchclip_node.settings import NodeSettings
from tests.support.fakes import START

OWN = {"certificate": "node.pem", "key": "node.key", "ca": "ca.pem", "crl": "crl.pem"}
PACS = {"name": "pacs", "ae_title": "PACS", "host": "pacs.example", "port": 104}
CALLER = {"ae_title": "PACS", "address": "192.0.2.10", "port": 104}


def settings(**values: Any) -> NodeSettings:
    return NodeSettings(**values)


def test_a_destination_takes_from_the_nodes_own_tls_what_it_does_not_say() -> None:
    given = settings(tls=OWN, destinations=[PACS | {"tls": {}}])

    security = given.security_to(given.destinations[0])

    assert security is not None
    assert given.tls is not None
    assert security.credentials == given.tls.credentials
    assert security.peer == CertificateMark("pacs.example")


def test_a_destination_of_another_authority_has_its_own_revocation_list_or_none() -> None:
    other = {"ca": "other.pem", "peer": "archive", "profile": "strict"}
    given = settings(tls=OWN, destinations=[PACS | {"tls": other}])

    security = given.security_to(given.destinations[0])

    assert security is not None
    assert (security.credentials.ca, security.credentials.crl) == (Path("other.pem"), None)
    assert security.credentials.certificate == Path("node.pem")
    assert security.credentials.profile is TlsProfile.STRICT
    assert security.peer == CertificateMark("archive")


def test_a_destination_without_tls_is_plain_whatever_the_receiver_is() -> None:
    given = settings(tls=OWN, destinations=[PACS])

    assert given.security_to(given.destinations[0]) is None


def test_reports_to_a_caller_go_over_tls_where_it_comes_over_tls() -> None:
    given = settings(tls=OWN, known_callers=[CALLER | {"certificate": "pacs"}])
    plain = settings(known_callers=[CALLER])

    security = given.security_of_reports_to(given.known_callers[0])

    assert security is not None
    assert security.peer == CertificateMark("pacs")
    assert plain.security_of_reports_to(plain.known_callers[0]) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"destinations": [PACS | {"tls": {}}]}, "destination pacs: tls: certificate, key, ca is said neither here"),
        ({"known_callers": [CALLER | {"certificate": "pacs"}]}, "which callers show with tls alone"),
        (
            {"tls": OWN, "known_callers": [CALLER | {"certificate": "pacs"}, CALLER | {"ae_title": "CT"}]},
            "name the certificate of CT as well, or of none",
        ),
        ({"tls": {"certificate": "node.pem"}}, "key"),
        ({"tls": OWN | {"profile": "tls1.0"}}, "bcp195"),
        ({"allowed_networks": ["192.0.2.1/24"]}, "has host bits set"),
        ({"allowed_networks": ["hospital"]}, "does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_what_is_missing_or_contradicts_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(**values)


@pytest.mark.parametrize(
    ("mark", "is_it"),
    [
        ("pacs.example", True),
        ("PACS.Example", True),
        ("192.0.2.10", True),
        ("PACS Hospital", True),
        ("example", False),
        ("*.example", False),
        ("ab" * 32, True),
        ("sha256:" + "AB:" * 31 + "AB", True),
        ("ab" * 31 + "ac", False),
        ("ab" * 31, False),
    ],
)
def test_a_certificate_is_told_by_a_name_or_its_fingerprint(mark: str, is_it: bool) -> None:
    names = ("pacs.example", "192.0.2.10", "PACS Hospital")
    shown = PeerCertificate("commonName=PACS Hospital", "commonName=CA", names, "ab" * 32, START)

    assert CertificateMark(mark).is_of(shown) is is_it
