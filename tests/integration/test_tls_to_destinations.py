"""Results over TLS: to whom they go, and what is said where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from pynetdicom import AE, evt

from patchclip_node.dicom.commitment import PUSH_MODEL, read_report
from patchclip_node.dicom.tls import own_certificate, server_context
from patchclip_node.domain.commitment import CommitmentReport
from patchclip_node.domain.errors import ConfigurationError, PeerError
from patchclip_node.domain.transport_security import CertificateMark, PeerSecurity, TlsProfile
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.sender import DicomResultSender, Timeouts
from tests.peers import dcmtk
from tests.peers.archive import COMPREHENSIVE_SR
from tests.peers.radiographs import data_set_bytes, radiograph, write
from tests.support.certificates import Authority, Certificate

pytestmark = [pytest.mark.peer("dcmtk"), pytest.mark.peer("openssl")]


@pytest.fixture(scope="module")
def archive(authority: Authority) -> Certificate:
    return authority.issue("archive")


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return write(radiograph(rows=64, columns=64, sop_class_uid=COMPREHENSIVE_SR), tmp_path / "result.dcm")


def sender() -> DicomResultSender:
    return DicomResultSender("NODE", Timeouts(connect_s=5, acse_s=5, response_s=5))


def shown_by(certificate: Certificate, authority: Authority) -> tuple[str, ...]:
    return ("+tls", str(certificate.key), str(certificate.certificate), "+cf", str(authority.ca))


def over_tls(destination: Destination, security: PeerSecurity) -> Destination:
    return Destination(destination.name, destination.ae_title, destination.host, destination.port, security=security)


@pytest.mark.parametrize("profile", TlsProfile)
@pytest.mark.parametrize("mark", ["address", "name", "fingerprint"])
def test_results_go_to_an_archive_whose_certificate_is_its_own(
    authority: Authority,
    node: Certificate,
    archive: Certificate,
    result: Path,
    tmp_path: Path,
    mark: str,
    profile: TlsProfile,
) -> None:
    named = {"address": "127.0.0.1", "name": "archive", "fingerprint": archive.fingerprint}[mark]
    security = PeerSecurity(authority.credentials(node, profile), CertificateMark(named))
    with dcmtk.storescp(tmp_path / "kept", *shown_by(archive, authority)) as scp:
        destination = over_tls(scp.destination, security)
        outcomes = sender().send(destination, [result])
        certificate = sender().presented(destination)
        kept = [data_set_bytes(path) for path in scp.files()]

    assert [outcome.error for outcome in outcomes] == [None]
    assert kept == [data_set_bytes(result)]
    assert certificate is not None
    assert certificate.subject == "commonName=archive"


def test_results_do_not_go_to_who_shows_anothers_certificate(
    authority: Authority, node: Certificate, archive: Certificate, result: Path, tmp_path: Path
) -> None:
    others = authority.issue("other", address="192.0.2.1")
    revoked = authority.issue("revoked")
    authority.revoke(revoked)
    foreign = Authority(tmp_path / "foreign", "Foreign Authority").issue("archive")
    cases = [
        (others, "127.0.0.1", "shows the certificate of commonName=other"),
        (others, "archive", "correct tls.peer"),
        (archive, others.fingerprint, "shows the certificate of commonName=archive"),
        (revoked, "127.0.0.1", "certificate revoked"),
        (foreign, "127.0.0.1", "unable to get local issuer certificate"),
    ]
    for number, (shown, expected, said) in enumerate(cases):
        with dcmtk.storescp(tmp_path / str(number), *shown_by(shown, authority)) as scp:
            security = PeerSecurity(authority.credentials(node), CertificateMark(expected))
            with pytest.raises(PeerError, match=said):
                sender().send(over_tls(scp.destination, security), [result])
            assert scp.files() == []


def test_an_archive_that_does_not_take_our_certificate_or_speaks_no_tls_is_named(
    authority: Authority, archive: Certificate, result: Path, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "foreign", "Foreign Authority").issue("node")
    credentials = authority.credentials(stranger)
    security = PeerSecurity(credentials, CertificateMark("127.0.0.1"))
    with (
        dcmtk.storescp(tmp_path / "kept", *shown_by(archive, authority)) as scp,
        pytest.raises(PeerError, match=r"TLS fails: .*unknown ca"),
    ):
        sender().send(over_tls(scp.destination, security), [result])
    with dcmtk.storescp(tmp_path / "plain") as scp, pytest.raises(PeerError, match="TLS fails"):
        sender().send(over_tls(scp.destination, security), [result])


def test_a_file_of_ours_that_is_missing_is_told_as_a_reason_to_try_again(
    authority: Authority, node: Certificate, result: Path, tmp_path: Path
) -> None:
    credentials = authority.credentials(Certificate(tmp_path / "absent.pem", node.key))
    destination = Destination(
        "pacs", "PACS", "127.0.0.1", 1, security=PeerSecurity(credentials, CertificateMark("pacs"))
    )

    with pytest.raises(PeerError, match=r"there is no file .*absent\.pem"):
        sender().send(destination, [result])


def test_a_file_that_is_missing_or_is_no_key_is_named(authority: Authority, node: Certificate, tmp_path: Path) -> None:
    good = authority.credentials(node)
    assert own_certificate(good).subject == "commonName=node"
    other = authority.issue("other-key")
    cases = {
        "there is no file": authority.credentials(Certificate(tmp_path / "absent.pem", node.key)),
        "certificate and its private key": authority.credentials(Certificate(node.certificate, other.key)),
        "certificate has expired": authority.credentials(authority.expired("old-node")),
    }
    for said, credentials in cases.items():
        with pytest.raises(ConfigurationError, match=said):
            own_certificate(credentials)


def test_a_caller_is_told_over_tls_what_is_committed_to(authority: Authority, node: Certificate) -> None:
    caller = authority.issue("caller")
    told: list[CommitmentReport] = []

    def take(event: evt.Event) -> tuple[int, None]:
        told.append(read_report(event.event_information))
        return 0x0000, None

    ae = AE("CALLER")
    ae.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
    context = server_context(authority.credentials(caller))
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)], ssl_context=context
    )
    assert server is not None
    report = CommitmentReport("1.2.3", kept=(), failed={})
    security = PeerSecurity(authority.credentials(node), CertificateMark("caller"))
    try:
        to = Destination("caller", "CALLER", "127.0.0.1", int(server.server_address[1]), security=security)
        sender().report_commitment(to, report)
    finally:
        server.shutdown()

    assert [one.transaction_uid for one in told] == ["1.2.3"]
