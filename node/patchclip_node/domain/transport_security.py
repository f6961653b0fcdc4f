"""Who a peer is by its certificate, and with what the node shows who it is itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

_FINGERPRINT: Final = re.compile(r"(?:sha256:)?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})", re.IGNORECASE)


class TlsProfile(StrEnum):
    """A secure transport connection profile of PS3.15 annex B."""

    BCP195 = "bcp195"
    """B.12: BCP 195 with RFC 8996 and 9325. TLS 1.2 with its four recommended suites, and TLS 1.3."""
    STRICT = "strict"
    """B.13, its modification: the suites of B.13, in the node's order, the strongest first."""


@dataclass(frozen=True, slots=True)
class TlsCredentials:
    """Files in PEM.

    certificate: the node's own, followed by those of its chain. key: its private key. ca: whom peers' certificates have
    to come from. crl: revocation lists of each of these authorities; None: nothing is revoked.
    """

    certificate: Path
    key: Path
    ca: Path
    crl: Path | None = None
    profile: TlsProfile = TlsProfile.BCP195

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(path for path in (self.certificate, self.key, self.ca, self.crl) if path is not None)


@dataclass(frozen=True, slots=True)
class ChainLink:
    """An authority between a certificate and the one that is trusted, that one included."""

    subject: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a peer has shown, and the handshake has found valid.

    names: its DNS names, addresses and URIs (Subject Alternative Name), and its common name. fingerprint: SHA-256 of
    the whole certificate, 64 hexadecimal digits. chain: the authorities above it, up to the one that is trusted.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    fingerprint: str
    expires_at: datetime
    chain: tuple[ChainLink, ...] = ()

    @property
    def ends_first_at(self) -> datetime:
        """When it, or the first authority above it, expires."""
        return min(self.expires_at, *(one.expires_at for one in self.chain)) if self.chain else self.expires_at


@dataclass(frozen=True, slots=True)
class CertificateMark:
    """How a certificate is told from others of the same authority: by a name in it, or by its fingerprint."""

    text: str

    @property
    def fingerprint(self) -> str | None:
        """64 hexadecimal digits; None where it is a name."""
        found = _FINGERPRINT.fullmatch(self.text)
        return None if found is None else found.group(1).replace(":", "").lower()

    def is_of(self, certificate: PeerCertificate) -> bool:
        """Tell whether it is that certificate. A name has to be the same, without case; there are no wildcards."""
        if self.fingerprint is not None:
            return certificate.fingerprint == self.fingerprint
        return self.text.lower() in {name.lower() for name in certificate.names}


@dataclass(frozen=True, slots=True)
class PeerSecurity:
    """TLS to a peer: what the node shows, and whose certificate it takes there."""

    credentials: TlsCredentials
    peer: CertificateMark
