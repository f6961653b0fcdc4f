"""TLS for DICOM (PS3.15 B.12 and B.13): contexts of both sides, and what a peer has shown.

Both sides always show a certificate. What a context reads is read when it is made: a change of the files counts for the
connections that begin after it, and touches none that are open.
"""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import structlog

from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.transport_security import ChainLink, PeerCertificate, TlsCredentials, TlsProfile

SUITES: Final = {
    TlsProfile.BCP195: (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ),
    TlsProfile.STRICT: (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES256-CCM",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-CCM",
    ),
}
"""OpenSSL's names of the suites for TLS 1.2: the recommended ones of RFC 9325 4.2, and those of B.13 that OpenSSL has.

B.13 allows Camellia with GCM, which OpenSSL lacks, and CCM with a tag of 8 bytes, which is left out as weak. All of TLS
1.3's suites that OpenSSL offers by itself are in both profiles.
"""

_STRENGTH: Final = "@SECLEVEL=2"
"""OpenSSL's level of 112 bits: RSA keys of 2048 bits at least (RFC 9325 4.5), no SHA-1 in a certificate."""

log = structlog.get_logger(__name__)


def server_context(credentials: TlsCredentials) -> ssl.SSLContext:
    """Return the context of the receiving side. Raises `ConfigurationError`, which names the file."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, credentials)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0  # with OP_NO_TICKET a session is taken up by this context alone: with the same CRL
    return context


def client_context(credentials: TlsCredentials) -> ssl.SSLContext:
    """Return the context of the sending side. Raises `ConfigurationError`, which names the file.

    Whose certificate it is, the caller finds out: `CertificateMark`.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, credentials)


def _context(protocol: int, credentials: TlsCredentials) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join((*SUITES[credentials.profile], _STRENGTH)))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    for path in credentials.files:
        if not path.is_file():
            raise ConfigurationError(f"tls: there is no file {path}")
    try:
        context.load_cert_chain(credentials.certificate, credentials.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"tls: {credentials.certificate} and {credentials.key} cannot be used: {_words(error)}. They have to be a "
            "certificate and its private key, without a password, in PEM"
        ) from error
    try:
        context.load_verify_locations(credentials.ca)
    except OSError as error:
        raise ConfigurationError(f"tls: {credentials.ca} holds no certificate in PEM: {_words(error)}") from error
    if credentials.crl is not None:
        try:
            context.load_verify_locations(credentials.crl)
        except OSError as error:
            raise ConfigurationError(f"tls: {credentials.crl} is not a CRL in PEM: {_words(error)}") from error
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")


def _words(error: Exception) -> str:
    return reason(error) if isinstance(error, OSError) else str(error)


def reason(error: OSError) -> str:
    """Return why a handshake, or a file, failed, in OpenSSL's words without its numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return error.strerror or str(error)


class ReloadedServerContext:
    """The receiving side's context, made again when one of its files has changed; may be used from several threads.

    Where the new files cannot be used, the last good context stays, and the log says so once a change.
    """

    def __init__(self, credentials: TlsCredentials) -> None:
        """Raises `ConfigurationError`."""
        self._credentials = credentials
        self._lock = threading.Lock()
        self._state = self._files()
        self._context = server_context(credentials)

    def current(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        with self._lock:
            state = self._files()
            if state != self._state:
                self._state = state
                try:
                    self._context = server_context(self._credentials)
                except ConfigurationError as error:
                    log.error("tls_not_reloaded", error=str(error))
                else:
                    log.info("tls_reloaded")
            return self._context

    def _files(self) -> tuple[tuple[int, int, int] | None, ...]:
        def state(path: Path) -> tuple[int, int, int] | None:
            try:
                found = path.stat()
            except OSError:
                return None
            return found.st_mtime_ns, found.st_size, found.st_ino

        return tuple(map(state, self._credentials.files))


def peer_certificate(connection: ssl.SSLSocket | ssl.SSLObject) -> PeerCertificate:
    """Return what the peer of a finished handshake has shown."""
    content: dict[str, Any] = connection.getpeercert() or {}
    encoded = connection.getpeercert(binary_form=True)
    assert encoded is not None
    subject = list(_attributes(content["subject"]))
    alternatives = content.get("subjectAltName", ())
    names = [str(value) for kind, value in alternatives if kind in {"DNS", "URI"}]
    names += [str(ip_address(value.strip())) for kind, value in alternatives if kind == "IP Address"]
    return PeerCertificate(
        subject=_said(content["subject"]),
        issuer=_said(content["issuer"]),
        names=(*names, *(value for name, value in subject if name == "commonName")),
        fingerprint=hashlib.sha256(encoded).hexdigest(),
        expires_at=_expires_at(content),
        chain=tuple(_authorities(connection)),
    )


def _authorities(connection: ssl.SSLSocket | ssl.SSLObject) -> Iterator[ChainLink]:
    """Yield the authorities of the chain that was verified; Python's public way is of 3.13, and gives bytes alone."""
    inner: Any = connection._sslobj  # type: ignore[union-attr]  # noqa: SLF001
    verified = inner.get_verified_chain()
    for one in (verified or ())[1:]:
        content = one.get_info()
        yield ChainLink(_said(content["subject"]), _expires_at(content))


def _expires_at(content: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(content["notAfter"]), UTC)


def _said(distinguished_name: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in _attributes(distinguished_name))


def _attributes(distinguished_name: Any) -> Iterator[tuple[str, str]]:
    for relative in distinguished_name:
        for name, value in relative:
            yield str(name), str(value)


def own_certificate(credentials: TlsCredentials) -> PeerCertificate:
    """Return the node's own certificate as a peer of the same authority sees it, by a handshake in memory.

    Raises `ConfigurationError` where such a peer would refuse it, with the reason: it has expired, it is revoked, it
    does not come from the authority.
    """
    client = client_context(credentials)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server_context(credentials).wrap_bio(to_server, to_client, server_side=True),
    )
    finished: set[int] = set()
    while len(finished) < len(ends):
        for number, end in enumerate(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                raise ConfigurationError(
                    f"tls: who trusts {credentials.ca} refuses {credentials.certificate}: {reason(error)}"
                ) from error
            finished.add(number)
    return peer_certificate(ends[0])
