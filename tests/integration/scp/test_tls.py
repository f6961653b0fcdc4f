"""Who gets in over TLS, and who does not: by certificate, AE title and address. DCMTK's storescu is the peer."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a table
from structlog.testing import capture_logs

from patchclip_node.dicom.tls import client_context
from patchclip_node.domain.transport_security import CertificateMark, TlsProfile
from patchclip_node.scp import lobby
from patchclip_node.scp.places import Caller
from patchclip_node.scp.security import CallerSecurity
from patchclip_node.scp.storage_scp import StorageScp
from tests.peers import dcmtk
from tests.peers.radiographs import data_set_bytes, radiograph, write
from tests.support.certificates import Authority, Certificate
from tests.support.scp import KeepingReceiver, associate_request, p_data, received_until_end, request, wait_until

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("openssl")]

StartScp = Callable[..., StorageScp]


@pytest.fixture(scope="module")
def modality(authority: Authority) -> Certificate:
    return authority.issue("modality")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write(radiograph(rows=64, columns=64), tmp_path / "image.dcm")


def send(
    port: int, image: Path, shown: Certificate | None, believed: Path, title: str = "STORESCU"
) -> subprocess.CompletedProcess[str]:
    tls = ("+tla",) if shown is None else ("+tls", str(shown.key), str(shown.certificate))
    return dcmtk.storescu(port, image, options=(*tls, "+cf", str(believed), "-aet", title))


def _has_failed_once(scp: StorageScp) -> bool:
    return troubles(scp).get("tls_handshake_failed") == 1


def troubles(scp: StorageScp) -> dict[str, int]:
    return dict(scp.reception(datetime.now(UTC)).troubles)


@pytest.mark.parametrize("profile", TlsProfile)
def test_the_right_certificate_gets_in_and_the_image_arrives_as_it_was(
    start: StartScp,
    receiver: KeepingReceiver,
    authority: Authority,
    node: Certificate,
    modality: Certificate,
    image: Path,
    profile: TlsProfile,
) -> None:
    scp = start(security=CallerSecurity(authority.credentials(node, profile), []))

    sent = send(scp.port, image, modality, authority.ca)

    assert sent.returncode == 0, sent.stderr
    assert [data_set_bytes(path) for path in receiver.files] == [data_set_bytes(image)]


def test_nobody_gets_in_with_another_expired_missing_or_revoked_certificate(
    start: StartScp,
    receiver: KeepingReceiver,
    authority: Authority,
    node: Certificate,
    image: Path,
    tmp_path: Path,
) -> None:
    revoked, expired = authority.issue("revoked"), authority.expired("expired")
    authority.revoke(revoked)
    cases = {
        "certificate revoked": revoked,
        "certificate has expired": expired,
        "peer did not return a certificate": None,
        "unable to get local issuer certificate": Authority(tmp_path / "other", "Other Authority").issue("modality"),
    }

    for expected, shown in cases.items():
        scp = start(security=CallerSecurity(authority.credentials(node), []))
        with capture_logs() as logs:
            refused = send(scp.port, image, shown, authority.ca)
            wait_until(partial(_has_failed_once, scp))

        assert refused.returncode != 0
        assert [log["reason"] for log in logs if log["event"] == "tls_handshake_failed"] == [expected]
    assert receiver.calls == []


def test_plain_dicom_is_not_listened_to_where_the_port_speaks_tls(
    start: StartScp, authority: Authority, node: Certificate
) -> None:
    scp = start(security=CallerSecurity(authority.credentials(node), []))

    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as peer:
        peer.sendall(associate_request(DigitalXRayImageStorageForPresentation))
        assert received_until_end(peer) == b""

    assert troubles(scp)["association_without_tls_asked_for"] == 1


@pytest.mark.parametrize("by", ["name", "fingerprint"])
def test_a_certificate_lets_in_its_own_title_from_its_own_address_alone(
    start: StartScp, receiver: KeepingReceiver, authority: Authority, node: Certificate, image: Path, by: str
) -> None:
    first, second = authority.issue(f"first-{by}"), authority.issue(f"second-{by}")
    stranger, elsewhere = authority.issue(f"stranger-{by}"), authority.issue(f"elsewhere-{by}")

    def mark(certificate: Certificate) -> CertificateMark:
        return CertificateMark(certificate.certificate.stem if by == "name" else certificate.fingerprint)

    listed = [
        (Caller("FIRST", "127.0.0.1"), mark(first)),
        (Caller("SECOND", "127.0.0.1"), mark(second)),
        (Caller("ELSEWHERE", "192.0.2.9"), mark(elsewhere)),
    ]
    scp = start(security=CallerSecurity(authority.credentials(node), listed))

    assert send(scp.port, image, first, authority.ca, "FIRST").returncode == 0
    assert send(scp.port, image, second, authority.ca, "SECOND").returncode == 0
    stolen = {
        "the certificate of another caller": send(scp.port, image, first, authority.ca, "SECOND"),
        "a title that is not listed": send(scp.port, image, first, authority.ca, "SPOOFED"),
        "a certificate that is not listed": send(scp.port, image, stranger, authority.ca, "FIRST"),
        "the address of another caller": send(scp.port, image, elsewhere, authority.ca, "ELSEWHERE"),
    }

    for what, refused in stolen.items():
        assert refused.returncode != 0, what
        assert "Calling AE Title Not Recognized" in refused.stderr + refused.stdout, what
    assert troubles(scp)["certificate_not_of_this_caller"] == len(stolen)
    assert len(receiver.calls) == 2


def test_new_files_count_for_new_connections_and_end_none_that_is_open(
    start: StartScp, receiver: KeepingReceiver, node: Certificate, image: Path, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    first, second, modality = authority.issue("node-1"), authority.issue("node-2"), authority.issue("modality")
    used = Certificate(tmp_path / "used.pem", tmp_path / "used.key")

    def use(certificate: Certificate) -> None:
        for target, source in ((used.certificate, certificate.certificate), (used.key, certificate.key)):
            new = target.with_suffix(".new")
            new.write_bytes(source.read_bytes())
            new.replace(target)

    use(first)
    scp = start(security=CallerSecurity(authority.credentials(used), []))
    with _wrapped(scp, authority, modality) as open_one:
        open_one.sendall(associate_request(DigitalXRayImageStorageForPresentation))
        assert received_pdu_of(open_one)[0] == 0x02
        assert _common_name(open_one) == "node-1"

        use(second)
        with _wrapped(scp, authority, modality) as new_one:
            assert _common_name(new_one) == "node-2"
        used.certificate.write_text("not a certificate")
        with capture_logs() as logs, _wrapped(scp, authority, modality) as still_good:
            assert _common_name(still_good) == "node-2"
        assert "tls_not_reloaded" in {log["event"] for log in logs}
        authority.revoke(modality)
        use(second)
        assert send(scp.port, image, modality, authority.ca).returncode != 0

        open_one.sendall(bytes.fromhex("05000000000400000000"))  # A-RELEASE-RQ
        assert received_pdu_of(open_one)[0] == 0x06
    assert receiver.calls == []


def test_a_handshake_that_stalls_ends_in_time_and_holds_nobody_up(
    start: StartScp,
    receiver: KeepingReceiver,
    authority: Authority,
    node: Certificate,
    modality: Certificate,
    image: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lobby, "FIRST_PDU_S", 2.0)
    scp = start(security=CallerSecurity(authority.credentials(node), []))
    hello = _client_hello(authority, modality)
    silent = [socket.create_connection(("127.0.0.1", scp.port)) for _ in range(20)]
    for number, peer in enumerate(silent):
        peer.sendall(hello[: number * len(hello) // len(silent)])
    began = time.monotonic()

    sent = send(scp.port, image, modality, authority.ca)

    assert sent.returncode == 0, sent.stderr
    assert len(receiver.calls) == 1
    wait_until(lambda: troubles(scp).get("no_association_asked_for_in_time") == len(silent), timeout_s=20)
    assert time.monotonic() - began >= 1.5
    assert scp.connections == 0
    for peer in silent:
        peer.close()


def test_a_request_in_records_of_one_byte_is_read(
    start: StartScp, authority: Authority, node: Certificate, modality: Certificate
) -> None:
    scp = start(security=CallerSecurity(authority.credentials(node), []))

    with _wrapped(scp, authority, modality) as peer:
        for byte in associate_request(DigitalXRayImageStorageForPresentation):
            peer.sendall(bytes([byte]))
        assert received_pdu_of(peer)[0] == 0x02


def test_two_pdus_in_one_record_are_both_read(
    start: StartScp, authority: Authority, node: Certificate, modality: Certificate
) -> None:
    scp = start(security=CallerSecurity(authority.credentials(node), []))

    with _wrapped(scp, authority, modality) as peer:
        peer.sendall(associate_request(Verification))
        assert received_pdu_of(peer)[0] == 0x02
        echo = request(0x0030, Verification, has_data_set=False)
        peer.sendall(p_data(1, 0x01, echo[:20]) + p_data(1, 0x03, echo[20:]))
        assert received_pdu_of(peer)[0] == 0x04


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_from_before_a_revocation_is_not_taken_up_again(
    start: StartScp, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    authority = Authority(tmp_path / "authority")
    node, modality = authority.issue("node"), authority.issue("modality")
    scp = start(security=CallerSecurity(authority.credentials(node), []))
    context = client_context(authority.credentials(modality))
    context.options &= ~ssl.OP_NO_TICKET
    context.minimum_version = context.maximum_version = version
    with _wrapped(scp, authority, modality, context) as first:
        first.sendall(associate_request(Verification))
        assert received_pdu_of(first)[0] == 0x02
        session = first.session

    authority.revoke(modality)

    with socket.create_connection(("127.0.0.1", scp.port), timeout=5) as raw, pytest.raises(OSError):  # noqa: PT011
        _first_answer(context.wrap_socket(raw, session=session))
    wait_until(partial(_has_failed_once, scp))


def _first_answer(peer: ssl.SSLSocket) -> bytes:
    with peer:
        peer.sendall(associate_request(Verification))
        return peer.recv(1)


def _wrapped(
    scp: StorageScp, authority: Authority, shown: Certificate, context: ssl.SSLContext | None = None
) -> ssl.SSLSocket:
    context = context or client_context(authority.credentials(shown))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", scp.port), timeout=5))


def _common_name(peer: ssl.SSLSocket) -> str:
    content = peer.getpeercert()
    assert content is not None
    return dict(part[0] for part in content["subject"])["commonName"]  # type: ignore[misc]


def _client_hello(authority: Authority, shown: Certificate) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(authority.credentials(shown)).wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def received_pdu_of(peer: ssl.SSLSocket) -> bytes:
    """Read a PDU; TLS sockets take no flags."""
    received = b""
    while len(received) < 6 or len(received) < 6 + int.from_bytes(received[2:6], "big"):
        wanted = 6 if len(received) < 6 else 6 + int.from_bytes(received[2:6], "big")
        arrived = peer.recv(wanted - len(received))
        assert arrived, "the connection ended"
        received += arrived
    return received


@pytest.mark.peer("sslscan")
@pytest.mark.parametrize(
    ("profile", "suites"),
    [
        (TlsProfile.BCP195, {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"}),
        (
            TlsProfile.STRICT,
            {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256"},
        ),
    ],
)
def test_a_scan_names_nothing_outside_the_profile(
    start: StartScp,
    authority: Authority,
    node: Certificate,
    modality: Certificate,
    profile: TlsProfile,
    suites: set[str],
) -> None:
    scp = start(security=CallerSecurity(authority.credentials(node, profile), []))
    shown = (f"--certs={modality.certificate}", f"--pk={modality.key}")

    scanned = subprocess.run(
        ["sslscan", *shown, "--xml=-", f"127.0.0.1:{scp.port}"], capture_output=True, check=True, timeout=120
    )
    found = ET.fromstring(scanned.stdout)

    spoken = {f"{one.get('type')} {one.get('version')}" for one in found.iter("protocol") if one.get("enabled") == "1"}
    assert spoken == {"tls 1.2", "tls 1.3"}
    accepted = {(one.get("sslversion"), one.get("cipher")) for one in found.iter("cipher")}
    assert {suite for version, suite in accepted if version == "TLSv1.2"} == suites
    assert {suite for version, suite in accepted if version == "TLSv1.3"} == {
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_GCM_SHA256",
    }
    assert [one.get("supported") for one in found.iter("renegotiation")] == ["0"]
    assert [one.get("supported") for one in found.iter("compression")] in ([], ["0"])
    assert {one.get("vulnerable") for one in found.iter("heartbleed")} == {"0"}
